//! The blocks of this node: what the daemon's file grants, what the plugin tells it, and the question for more.

use super::KeptClient;
use crate::api::protocol::{LeaseRequest, Reply, Request};
use crate::api::{DAEMON, RunDirectory, StateDirectory};
use crate::delegate::ipam::leased::{Folders, Lessor, Need, Unclaimed, Unleased};
use crate::ipam::grant::MAX_FILE;
use crate::ipam::{Confirmed, Grant, PoolName, Report};
use crate::sys::boot;
use crate::sys::files::{self, Durability};
use crate::sys::trusted::{self, Folder, NewFile, TheirFolder};
use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A path.
const MAX_PATH: usize = 4096;

/// The blocks of the node with these directories.
#[derive(Debug)]
pub struct NodeBlocks {
    state: StateDirectory,
    run: RunDirectory,
    client: KeptClient,
}

impl NodeBlocks {
    /// Those of the node with these directories.
    pub fn new(state: StateDirectory, run: RunDirectory) -> Self {
        NodeBlocks { state, run, client: KeptClient::default() }
    }

    fn write(&self, name: &OsStr, content: &[u8]) -> io::Result<()> {
        let folder = Folder::make(&self.run.reports(), 0o750)?;
        let group = trusted::group_of_folder(&self.run.daemon());
        if let Some(group) = group {
            folder.share(group, 0o750)?;
        }
        folder.replace(name, NewFile { content, mode: 0o640, group, durability: Durability::Cached })
    }
}

/// The boot and both clocks. What cannot be read authorises nothing.
pub fn now() -> Confirmed {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Confirmed { boot: boot::shown().unwrap_or_default(), since_boot: boot::seconds().unwrap_or(u64::MAX), clock }
}

impl Lessor for NodeBlocks {
    fn folders(&self, pool: &PoolName) -> Folders {
        Folders { own: self.state.pool(pool), copies: self.run.taken(pool) }
    }

    /// The first program since the machine started leaves word of its folder.
    fn claim_folder(&self) -> Result<(), Unclaimed> {
        let path = self.run.reports().join("state");
        let own = self.state.path().display().to_string();
        let failed = |source| Unclaimed::Io { path: path.clone(), source };
        match trusted::read_bounded(&path, MAX_PATH).map_err(failed)? {
            Some(known) if known == own => Ok(()),
            Some(known) => Err(Unclaimed::Other { known, own }),
            None => self.write(OsStr::new("state"), own.as_bytes()).map_err(failed),
        }
    }

    fn grant(&self, pool: &PoolName) -> Result<Option<Grant>, String> {
        let path = self.run.grant(pool);
        let failed = |e: &dyn std::fmt::Display| files::told(&path, e);
        let folder = match TheirFolder::open(self.run.path(), &[DAEMON, RunDirectory::GRANTS]) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            folder => folder.map_err(|e| failed(&e))?,
        };
        let found = folder.read(path.file_name().unwrap_or_default(), MAX_FILE).map_err(|e| failed(&e))?;
        let Some((text, _)) = found else { return Ok(None) };
        let grant = Grant::parse(&text).map_err(|e| failed(&e))?;
        if grant.pool != *pool {
            return Err(failed(&format!("it is of pool {}", grant.pool)));
        }
        Ok(Some(grant.seen_with(&boot::shown().unwrap_or_default())))
    }

    fn report(&self, pool: &PoolName) -> Result<Report, String> {
        let path = self.run.report(pool);
        let text = trusted::read_bounded(&path, MAX_FILE).map_err(|e| files::told(&path, e))?;
        let Some(text) = text else { return Ok(Report::default()) };
        Report::parse(&text).map_err(|e| files::told(&path, e))
    }

    fn tell(&self, pool: &PoolName, report: &Report) -> io::Result<()> {
        self.write(self.run.report(pool).file_name().unwrap_or_default(), report.to_text().as_bytes())
    }

    fn now(&self) -> Confirmed {
        now()
    }

    fn lease(&self, pool: &PoolName, need: &Need, deadline: Instant) -> Result<Vec<IpAddr>, Unleased> {
        let Need { families, within, kept_for, taken } = need.clone();
        let (boot, asks_for_kept) = (boot::shown().unwrap_or_default(), kept_for.is_some());
        let request = Request::Lease(LeaseRequest { pool: pool.clone(), families, within, kept_for, taken, boot });
        let later = |why: &str| Err(Unleased::Later(why.to_owned()));
        match self.client.ask(&self.run, deadline, &request) {
            // A daemon of a former release passes over what it does not know.
            Ok(Reply::Leased { addresses }) if asks_for_kept && addresses.is_empty() => {
                later("this release of plexusd keeps no addresses for pods")
            }
            Ok(Reply::Leased { addresses }) => Ok(addresses),
            Ok(Reply::Unavailable(why)) => Err(Unleased::Later(why)),
            Ok(Reply::Refused(why)) => Err(Unleased::Never(why)),
            Ok(Reply::Unsupported(_)) => later("this release of plexusd leases no addresses"),
            Ok(other) => Err(Unleased::Later(format!("plexusd answered another question ({})", other.kind()))),
            Err(e) => Err(Unleased::Later(e.to_string())),
        }
    }
}
