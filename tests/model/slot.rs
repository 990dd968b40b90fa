//! What the model knows of a sandbox.

use crate::op::{CHAINED, NETWORKS, STUBS};
use crate::seen::Thing;
use crate::support::Pod;
use serde_json::Value;
use std::collections::BTreeMap;

/// How far a sandbox is, as the runtime knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// ADD succeeded.
    Attached,
    /// ADD or DEL failed or was killed: DEL has to come.
    Limbo,
}

/// A sandbox that the runtime has not deleted yet.
pub struct Slot {
    pub pod: Pod,
    pub networks: Vec<usize>,
    /// The name of the default network that it got.
    pub primary: String,
    pub state: State,
    /// Its namespace is gone.
    pub ended: bool,
    /// How much of its record was lost, in percent.
    pub torn: Option<usize>,
    /// It was attached while no record could be written.
    pub unrecorded: bool,
    /// The result of ADD, as the runtime keeps it.
    pub result: Value,
    /// Its interfaces when it was attached.
    pub interfaces: BTreeMap<String, Vec<String>>,
    /// How they were then, and the routes.
    pub inside: Vec<String>,
    /// DELs that failed, and DELs in a row that were cancelled.
    pub failed: usize,
    /// How many of those that failed could not be recorded on the disk: a reboot forgets them.
    pub unrecorded_failures: usize,
    pub cancelled: usize,
    /// As [`Past::old`].
    pub old: bool,
    /// Where the plugins were at its ADD: how often they had been moved.
    pub moved: usize,
}

/// What was deleted.
pub struct Past {
    pub pod: Pod,
    /// As [`Slot::result`].
    pub result: Value,
    /// Some of it may be left, and nobody can know: its record was lost.
    pub lost: bool,
    /// As [`Slot::unrecorded`].
    pub unrecorded: bool,
    /// Its record could not be removed.
    pub unwritable: bool,
    /// A day has passed: what plugins of others keep for it, and cannot delete, may have been given up.
    pub old: bool,
}

impl Past {
    /// Whether `thing` of it may be left.
    pub fn may_leave(&self, thing: &Thing) -> bool {
        self.lost || (self.old && thing.what.starts_with("mark"))
    }
}

impl Slot {
    /// Whether its ADD succeeded, and no DEL came yet.
    pub fn is_attached(&self) -> bool {
        self.state == State::Attached
    }

    pub fn is_alive(&self) -> bool {
        self.is_attached() && !self.ended
    }

    /// Whether its record tells all.
    pub fn is_recorded(&self) -> bool {
        self.torn.is_none() && !self.unrecorded
    }

    /// Whether something of it may be lost with its record.
    pub fn is_lost(&self) -> bool {
        self.torn.is_some_and(|percent| percent > 0)
    }

    /// The interface of the network at `place` of the annotation.
    fn ifname(place: usize) -> String {
        format!("net{}", place + 1)
    }

    pub fn links(&self) -> Vec<String> {
        let is_made = |name: &str| name == CHAINED || !STUBS.contains(&name);
        let made = |(_, network): &(usize, &usize)| is_made(NETWORKS[**network]);
        let additional = self.networks.iter().enumerate().filter(made).map(|(place, _)| Slot::ifname(place));
        std::iter::once("eth0".to_owned()).chain(additional).collect()
    }

    /// What its networks keep outside of it, without addresses: what, and for which interface.
    pub fn things(&self) -> Vec<(String, String)> {
        let mut all = vec![(format!("lease of {}", self.primary), "eth0".to_owned())];
        for (place, network) in self.networks.iter().enumerate() {
            let (name, ifname) = (NETWORKS[*network], Slot::ifname(place));
            if STUBS.contains(&name) {
                all.push((format!("mark of {name}"), ifname.clone()));
            }
            let leases = match name {
                CHAINED => 1,
                name if STUBS.contains(&name) => 0,
                "dual" => 2,
                _ => 1,
            };
            all.extend(std::iter::repeat_n((format!("lease of {name}"), ifname), leases));
        }
        all.sort();
        all
    }
}

/// What is compared with [`Slot::things`].
pub fn bare<'a>(things: impl Iterator<Item = &'a Thing>) -> Vec<(String, String)> {
    let mut all: Vec<_> = things.map(|thing| (thing.what.clone(), thing.ifname.clone())).collect();
    all.sort();
    all
}
