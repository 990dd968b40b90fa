//! One call that takes addresses, and what it has taken.

use super::folder::{self, Addresses};
use super::lessor::Lessor;
use super::settings::Settings;
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use crate::ipam::Probe;
use crate::ipam::history::Owner;
use crate::sys::conflicts::Claim;
use ipnet::IpNet;
use std::net::IpAddr;

/// One call, and what it may take.
pub(super) struct Turn<'a> {
    pub(super) settings: &'a Settings,
    pub(super) lessor: &'a dyn Lessor,
    pub(super) call: &'a Call<'a>,
    /// Also addresses that others had a moment ago: there is no other.
    pub(super) takes_cooling: bool,
    /// What the daemon keeps for the pod, as it answered.
    pub(super) answered: Vec<IpAddr>,
    /// What this call has taken already.
    pub(super) kept: Vec<IpAddr>,
}

/// What a call has taken.
pub(super) struct Taken {
    pub(super) ips: Vec<IpConfig>,
    /// Those of them that were not taken for the attachment before.
    pub(super) new: Vec<IpNet>,
    /// Those of them in whose place no other one is wanted.
    pub(super) exact: Vec<IpAddr>,
    /// Whether others are to be asked for the new ones.
    pub(super) probe: Probe,
}

impl<'a> Turn<'a> {
    /// `call` takes nothing yet.
    pub(super) fn new(settings: &'a Settings, lessor: &'a dyn Lessor, call: &'a Call<'a>) -> Self {
        Turn { settings, lessor, call, takes_cooling: false, answered: Vec::new(), kept: Vec::new() }
    }

    /// Of what was `taken`, the addresses of `claims` are others': they are given back, and this node gives them to nobody
    /// for a while. The rest is kept.
    pub(super) fn refuse(&mut self, taken: &Taken, claims: &[Claim]) -> Result<(), Failure> {
        let is_claimed = |address: IpAddr| claims.iter().any(|claim| claim.address == address);
        let (claimed, kept): (Vec<IpAddr>, Vec<IpAddr>) =
            taken.new.iter().map(IpNet::addr).partition(|address| is_claimed(*address));
        self.kept.extend(kept);
        let addresses = self.open()?;
        let owner = self.owner()?;
        claimed.iter().try_for_each(|address| addresses.withdraw(*address, &owner))?;
        addresses.set_aside(claims)
    }

    /// Gives back what was kept.
    pub(super) fn give_up(&self) -> Result<(), Failure> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let (addresses, owner) = (self.open()?, self.owner()?);
        self.kept.iter().try_for_each(|address| addresses.withdraw(*address, &owner))
    }

    /// Locks the folder of the pool.
    pub(super) fn open(&self) -> Result<Addresses, Failure> {
        let folders = self.lessor.folders(&self.settings.pool);
        Addresses::open(&folders, self.call.scope.plugin_deadline(), || self.lessor.now())
    }

    /// For whom addresses are taken.
    pub(super) fn owner(&self) -> Result<Owner, Failure> {
        Ok(folder::owner(self.call, Target::of(self.call)?, &self.settings.network))
    }
}
