//! The API server: a map with versions, on which each request is done at one moment.

use crate::check;
use crate::core::{Owner, Time, World};
use crate::plan::Without;
use plexus::ipam::epoch::Record;
use plexus::ipam::holder::Owned;
use plexus::ipam::scarcity::Mark;
use plexus::ipam::{Block, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

/// An AddressBlock.
#[derive(Clone, Debug)]
pub struct BlockObject {
    pub node: usize,
    pub size: u32,
    pub epoch: String,
    pub lease: String,
    pub version: u64,
    pub uid: u64,
}

/// An AddressNode.
#[derive(Clone, Debug)]
pub struct RecordObject {
    pub uid: u64,
    pub version: u64,
    pub revoked_at: Option<Time>,
    pub dead_at: Option<Time>,
}

/// A Node, and since when it is gone.
#[derive(Clone, Debug, Default)]
pub struct NodeObject {
    pub gone_since: Option<Time>,
}

/// What etcd holds.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub blocks: BTreeMap<IpAddr, BlockObject>,
    pub of_node: Vec<BTreeSet<IpAddr>>,
    pub records: Vec<Option<RecordObject>>,
    pub nodes: Vec<NodeObject>,
    /// Somebody waits for an address.
    pub mark: Option<Mark>,
    revision: u64,
}

/// The API server.
pub struct Api {
    pub store: Store,
    pub backup: Option<Store>,
    pub is_away: bool,
    uids: u64,
}

/// A block as the controller has seen it.
pub type Leased = (IpAddr, BlockObject);

#[derive(Clone)]
pub enum Request {
    Record,
    CreateRecord,
    WriteRecord {
        node: usize,
        judged: Record,
        is_revoked: bool,
        is_dead: bool,
        exactly: bool,
    },
    List {
        epoch: String,
    },
    Others,
    Create {
        block: Block,
        epoch: String,
        lease: String,
    },
    Renew {
        block: Block,
        epoch: String,
        lease: String,
        version: String,
    },
    Delete {
        block: Block,
        version: String,
        exactly: bool,
    },
    Look {
        block: Block,
        epoch: String,
    },
    /// Creates the mark, or writes another word to the one of this version.
    Mark {
        word: String,
        version: Option<String>,
    },
    Records {
        gone: Rc<BTreeSet<usize>>,
    },
    Strays,
    BlocksOf(usize),
    RecordOf(usize),
    IsGone(usize),
    Free {
        leased: Leased,
        exactly: bool,
    },
    DeleteRecord {
        node: usize,
        judged: Record,
    },
}

pub enum Reply {
    /// 429, or 401.
    Refused,
    Record(Option<Record>),
    /// It is done, or it is there, or has another version.
    Written,
    Listed(Vec<Owned>),
    Others(BTreeSet<IpAddr>),
    Told(Event),
    /// Nodes whose records are of interest, and which nodes have one.
    Records(BTreeSet<usize>, Vec<bool>),
    /// Nodes that have blocks.
    Nodes(BTreeSet<usize>),
    Blocks(Vec<Leased>),
    /// When that was so, too.
    IsGone(bool, Time),
}

impl Api {
    pub fn new(nodes: usize) -> Self {
        let (records, of_node) = (vec![None; nodes], vec![BTreeSet::new(); nodes]);
        let nodes = vec![NodeObject::default(); nodes];
        let store = Store { records, of_node, nodes, ..Store::default() };
        Api { store, backup: None, is_away: false, uids: 0 }
    }

    fn next(&mut self) -> u64 {
        self.store.revision += 1;
        self.store.revision
    }

    fn uid(&mut self) -> u64 {
        self.uids += 1;
        self.uids
    }

    fn record(&self, node: usize) -> Option<Record> {
        let object = self.store.records[node].as_ref()?;
        Some(Record {
            epoch: format!("e{}", object.uid),
            version: object.version.to_string(),
            revoked_at: object.revoked_at.map(|at| at.to_string()).unwrap_or_default(),
            is_dead: object.dead_at.is_some(),
        })
    }

    pub fn is_judged(&self, node: usize, judged: &Record, exactly: bool) -> bool {
        let current = self.record(node);
        current.is_some_and(|now| now.epoch == judged.epoch && (!exactly || now.version == judged.version))
    }

