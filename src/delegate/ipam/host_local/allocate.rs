//! Taking one address of each range set.

use super::pool::Pool;
use super::range::{Range, RangeSet};
use super::settings::Settings;
use crate::cni::result::IpConfig;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use ipnet::IpNet;
use std::net::IpAddr;

/// Takes an address of every set of `settings`, or none.
pub(super) fn all(pool: &Pool, settings: &Settings, target: Target<'_>) -> Result<Vec<IpConfig>, Failure> {
    let mut taken = Vec::new();
    let done = take_all(pool, settings, target, &mut taken);
    if done.is_err() {
        for ip in &taken {
            // Best effort: the caller's DEL comes after a failed ADD.
            let _ = pool.give_back(ip.address.addr());
        }
    }
    done.map(|()| taken)
}

fn take_all(pool: &Pool, settings: &Settings, target: Target<'_>, taken: &mut Vec<IpConfig>) -> Result<(), Failure> {
    let mut requested = settings.requested.clone();
    for (number, set) in settings.sets.iter().enumerate() {
        let wanted =
            requested.iter().position(|address| set.range_of(*address).is_some()).map(|at| requested.remove(at));
        let (address, range) = match wanted {
            Some(address) => take_requested(pool, set, number, address, target)?,
            None => take_next(pool, set, number, target)?,
        };
        taken.push(IpConfig {
            address: IpNet::new(address, range.subnet.prefix_len()).map_err(|e| Failure::Failed(e.to_string()))?,
            gateway: Some(range.gateway),
            interface: None,
        });
    }
    if let Some(address) = requested.first() {
        return Err(Failure::Failed(format!("requested IP {address} is in no range set that is still free")));
    }
    Ok(())
}

fn take_requested<'a>(
    pool: &Pool,
    set: &'a RangeSet,
    number: usize,
    address: IpAddr,
    target: Target<'_>,
) -> Result<(IpAddr, &'a Range), Failure> {
    let range =
        set.range_of(address).ok_or_else(|| Failure::Failed(format!("requested IP {address} is in no range")))?;
    if address == range.gateway {
        return Err(Failure::Failed(format!("requested IP {address} is the gateway of {}", range.subnet)));
    }
    if pool.take(address, target, number)? {
        return Ok((address, range));
    }
    Err(Failure::Failed(format!("requested IP {address} is taken")))
}

fn take_next<'a>(
    pool: &Pool,
    set: &'a RangeSet,
    number: usize,
    target: Target<'_>,
) -> Result<(IpAddr, &'a Range), Failure> {
    let own = pool.addresses_of(target)?;
    if let Some(address) = own.into_iter().find(|address| set.range_of(*address).is_some()) {
        let Target { container_id, ifname } = target;
        return Err(Failure::Failed(format!("{address} is already taken for {ifname} of container {container_id}")));
    }
    for (address, range) in set.candidates(pool.cursor(number)) {
        if pool.take(address, target, number)? {
            return Ok((address, range));
        }
    }
    let subnets: Vec<_> = set.0.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
    Err(Failure::Failed(format!("no address is free in {}", subnets.join(", "))))
}
