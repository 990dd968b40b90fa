use super::*;
use crate::cni::{CniArgs, ContainerId, IfName, PluginConfig};
use crate::delegate::Scope;
use crate::ipam::pool::{BlockSize, Range, Subnet, Warm};
use crate::ipam::{Confirmed, Grant, Granted, Pool, PoolSpec};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

mod erased;
mod kept;
mod listed;
mod probed;
mod remembered;
mod requests;
mod scarce;
mod sections;

/// A node whose daemon has blocks in stock.
#[derive(Debug)]
struct FakeNode {
    folder: tempfile::TempDir,
    spec: PoolSpec,
    grant: Mutex<Option<Grant>>,
    report: Mutex<Report>,
    /// What the daemon leases when it is asked, by family.
    stock: Mutex<Vec<(u8, &'static str)>>,
    asked: Mutex<Vec<Vec<u8>>>,
    clock: std::sync::atomic::AtomicU64,
    /// Blocks of other nodes.
    taken_by_others: Mutex<std::collections::BTreeSet<IpAddr>>,
    /// Nobody reaches the daemon.
    is_alone: std::sync::atomic::AtomicBool,
    /// What is kept for pods in the cluster.
    kept: Mutex<BTreeMap<crate::ipam::reservation::Whose, Vec<IpAddr>>>,
}

impl FakeNode {
    fn new(ranges: &[&str], granted: &[&str], stock: &[(u8, &'static str)]) -> Arc<Self> {
        let range = |range: &&str| Range { range: (*range).to_owned(), ..Range::default() };
        let spec = PoolSpec {
            block_size: BlockSize { v4: 2, v6: 2 },
            ranges: ranges.iter().map(range).collect(),
            warm: Warm { min: 0, max: 0 },
            authority_seconds: 100,
            retain_seconds: 100,
            ..PoolSpec::default()
        };
        FakeNode::of(spec, granted, stock)
    }

    fn of(spec: PoolSpec, granted: &[&str], stock: &[(u8, &'static str)]) -> Arc<Self> {
        let held = granted.iter().map(|first| lease(first)).collect();
        let grant = Grant::new(PoolName::new("lan").unwrap(), &spec, here(), held);
        Arc::new(FakeNode {
            folder: tempfile::tempdir().unwrap(),
            spec,
            grant: Mutex::new(Some(grant)),
            report: Mutex::default(),
            stock: Mutex::new(stock.to_vec()),
            asked: Mutex::default(),
            clock: 50.into(),
            taken_by_others: Mutex::default(),
            is_alone: false.into(),
            kept: Mutex::default(),
        })
    }

    /// A node of a cluster without an AddressPool.
    fn of_whereabouts() -> Arc<Self> {
        let node = FakeNode::new(&[], &[], &[]);
        let implied = Grant::new(PoolName::implied(""), &PoolSpec::implied(), here(), Vec::new());
        *node.grant.lock().unwrap() = Some(implied);
        node
    }

    fn lease_block(&self, first: &str) {
        let mut grant = self.grant.lock().unwrap();
        let grant = grant.as_mut().unwrap();
        let block = if grant.pool.is_implied() { single(first) } else { lease(first) };
        let held = grant.offers.iter().map(|offer| offer.granted.clone()).chain([block]);
        let implied = PoolSpec::implied();
        let spec = if grant.pool.is_implied() { &implied } else { &self.spec };
        let (times, warm, probe) = (grant.times, grant.warm.clone(), grant.probe);
        *grant = Grant {
            times,
            warm,
            probe,
            ..Grant::new(grant.pool.clone(), spec, grant.confirmed.clone(), held.collect())
        };
    }

    fn files(&self) -> BTreeMap<String, String> {
        let pool = self.grant.lock().unwrap().as_ref().map_or("lan".to_owned(), |grant| grant.pool.to_string());
        let entries = std::fs::read_dir(self.folder.path().join(pool)).into_iter().flatten().flatten();
        let file = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            name.parse::<IpAddr>().ok()?;
            Some((name, std::fs::read_to_string(entry.path()).unwrap()))
        };
        entries.filter_map(file).collect()
    }

    /// Lets the node keep all its blocks.
    fn keep(&self) {
        self.grant.lock().unwrap().as_mut().unwrap().warm = Warm { min: 0, max: 99 };
    }

    /// Lets time pass, for as long as the blocks were confirmed.
    fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
        self.grant.lock().unwrap().as_mut().unwrap().confirmed = self.now();
    }

    /// All files of the pool but the lock.
    fn all_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("lan")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name != "lock").collect()
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}

fn here() -> Confirmed {
    Confirmed { boot: "b".to_owned(), since_boot: 50, clock: 50 }
}

fn lease(first: &str) -> Granted {
    Granted { first: first.parse().unwrap(), size: 2, lease: first.to_owned() }
}

/// A block of one address.
fn single(first: &str) -> Granted {
    Granted { size: 1, ..lease(first) }
}

impl Lessor for FakeNode {
    fn folders(&self, pool: &PoolName) -> Folders {
        let own = self.folder.path().join(pool.as_str());
        Folders { own, copies: self.folder.path().join("copies").join(pool.as_str()) }
    }
    fn claim_folder(&self) -> Result<(), Unclaimed> {
        Ok(())
    }
    fn grant(&self, _: &PoolName) -> Result<Option<Grant>, String> {
        Ok(self.grant.lock().unwrap().clone())
    }
    fn report(&self, _: &PoolName) -> Result<Report, String> {
        Ok(self.report.lock().unwrap().clone())
    }
    fn tell(&self, _: &PoolName, report: &Report) -> io::Result<()> {
        *self.report.lock().unwrap() = report.clone();
        Ok(())
    }
    fn now(&self) -> Confirmed {
        Confirmed { clock: self.clock.load(std::sync::atomic::Ordering::Relaxed), ..here() }
    }
    fn lease(&self, pool: &PoolName, need: &Need, _: Instant) -> Result<Vec<IpAddr>, Unleased> {
        let later = |why: &str| Unleased::Later(why.to_owned());
        let families = &need.families;
        self.asked.lock().unwrap().push(families.clone());
        if self.is_alone.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(later("plexusd does not answer"));
        }
        if pool.is_implied() {
            let pool = Pool::of_addresses(&need.within);
            let mut taken = self.taken_by_others.lock().unwrap();
            for is_v4 in
                [true, false].into_iter().filter(|is_v4| families.contains(&crate::ipam::grant::family(*is_v4)))
            {
                let held = self.grant.lock().unwrap().iter().flat_map(|grant| grant.offers.clone()).collect::<Vec<_>>();
                let mut unavailable = taken.clone();
                unavailable.extend(held.iter().map(|offer| offer.granted.first));
                let block = pool.next_block(is_v4, 0, &unavailable).ok_or_else(|| later("no block is free"))?;
                taken.remove(&block.first);
                self.lease_block(&block.first.to_string());
            }
            return Ok(Vec::new());
        }
        if let Some(whose) = &need.kept_for {
            return self.lease_kept(whose, need);
        }
        if let Some((address, _)) = need.within.first() {
            let pool = Pool::new(&self.spec).unwrap();
            pool.judge_request(*address).map_err(Unleased::Later)?;
            let block = pool.block_of(*address);
            if self.taken_by_others.lock().unwrap().contains(&block.first) {
                return Err(Unleased::Later(format!("{address} is in a block of node w2")));
            }
            self.lease_block(&block.first.to_string());
            return Ok(Vec::new());
        }
        let mut stock = self.stock.lock().unwrap();
        let at =
            stock.iter().position(|(family, _)| families.contains(family)).ok_or_else(|| later("no block is free"))?;
        let (_, first) = stock.remove(at);
        self.lease_block(first);
        Ok(Vec::new())
    }
}

const CONFIG: &str =
    r#"{"cniVersion":"1.1.0","name":"net","type":"macvlan","ipam":{"type":"plexus-ipam","pool":"lan"}"#;

/// Calls the plugin with `more` in its configuration and `args` as CNI_ARGS.
fn call<T>(
    node: &Arc<FakeNode>,
    container: &str,
    more: &str,
    args: &str,
    work: impl FnOnce(&Leased, &Call<'_>) -> Result<T, Error>,
) -> Result<T, String> {
    call_with(node, &format!("{CONFIG}{more}}}"), container, args, work)
}

/// Calls the plugin with the configuration `text`.
fn call_with<T>(
    node: &Arc<FakeNode>,
    text: &str,
    container: &str,
    args: &str,
    work: impl FnOnce(&Leased, &Call<'_>) -> Result<T, Error>,
) -> Result<T, String> {
    let text = text.to_owned();
    let plugin = PluginConfig::new(RawObject::parse(&text).unwrap()).unwrap();
    let (id, ifname, args) = (ContainerId::new(container).unwrap(), IfName::new("net1").unwrap(), CniArgs::parse(args));
    let patience = Duration::from_secs(20);
    let scope = Scope {
        container_id: Some(&id),
        ifname: Some(&ifname),
        ..Scope::of_node(&args, &[], patience, Instant::now() + patience)
    };
    let kind = if text.contains(r#""type":"whereabouts""#) { whereabouts::TYPE } else { TYPE };
    let plexus = Leased::new(kind, Some(Arc::clone(node) as Arc<dyn Lessor>));
    work(&plexus, &Call { scope: &scope, plugin: &plugin, stdin: text }).map_err(|e| {
        let error = e.to_cni();
        format!("{} {}", error.code, error.msg)
    })
}

fn add(node: &Arc<FakeNode>, container: &str) -> Result<Vec<String>, String> {
    add_with(node, container, "")
}

fn add_with(node: &Arc<FakeNode>, container: &str, args: &str) -> Result<Vec<String>, String> {
    let result = call(node, container, "", args, Ipam::add)?;
    Ok(result.ips.iter().map(|ip| ip.address.to_string()).collect())
}

fn del(node: &Arc<FakeNode>, container: &str, more: &str) {
    call(node, container, more, "", Ipam::del).unwrap();
}

#[test]
fn addresses_are_taken_and_given_back_without_a_question() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.2/24"]);
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.3/24"]);
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.2/24"], "the same attachment has the same address");
    assert_eq!(node.files()["10.0.0.2"], "a\r\nnet1\r\nnet");
    call(&node, "a", "", "", Ipam::check).unwrap();
    assert!(call(&node, "c", "", "", Ipam::check).is_err());
    // DEL(A) never changes what B holds, and knows of addresses by the result or by a look at all.
    del(&node, "a", r#","prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.3/24"}]}"#);
    assert_eq!(node.names(), ["10.0.0.3"]);
    del(&node, "b", r#","prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.3/24"}]}"#);
    del(&node, "b", "");
    assert_eq!(node.names(), [""; 0]);
    assert_eq!(*node.asked.lock().unwrap(), [[0_u8; 0]; 0], "the daemon was asked");
}

#[test]
fn a_node_without_stock_asks_and_then_says_why() {
    let node = FakeNode::new(&["10.0.0.0/24"], &[], &[(4, "10.0.0.8")]);
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.8/24"]);
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.9/24"]);
    let error = add(&node, "c").unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("pool lan") && error.contains("no block is free"), "{error}");
}

#[test]
fn all_families_or_none() {
    // Case 42
    let node = FakeNode::new(&["10.0.0.0/24", "fd00::/64"], &["10.0.0.2"], &[(6, "fd00::4")]);
    // The first try of IPv4 was given back, and the next one begins after it.
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.3/24", "fd00::4/64"]);
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.2/24", "fd00::5/64"]);
    del(&node, "a", r#","prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.3/24"}]}"#);
    assert_eq!(node.names(), ["10.0.0.2", "fd00::5"], "a result that is not whole");
    add(&node, "a").unwrap();
    node.lease_block("10.0.0.6");
    let error = add(&node, "c").unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("IPv6"), "{error}");
    assert_eq!(node.names(), ["10.0.0.2", "10.0.0.3", "fd00::4", "fd00::5"], "a family without the other");
}

#[test]
fn without_authority_nothing_new_is_taken() {
    // U4
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[]);
    for (boot, clock, why) in [("other", 50, "since the machine started"), ("b", 0, "")] {
        let confirmed = Confirmed { boot: boot.to_owned(), since_boot: 50, clock };
        node.grant.lock().unwrap().as_mut().unwrap().confirmed = confirmed;
        node.grant.lock().unwrap().as_mut().unwrap().authority_seconds = 10;
        let error = add(&node, "a").unwrap_err();
        assert!(error.starts_with("11 ") && error.contains(why), "{error}");
    }
    assert_eq!(node.names(), [""; 0]);
    *node.grant.lock().unwrap() = None;
    assert!(add(&node, "a").unwrap_err().contains("this node has no block of it"));
    del(&node, "a", "");
}

#[test]
fn a_grant_that_contradicts_itself_gives_no_address_and_loses_none() {
    // Found by `fuzz/run leases`: only a damaged file of the daemon says this.
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[]);
    let subnet = |net: &str, gateway: Option<&str>| Subnet {
        net: net.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    // No range has the block, or the gateway is in it.
    let cases = [(subnet("10.9.0.0/24", None), None), (subnet("10.0.0.0/24", Some("10.0.0.2")), Some("10.0.0.3/24"))];
    for (subnet, expected) in cases {
        node.grant.lock().unwrap().as_mut().unwrap().subnets = vec![subnet];
        assert_eq!(add(&node, "a").ok(), expected.map(|address| vec![address.to_owned()]));
        assert_eq!(node.names().len(), usize::from(expected.is_some()), "{:?}", node.names());
    }
}

#[test]
fn what_is_empty_goes_back_and_is_not_used_again() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[(4, "10.0.0.8")]);
    add(&node, "a").unwrap();
    del(&node, "a", "");
    let released = node.report.lock().unwrap().released.clone();
    assert_eq!(released.iter().map(|r| r.first.to_string()).collect::<Vec<_>>(), ["10.0.0.2"]);
    // The daemon has not seen it yet.
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.8/24"]);
}

#[test]
fn gc_knows_whose_address_it_judges() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    add(&node, "kept").unwrap();
    add(&node, "gone").unwrap();
    let other = node.folder.path().join("lan/10.0.0.5");
    std::fs::write(&other, "x\r\nnet1\r\nother-network").unwrap();
    std::fs::write(node.folder.path().join("lan/10.0.0.4"), "").unwrap();
    let valid = r#","cni.dev/valid-attachments":[{"containerID":"kept","ifname":"net1"}]"#;
    call(&node, "x", "", "", Ipam::gc).unwrap();
    assert_eq!(node.names().len(), 4, "no list says nothing");
    call(&node, "x", valid, "", Ipam::gc).unwrap();
    assert_eq!(node.names(), ["10.0.0.2", "10.0.0.5"]);
}

#[test]
fn pools_of_a_network() {
    let of = |plugins: &str| {
        let network = NetworkConfig::parse(&format!(r#"{{"name":"n","plugins":[{plugins}]}}"#), None).unwrap();
        pools(&network).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of(r#"{"type":"sriov","ipam":{"type":"plexus-ipam","pool":"lan"}}"#), ["lan"]);
    assert_eq!(of(r#"{"type":"x","IPAM":{"Type":"plexus-ipam","pool":"a","POOL":"b"}}"#), ["a", "b"]);
    assert!(of(r#"{"type":"x","ipam":{"type":"host-local","pool":"a"}}"#).is_empty());
}