    fn owned(&self, first: IpAddr, epoch: &str) -> Option<Owned> {
        let object = self.store.blocks.get(&first)?;
        let block = Block { first, size: object.size };
        let (lease, version) = (object.lease.clone(), object.version.to_string());
        Some(Owned { block, lease, version, is_current: object.epoch == epoch })
    }

    fn leased(&self, node: usize) -> Vec<Leased> {
        self.store.of_node[node].iter().map(|first| (*first, self.store.blocks[first].clone())).collect()
    }

    fn remove(&mut self, first: IpAddr) -> Option<BlockObject> {
        let object = self.store.blocks.remove(&first)?;
        self.store.of_node[object.node].remove(&first);
        Some(object)
    }

    fn put(&mut self, node: usize, block: Block, epoch: String, lease: String, uid: Option<u64>) -> String {
        let version = self.next();
        let uid = uid.unwrap_or_else(|| self.uid());
        let object = BlockObject { node, size: block.size, epoch, lease, version, uid };
        self.store.blocks.insert(block.first, object);
        self.store.of_node[node].insert(block.first);
        version.to_string()
    }
}

/// Does `request` of `owner`.
pub fn serve(world: &mut World, owner: Owner, request: Request) -> Reply {
    match owner {
        Owner::Daemon(node, _) | Owner::Plugin(node, _) => of_node(world, node, request),
        Owner::Controller(..) => of_controller(world, request),
    }
}

fn of_node(world: &mut World, node: usize, request: Request) -> Reply {
    trace(world, node, &request);
    let api = &mut world.api;
    match request {
        Request::Record | Request::List { .. } | Request::Others | Request::Look { .. } => world.counts.reads += 1,
        Request::CreateRecord | Request::WriteRecord { .. } => world.counts.record_writes += 1,
        Request::Mark { .. } => world.counts.marks += 1,
        _ => world.counts.block_writes += 1,
    }
    match request {
        Request::Record => Reply::Record(api.record(node)),
        Request::CreateRecord => {
            let is_free = api.store.records[node].is_none();
            if is_free {
                let (uid, version) = (api.uid(), api.next());
                api.store.records[node] = Some(RecordObject { uid, version, revoked_at: None, dead_at: None });
            }
            Reply::Written
        }
        Request::WriteRecord { judged, .. } => write_record(world, node, &judged, (false, false), true),
        Request::List { epoch } => {
            let firsts = api.store.of_node[node].iter();
            Reply::Listed(firsts.filter_map(|first| api.owned(*first, &epoch)).collect())
        }
        Request::Others => {
            let others = api.store.blocks.iter().filter(|(_, object)| object.node != node);
            Reply::Others(others.map(|(first, _)| *first).collect())
        }
        Request::Create { .. } | Request::Renew { .. } | Request::Delete { .. } => {
            Reply::Told(write_block(world, node, request))
        }
        Request::Mark { word, version } => {
            let known = api.store.mark.as_ref().map(|mark| mark.version.clone());
            if known == version {
                let version = api.next().to_string();
                api.store.mark = Some(Mark { word, version });
                crate::weather::marked(world);
            }
            Reply::Written
        }
        Request::Look { block, epoch } => {
            let object = api.store.blocks.get(&block.first).map(|object| object.node);
            Reply::Told(match object {
                None => Event::Absent(block.first),
                Some(owner) if owner != node => Event::Others(block.first),
                Some(_) => api.owned(block.first, &epoch).map_or(Event::Absent(block.first), Event::Seen),
            })
        }
        _ => Reply::Refused,
    }
}

