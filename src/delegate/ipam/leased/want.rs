//! What one call wants of a pool, and why it does not get it.

use super::lessor::Need;
use super::whereabouts::Part;
use crate::ipam::grant::family;
use std::net::IpAddr;

/// Why nothing was taken, where another lease may help.
pub(super) struct Dry {
    /// What would help.
    pub(super) need: Need,
    /// One line for a person.
    pub(super) why: String,
    /// There are addresses that others had a moment ago.
    pub(super) cooling: bool,
    /// So many addresses of the pool this node has in use; none where they were not counted.
    pub(super) taken: usize,
    /// As far as this node knows, no pod gets the address that was asked for.
    pub(super) is_refused: bool,
}

impl Dry {
    /// Without more to tell.
    pub(super) fn of(need: Need, why: String) -> Self {
        Dry { need, why, cooling: false, taken: 0, is_refused: false }
    }
}

/// One address that is to be taken.
pub(super) struct Want<'a> {
    /// Of IPv4.
    pub(super) is_v4: bool,
    /// The range of the section; none where the pool has the ranges.
    pub(super) part: Option<&'a Part>,
    /// This one and no other.
    pub(super) exact: Option<IpAddr>,
    /// The one that is kept for the pod, and no other.
    pub(super) is_kept: bool,
}

impl Want<'_> {
    /// Whether `address`, which the attachment has, is what is wanted.
    pub(super) fn is_met_by(&self, address: IpAddr) -> bool {
        let in_part = |part: &Part| part.net.contains(&address);
        let is_exact = self.is_kept || self.exact.is_none_or(|it| it == address);
        address.is_ipv4() == self.is_v4 && self.part.is_none_or(in_part) && is_exact
    }

    /// What helps where it is in no block of this node.
    pub(super) fn need(&self) -> Need {
        let within = match (self.exact, self.part) {
            (Some(exact), _) => vec![(exact, exact)],
            (None, part) => part.map(Part::within).unwrap_or_default(),
        };
        Need { families: vec![family(self.is_v4)], within, ..Need::default() }
    }
}
