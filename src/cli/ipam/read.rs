//! The files of pools, as they are at this moment: without the lock, so that no pod waits for a person.

use super::node::Node;
use crate::cli::Error;
use crate::delegate::ipam::leased::HISTORY;
use crate::facts::node_blocks::now;
use crate::ipam::grant::MAX_FILE;
use crate::ipam::history::{Event, Owner};
use crate::ipam::memory::Former;
use crate::ipam::stock::Refusal;
use crate::ipam::{Grant, PoolName, Report, Stock};
use crate::sys::files;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of an address is a few lines.
const MAX_OWNER: usize = 4096;
/// A history that is longer was not written by the plugin.
const MAX_HISTORY: usize = 16 << 20;

/// A pool on this node.
pub struct SeenPool {
    /// Its name.
    pub name: PoolName,
    /// The addresses in use, sorted.
    pub taken: Vec<Taken>,
    /// What is remembered of others.
    pub former: Vec<Former>,
    /// The blocks of this node; none where the daemon has granted nothing since the machine started.
    pub grant: Option<Grant>,
    /// What the plugin has given back of them.
    pub report: Report,
    /// When an address was taken or given back last, in seconds of Unix time.
    pub changed: u64,
}

/// An address in use.
pub struct Taken {
    /// The address.
    pub address: IpAddr,
    /// Who has it.
    pub owner: Owner,
    /// Since when, in seconds of Unix time.
    pub since: u64,
    /// Whether it has its file; else somebody deleted that, and there is a copy of it.
    pub has_file: bool,
}

impl SeenPool {
    /// Whether this node has, or had, anything of the pool. A network that named it by mistake leaves an empty directory.
    fn is_used(&self) -> bool {
        self.grant.is_some() || !self.taken.is_empty() || !self.former.is_empty()
    }

    /// Why no new address is given now; none where addresses are given.
    pub fn refusal(&self) -> Option<String> {
        let Some(grant) = &self.grant else {
            return Some(
                "the daemon has granted no block since the machine started; `kubectl get addresspools` shows whether the pool exists"
                    .to_owned(),
            );
        };
        if grant.subnets.is_empty() && !self.name.is_implied() {
            return Some(
                "the AddressPool was deleted, has no range, or has one that makes no sense: correct it, or create it again, if pods still need it".to_owned(),
            );
        }
        let stock = Stock::new(grant, &self.report);
        stock.authorised(&now()).err().map(|refusal: Refusal| refusal.to_string())
    }
}

/// The pools of `node`, or the one called `only`.
pub fn pools(node: &Node, only: Option<&str>) -> Result<Vec<SeenPool>, Error> {
    let mut names = BTreeSet::new();
    names.extend(listed(node, &node.state.pools())?.into_iter().filter_map(|name| PoolName::new(name).ok()));
    let granted = listed(node, &node.run.grants())?;
    names.extend(granted.iter().filter_map(|name| PoolName::new(name.strip_suffix(".grant")?).ok()));
    names.retain(|name| only.is_none_or(|only| only == name.as_str()));
    match only.filter(|_| names.is_empty()) {
        Some(only) => Err(Error::Name(format!("this node has no address of a pool {only}"))),
        None => {
            let all: Vec<SeenPool> = names.into_iter().map(|name| pool(node, name)).collect::<Result<_, _>>()?;
            Ok(all.into_iter().filter(|pool| only.is_some() || pool.is_used()).collect())
        }
    }
}

fn pool(node: &Node, name: PoolName) -> Result<SeenPool, Error> {
    let folder = node.state.pool(&name);
    let (mut taken, mut former) = (Vec::<Taken>::new(), Vec::new());
    for file in listed(node, &folder)? {
        match file.parse::<IpAddr>() {
            Ok(address) => taken.extend(look(&folder, address, true)),
            Err(_) => former.extend(Former::parse(&file)),
        }
    }
    // Of an address whose file was deleted while a pod has it there is a copy.
    let (copies, known): (_, BTreeSet<IpAddr>) = (node.run.taken(&name), taken.iter().map(|one| one.address).collect());
    let copied = listed(node, &copies)?.into_iter().filter_map(|file| file.parse::<IpAddr>().ok());
    taken.extend(copied.filter(|address| !known.contains(address)).filter_map(|address| look(&copies, address, false)));
    taken.sort_by_key(|taken| taken.address);
    let read = |path: &Path| files::read_bounded(path, MAX_FILE).ok().flatten();
    let grant = read(&node.run.grant(&name)).and_then(|text| Grant::parse(&text).ok());
    let grant = grant.filter(|grant| grant.pool == name).map(|grant| grant.seen_with(&now().boot));
    let report = read(&node.run.report(&name)).and_then(|text| Report::parse(&text).ok()).unwrap_or_default();
    Ok(SeenPool { name, taken, former, grant, report, changed: modified(&folder) })
}

/// When `path` was changed last, in seconds of Unix time.
fn modified(path: &Path) -> u64 {
    let since = path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The file of an address, or its copy; none where it was given back meanwhile.
fn look(folder: &Path, address: IpAddr, has_file: bool) -> Option<Taken> {
    let path = folder.join(address.to_string());
    let text = files::read_bounded(&path, MAX_OWNER).ok()??;
    Some(Taken { address, owner: Owner::parse(&text), since: modified(&path), has_file })
}

/// What happened in the pool, the oldest first. A line that cannot be read is passed over.
pub fn events(node: &Node, pool: &PoolName) -> Vec<Event> {
    let folder = node.state.pool(pool);
    let texts = HISTORY.iter().rev().filter_map(|name| files::read_bounded(&folder.join(name), MAX_HISTORY).ok()?);
    texts.flat_map(|text| text.lines().filter_map(Event::parse).collect::<Vec<_>>()).collect()
}

fn listed(node: &Node, folder: &Path) -> Result<Vec<String>, Error> {
    let unreadable = |source| Error::Records { folder: node.state.pools(), source };
    let entries = match files::entries(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}
