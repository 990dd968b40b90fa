//! The configuration of `plexus-ipam` or `whereabouts`, from its section and from what the pod asks for.

use super::super::requested::read_requested;
use super::whereabouts::{self, Asked, Part};
use crate::cni::RawObject;
use crate::cni::result::{Dns, IpConfig, Route};
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_dns, read_routes};
use crate::ipam::PoolName;
use crate::ipam::pool::Warm;
use std::net::IpAddr;

/// A node keeps one free address of a range of whereabouts for so many addresses that the range has.
const KEEPS: u128 = 64;

/// What one call is to do.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) pool: PoolName,
    pub(super) network: String,
    /// Only the addresses that are kept for the pod are taken, on every node the same.
    pub(super) is_sticky: bool,
    /// Addresses that must be among those taken.
    pub(super) requested: Vec<IpAddr>,
    /// The ranges of the section, of which one address each is taken; none where the pool has them.
    pub(super) parts: Option<Vec<Part>>,
    /// Addresses of the result that nobody takes.
    pub(super) fixed: Vec<IpConfig>,
    pub(super) routes: Vec<Route>,
    pub(super) dns: Dns,
}

impl Settings {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let stdin = Stdin::parse(call)?;
        let ipam = stdin.section("ipam")?;
        let pool = pool(&ipam)?;
        let routes = read_routes(&ipam, "routes")?;
        let dns = read_dns(&ipam.read("dns")?.unwrap_or_default())?.0;
        if !pool.is_implied() {
            let requested = read_requested(call, &stdin)?;
            let (network, is_sticky) = (stdin.network, ipam.read("sticky")?.unwrap_or_default());
            return Ok(Settings { pool, network, is_sticky, requested, parts: None, fixed: Vec::new(), routes, dns });
        }
        whereabouts::judge_keys(&ipam)?;
        let parts = whereabouts::parts(&ipam)?;
        let Asked { inside, outside } = Asked::read(call, &stdin, &ipam, &parts)?;
        if parts.is_empty() && outside.is_empty() {
            return Err(Failure::Config("ipam of type whereabouts has neither \"range\" nor \"ipRanges\"".to_owned()));
        }
        let network = stdin.network;
        let (requested, parts, fixed) = (inside, Some(parts), outside);
        Ok(Settings { pool, network, is_sticky: false, requested, parts, fixed, routes, dns })
    }
}

/// The pool that the section names, or implies.
pub(super) fn pool(ipam: &RawObject) -> Result<PoolName, Failure> {
    if is_whereabouts(ipam)? {
        return whereabouts::pool(ipam);
    }
    let name: String = ipam.read("pool")?.unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::Config("ipam has no \"pool\", the name of an AddressPool".to_owned()));
    }
    let name = PoolName::new(name).map_err(|e| Failure::Config(format!("ipam: {e}")))?;
    match name.is_implied() {
        true => Err(Failure::Config(format!("ipam: pool {name} belongs to networks of type whereabouts"))),
        false => Ok(name),
    }
}

fn is_whereabouts(ipam: &RawObject) -> Result<bool, Failure> {
    Ok(ipam.read::<String>("type")?.as_deref() == Some(whereabouts::TYPE))
}

/// How many free addresses this node keeps for a section of whereabouts: none where its ranges are small, since every
/// address that one node keeps is missing on another. Nothing where the pool's own object has the number.
pub(super) fn warm(ipam: &RawObject) -> Option<Warm> {
    if !is_whereabouts(ipam).ok()? {
        return None;
    }
    let parts = whereabouts::parts(ipam).ok()?;
    let smallest = parts.iter().map(|part| part.usable.count()).min()?;
    Some(Warm { min: 0, max: u32::try_from((smallest / KEEPS).min(16)).ok()? })
}
