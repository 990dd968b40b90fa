//! Addresses of the cluster on this node: what the daemon grants, what it is told, who had an address, and the pool's folder.

use super::texts;
use plexus::cni::{CniArgs, RawObject};
use plexus::delegate::Call;
use plexus::delegate::ipam::Ipam;
use plexus::delegate::ipam::leased::{Folders, Leased, Lessor, Need, Unclaimed, Unleased, whereabouts};
use plexus::ipam::history::{Event, Owner, tenures};
use plexus::ipam::{Confirmed, Grant, PoolName, Report};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use std::{fs, io};
use tempfile::TempDir;

/// The section `ipam`, `CNI_ARGS`, the grant, the report, the name and the content of a file in the pool, separated by NUL.
pub fn run(data: &[u8]) {
    let Some([section, args, grant, report, name, content]) = texts(data) else { return };
    // Both programs end lines without it.
    let (grant, report) = (grant.replace('\r', ""), report.replace('\r', ""));
    history(content);
    let (grant, report) = (Grant::parse(&grant), Report::parse(&report));
    if let Ok(grant) = &grant {
        assert_eq!(Grant::parse(&grant.to_text()).as_ref(), Ok(grant));
    }
    if let Ok(report) = &report {
        assert_eq!(Report::parse(&report.to_text()).as_ref(), Ok(report));
    }
    let (Ok(grant), Ok(report), Ok(section)) = (grant, report, RawObject::parse(section)) else { return };
    let node = Node::new(grant, report);
    // What this container has already it gets again.
    if !name.contains('/') && name.len() < 100 && !content.starts_with("c1") {
        // Names that are none are none.
        let _ = fs::write(node.own().join(name), content);
    }
    super::ipam::with_call(&section, &CniArgs::parse(args), |call| add(&node, &section, call));
}

/// A line that is read is written so that it is read the same. Of a tenure that another one follows, the begin or the end is known.
fn history(text: &str) {
    let events: Vec<Event> = text.lines().filter_map(Event::parse).collect();
    for event in &events {
        assert_eq!(Event::parse(event.to_line().trim_end_matches('\n')).unwrap().to_line(), event.to_line());
        let tenures = tenures(&events, event.address);
        assert!(tenures.iter().rev().skip(1).all(|tenure| tenure.until.is_some() || tenure.from.is_some()));
    }
    let owner = Owner::parse(text);
    assert_eq!(Owner::parse(&owner.to_text()).to_text(), owner.to_text());
}

/// What is taken was granted and free, is in the pool, and is given back.
fn add(node: &Arc<Node>, section: &RawObject, call: &Call<'_>) {
    let kind = section.read::<String>("type").ok().flatten();
    let kind = if kind.as_deref() == Some(whereabouts::TYPE) { whereabouts::TYPE } else { "plexus-ipam" };
    let leased = || Leased::new(kind, Some(Arc::clone(node) as Arc<dyn Lessor>));
    let (before, offers) = (node.taken(), node.grant.lock().unwrap().offers.clone());
    let Ok(result) = leased().add(call) else {
        return assert!(node.taken().is_subset(&before), "a refused ADD has taken {:?}", node.taken());
    };
    for ip in &result.ips {
        let address = ip.address.addr();
        assert!(node.taken().contains(&address) && !before.contains(&address), "{address}");
        assert!(offers.iter().any(|offer| offer.granted.block().contains(address)), "{address} was not granted");
        assert!(ip.gateway != Some(address), "{result:?}");
    }
    leased().del(call).unwrap();
    assert!(result.ips.iter().all(|ip| !node.taken().contains(&ip.address.addr())));
}

/// A node whose daemon has told what `grant` says, and leases nothing more.
#[derive(Debug)]
struct Node {
    grant: Mutex<Grant>,
    report: Mutex<Report>,
}

impl Node {
    /// All blocks were confirmed just now: else nothing is given.
    fn new(mut grant: Grant, report: Report) -> Arc<Self> {
        for folder in ["own", "copies"].map(|name| folder().join(name)) {
            fs::create_dir_all(&folder).unwrap();
            for entry in fs::read_dir(&folder).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
        (grant.confirmed, grant.authority_seconds) = (here(), 100);
        Arc::new(Node { grant: Mutex::new(grant), report: Mutex::new(report) })
    }

    fn own(&self) -> PathBuf {
        folder().join("own")
    }

    fn taken(&self) -> BTreeSet<IpAddr> {
        names(&self.own()).filter_map(|name| name.parse().ok()).collect()
    }
}

impl Lessor for Node {
    fn folders(&self, _: &PoolName) -> Folders {
        Folders { own: self.own(), copies: folder().join("copies") }
    }
    fn claim_folder(&self) -> Result<(), Unclaimed> {
        Ok(())
    }
    fn grant(&self, _: &PoolName) -> Result<Option<Grant>, String> {
        Ok(Some(self.grant.lock().unwrap().clone()))
    }
    fn report(&self, _: &PoolName) -> Result<Report, String> {
        Ok(self.report.lock().unwrap().clone())
    }
    fn tell(&self, _: &PoolName, report: &Report) -> io::Result<()> {
        // The daemon reads what the plugin writes.
        assert_eq!(Report::parse(&report.to_text()).as_ref(), Ok(report));
        *self.report.lock().unwrap() = report.clone();
        Ok(())
    }
    fn now(&self) -> Confirmed {
        here()
    }
    fn lease(&self, _: &PoolName, _: &Need, _: Instant) -> Result<Vec<IpAddr>, Unleased> {
        Err(Unleased::Later("no block is free".to_owned()))
    }
}

fn here() -> Confirmed {
    Confirmed { boot: "b".to_owned(), since_boot: 50, clock: 50 }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(folder).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok())
}

fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(super::quick_folder).path().to_owned()
}
