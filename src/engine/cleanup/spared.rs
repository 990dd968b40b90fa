//! What GC tells plugins to keep beyond what is recorded: the runtime lists a sandbox's first interface only, and a
//! record may be missing, unreadable, or younger than our look at it.

use crate::cni::request::ValidAttachment;
use crate::cni::{ContainerId, IfName, NetworkConfig};
use crate::delegate::ipam::host_local::leases::{self, Lease};
use crate::delegate::ipam::{host_local, leased, static_};
use crate::engine::cleanup::leases::pools_of;
use crate::engine::cleanup::live_sandboxes;
use crate::engine::cleanup::live_sandboxes::LiveSandboxes;
use crate::engine::cleanup::survey::Survey;
use crate::engine::{Turn, multus};
use crate::sys::lock::FileLock;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// The interface of a lease that names none.
const ANY: &str = "eth0";

/// Whose leases no plugin may free, though no record lists them.
#[derive(Debug)]
pub(in crate::engine) struct Spared<'a> {
    valid: &'a [ValidAttachment],
    /// Containers whose record was read while no call worked there: it lists all they have.
    told: BTreeSet<String>,
    /// Looked at once, and only if there is a lease to judge.
    node: OnceCell<Result<Node, String>>,
}

/// What the node shows.
#[derive(Debug)]
struct Node {
    living: LiveSandboxes,
    used: BTreeSet<IpAddr>,
}

impl<'a> Spared<'a> {
    /// For the runtime's list.
    pub(in crate::engine) fn new(valid: &'a [ValidAttachment]) -> Self {
        Spared { valid, told: BTreeSet::new(), node: OnceCell::new() }
    }

    /// The record of `id` lists all that it has.
    pub(in crate::engine) fn told_by_record(&mut self, id: &ContainerId) {
        self.told.insert(id.to_string());
    }

    /// What the plugins of `network` are to keep: `valid`, and every lease of a container that may live. None where they
    /// are not to be asked: it cannot be known what they would free.
    ///
    /// # Errors
    /// One line: what is needed to know it cannot be read.
    pub(in crate::engine) fn with(
        &self,
        turn: &Turn,
        network: &NetworkConfig,
        is_default: bool,
        valid: &[ValidAttachment],
    ) -> Result<Option<Vec<ValidAttachment>>, String> {
        let mut all = valid.to_vec();
        // Of the default network a sandbox has the interface that the runtime lists.
        if !is_default && !is_listable(network) && self.has_untold(turn) {
            turn.warn(format!(
                "network {}: its plugins are not asked to collect: a valid sandbox has no record, and its leases cannot be listed",
                network.name
            ));
            return Ok(None);
        }
        for pool in pools_of(turn, network)? {
            let leases = leases::older_than(&pool, Duration::ZERO).map_err(|e| format!("{}: {e}", pool.display()))?;
            for lease in leases.into_iter().filter(|lease| !is_listed(lease, valid)) {
                if self.is_spared(turn, &lease)? {
                    let ifname = lease.ifname.unwrap_or_else(|| ANY.to_owned());
                    all.push(ValidAttachment { container_id: lease.container, ifname });
                }
            }
        }
        all.sort();
        all.dedup();
        Ok(Some(all))
    }

    fn is_spared(&self, turn: &Turn, lease: &Lease) -> Result<bool, String> {
        // It was taken while we worked: by an ADD of which our look at the records knows nothing.
        if lease.age <= turn.began.elapsed() {
            return Ok(true);
        }
        let node = self.node.get_or_init(|| Node::look(turn)).as_ref().map_err(Clone::clone)?;
        if node.used.contains(&lease.address) {
            return Ok(true);
        }
        let container = lease.container.as_str();
        let may_live = || self.is_valid(container) || node.living.has(container) || is_locked(turn, container);
        Ok(!self.told.contains(container) && may_live())
    }

    fn is_valid(&self, container: &str) -> bool {
        self.valid.iter().any(|valid| valid.container_id == container)
    }

    /// Whether the runtime lists a sandbox of which neither we nor Multus tell what it has.
    fn has_untold(&self, turn: &Turn) -> bool {
        let is_told = |valid: &ValidAttachment| {
            let id = ContainerId::new(valid.container_id.as_str()).ok();
            let call = IfName::new(valid.ifname.as_str()).ok();
            let of_multus = || id.zip(call).is_some_and(|(id, call)| !multus::attachments(turn, &id, &call).is_empty());
            self.told.contains(&valid.container_id) || of_multus()
        };
        !self.valid.iter().all(is_told)
    }
}

impl Node {
    fn look(turn: &Turn) -> Result<Self, String> {
        let unknown = |e: std::io::Error| format!("it is not known which sandboxes exist: {e}");
        let survey = Survey::read(&turn.store).map_err(unknown)?;
        let sight = live_sandboxes::sight(turn, &survey);
        let living = LiveSandboxes::look(turn, &survey, &sight).map_err(unknown)?;
        let used = live_sandboxes::addresses(turn, &sight)
            .map_err(|e| format!("it is not known which addresses are used: {e}"))?;
        Ok(Node { living, used })
    }
}

/// Whether every address plugin of `network` keeps its leases where we can list them.
fn is_listable(network: &NetworkConfig) -> bool {
    let local = |kind: &str| [host_local::TYPE, leased::TYPE, static_::TYPE].contains(&kind);
    network.plugins.iter().all(|plugin| plugin.ipam.as_ref().is_none_or(|kind| local(kind.as_str())))
}

fn is_listed(lease: &Lease, valid: &[ValidAttachment]) -> bool {
    valid.iter().any(|valid| {
        valid.container_id == lease.container && lease.ifname.as_ref().is_none_or(|ifname| *ifname == valid.ifname)
    })
}

/// Whether a call works in the sandbox; a lock that cannot be looked at counts as held.
fn is_locked(turn: &Turn, container: &str) -> bool {
    let Ok(id) = ContainerId::new(container) else { return false };
    let lock = turn.settings.run.lock(&id);
    lock.exists() && !matches!(FileLock::try_acquire(&lock), Ok(Some(_)))
}