/// Creates, renews or deletes a block of `node`.
fn write_block(world: &mut World, node: usize, request: Request) -> Event {
    let api = &mut world.api;
    match request {
        Request::Create { block, epoch, lease } => {
            if api.store.blocks.contains_key(&block.first) {
                return Event::Conflict(block.first);
            }
            let version = api.put(node, block, epoch, lease, None);
            check::leased(world, node, block);
            crate::weather::created(world, node);
            Event::Written(block.first, version)
        }
        Request::Renew { block, epoch, lease, version } => {
            let known = api.store.blocks.get(&block.first).filter(|known| known.node == node);
            let Some(known) = known else { return Event::Absent(block.first) };
            if known.version.to_string() != version {
                return Event::Conflict(block.first);
            }
            let uid = known.uid;
            Event::Written(block.first, api.put(node, block, epoch, lease, Some(uid)))
        }
        Request::Delete { block, version, exactly } => {
            let Some(known) = api.store.blocks.get(&block.first) else { return Event::Absent(block.first) };
            if known.node != node || (exactly && known.version.to_string() != version) {
                return Event::Conflict(block.first);
            }
            api.remove(block.first);
            world.counts.returned += 1;
            check::freed(world, node, block);
            Event::Absent(block.first)
        }
        _ => Event::Refused(IpAddr::from([0, 0, 0, 0])),
    }
}

fn trace(world: &World, node: usize, request: &Request) {
    let (block, what) = match request {
        Request::Create { block, lease, .. } => (block, format!("creates {lease}")),
        Request::Renew { block, lease, version, .. } => (block, format!("renews {lease} of version {version}")),
        Request::Delete { block, version, .. } => (block, format!("deletes version {version}")),
        Request::Look { block, .. } => (block, "looks".to_owned()),
        _ => return,
    };
    let known = world.api.store.blocks.get(&block.first);
    world.trace(block.first, || format!("n{node} {what}; there is {known:?}"));
}

fn write_record(
    world: &mut World,
    node: usize,
    judged: &Record,
    (is_revoked, is_dead): (bool, bool),
    exactly: bool,
) -> Reply {
    let is_judged = world.api.is_judged(node, judged, exactly);
    if is_judged {
        let version = world.api.next();
        let now = world.now;
        if let Some(object) = &mut world.api.store.records[node] {
            object.version = version;
            object.revoked_at = if is_revoked { object.revoked_at.or(Some(now)) } else { None };
            object.dead_at = if is_dead { object.dead_at.or(Some(now)) } else { None };
        }
        crate::weather::record_changed(world, node);
        if is_dead {
            check::buried(world, node);
        }
    }
    Reply::Written
}

fn of_controller(world: &mut World, request: Request) -> Reply {
    let api = &mut world.api;
    match request {
        Request::Records { gone } => {
            let is_marked = |object: &RecordObject| object.revoked_at.is_some() || object.dead_at.is_some();
            let records = api.store.records.iter().enumerate();
            let wanted = records.filter_map(|(node, record)| {
                let record = record.as_ref()?;
                (is_marked(record) || gone.contains(&node)).then_some(node)
            });
            Reply::Records(wanted.collect(), api.store.records.iter().map(Option::is_some).collect())
        }
        Request::Strays => {
            let of_node = api.store.of_node.iter().enumerate();
            Reply::Nodes(of_node.filter(|(_, blocks)| !blocks.is_empty()).map(|(node, _)| node).collect())
        }
        Request::BlocksOf(node) => Reply::Blocks(api.leased(node)),
        Request::RecordOf(node) => Reply::Record(api.record(node)),
        Request::IsGone(node) => {
            crate::weather::outlived(world, node);
            Reply::IsGone(world.api.store.nodes[node].gone_since.is_some(), world.now)
        }
        Request::WriteRecord { node, judged, is_revoked, is_dead, exactly } => {
            write_record(world, node, &judged, (is_revoked, is_dead), exactly)
        }
        Request::Free { leased: (first, seen), exactly } => {
            let is_seen = |known: &BlockObject| (known.uid, known.version) == (seen.uid, seen.version) || !exactly;
            if !api.store.blocks.get(&first).is_some_and(is_seen) {
                return Reply::Written;
            }
            world.trace(first, || format!("a controller frees {seen:?}"));
            let Some(object) = world.api.remove(first) else { return Reply::Written };
            world.counts.freed += 1;
            check::freed(world, object.node, Block { first, size: object.size });
            check::reclaimed(world, object.node);
            Reply::Written
        }
        Request::DeleteRecord { node, judged } => {
            let is_judged = api.is_judged(node, &judged, world.without != Without::Version);
            if is_judged {
                api.store.records[node] = None;
                crate::weather::record_changed(world, node);
            }
            Reply::Written
        }
        _ => Reply::Refused,
    }
}
