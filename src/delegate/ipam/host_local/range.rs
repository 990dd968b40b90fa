//! Ranges of addresses, and the order in which they are tried.

use super::super::address;
use crate::cni::RawObject;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::read_ip;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// A range; both ends belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    /// Never given away.
    pub(super) gateway: IpAddr,
}

/// Ranges of one family, of which one address is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeSet(pub(super) Vec<Range>);

impl Range {
    /// Reads a range and fills in what it leaves open.
    pub(super) fn read(object: &RawObject) -> Result<Self, Failure> {
        let subnet: IpNet =
            object.read("subnet")?.ok_or_else(|| Failure::Config("ranges: a range has no subnet".to_owned()))?;
        if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
            return Err(Failure::Config(format!("subnet {subnet} is too small to take addresses from")));
        }
        if subnet.addr() != subnet.network() {
            return Err(Failure::Config(format!("subnet {subnet} has host bits set: it would be {}", subnet.trunc())));
        }
        let first = next(subnet.network());
        let last = match subnet {
            IpNet::V4(subnet) => (u32::from(subnet.broadcast()) - 1).to_be_bytes().into(),
            IpNet::V6(subnet) => subnet.broadcast().into(),
        };
        let range = Range {
            subnet,
            start: read_ip(object, "rangeStart")?.unwrap_or(first),
            end: read_ip(object, "rangeEnd")?.unwrap_or(last),
            gateway: read_ip(object, "gateway")?.unwrap_or(first),
        };
        for (name, end) in [("rangeStart", range.start), ("rangeEnd", range.end)] {
            if !subnet.contains(&end) {
                return Err(Failure::Config(format!("{name} {end} is not in subnet {subnet}")));
            }
        }
        if range.end < range.start {
            return Err(Failure::Config(format!("rangeEnd {} is before rangeStart {}", range.end, range.start)));
        }
        Ok(range)
    }

    /// What the reference takes and no attachment can use.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        for (name, end) in [("rangeStart", self.start), ("rangeEnd", self.end)] {
            if let Some(why) = address::fault(end) {
                return Err(Failure::Config(format!("{name} {end} of subnet {} cannot be used: {why}", self.subnet)));
            }
        }
        address::same_family(self.gateway, "subnet", self.subnet)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && self.start <= address && address <= self.end
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.contains(other.start) || self.contains(other.end) || other.contains(self.start)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
        f.write_str(&ranges.join(", "))
    }
}

impl RangeSet {
    /// Reads a set.
    pub(super) fn read(objects: &[RawObject]) -> Result<Self, Failure> {
        let ranges = objects.iter().map(Range::read).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = ranges.first() else {
            return Err(Failure::Config("ranges: a range set is empty".to_owned()));
        };
        if ranges.iter().any(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(Failure::Config(format!("ranges: the range set of {} mixes IPv4 and IPv6", first.subnet)));
        }
        for (i, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[i + 1..].iter().find(|other| range.overlaps(other)) {
                return Err(Failure::Config(format!("ranges: those of {} and {} overlap", range.subnet, other.subnet)));
            }
        }
        Ok(RangeSet(ranges))
    }

    /// Whether its ranges are of IPv4.
    pub(super) fn is_v4(&self) -> bool {
        self.0.iter().any(|range| range.start.is_ipv4())
    }

    pub(super) fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    pub(super) fn overlaps(&self, other: &RangeSet) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|other| range.overlaps(other)))
    }

    /// The addresses in the order in which they are tried: from the one after `last`, where that is in
    /// the set, else from the beginning; once around; without gateways.
    pub(super) fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let at = last.and_then(|last| self.0.iter().position(|range| range.contains(last)));
        let mut walk = Walk { set: self, range: at.unwrap_or(0), current: at.and(last), first: None };
        std::iter::from_fn(move || walk.step()).filter(|(address, range)| *address != range.gateway)
    }
}

/// A walk around a set.
struct Walk<'a> {
    set: &'a RangeSet,
    range: usize,
    current: Option<IpAddr>,
    /// Where it began: coming here again is the end.
    first: Option<IpAddr>,
}

impl<'a> Walk<'a> {
    fn step(&mut self) -> Option<(IpAddr, &'a Range)> {
        let ranges = &self.set.0;
        let address = match self.current {
            None => ranges.get(self.range)?.start,
            Some(current) if current == ranges.get(self.range)?.end => {
                self.range = (self.range + 1) % ranges.len();
                ranges[self.range].start
            }
            Some(current) => next(current),
        };
        if self.first == Some(address) {
            return None;
        }
        self.first.get_or_insert(address);
        self.current = Some(address);
        Some((address, &ranges[self.range]))
    }
}

/// The address after `address`; the one after the last is the first, which no range reaches.
fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => u32::from(address).wrapping_add(1).to_be_bytes().into(),
        IpAddr::V6(address) => u128::from(address).wrapping_add(1).to_be_bytes().into(),
    }
}
