//! Taking one address of each range set.

use super::super::address;
use super::pool::Pool;
use super::range::{Range, RangeSet};
use super::settings::Settings;
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use ipnet::IpNet;
use std::net::IpAddr;

/// Takes an address of every set of `settings`, or none.
pub(super) fn all(pool: &Pool, settings: &Settings, call: &Call<'_>) -> Result<Vec<IpConfig>, Failure> {
    let target = Target::of(call)?;
    // Only a whole look at the pool shows an address of this interface, which takes as long as the pool is large.
    let own = if call.scope.is_first { Vec::new() } else { pool.addresses_of(target)? };
    let mut taken = Vec::new();
    let done = take_all(pool, settings, (target, &own), &mut taken);
    if done.is_err() {
        for ip in &taken {
            // Best effort: the caller's DEL comes after a failed ADD.
            let _ = pool.give_back(ip.address.addr());
        }
    }
    done.map(|()| taken)
}

fn take_all(
    pool: &Pool,
    settings: &Settings,
    (target, own): (Target<'_>, &[IpAddr]),
    taken: &mut Vec<IpConfig>,
) -> Result<(), Failure> {
    for (number, (set, wanted)) in settings.sets.iter().zip(requested_of_sets(settings)?).enumerate() {
        let (address, range) = match wanted {
            Some((address, range)) if pool.take(address, target, &mut pool.cursor(number)?)? => (address, range),
            Some((address, _)) => return Err(Failure::Failed(format!("requested IP {address} is taken"))),
            None => take_next(pool, (set, number), target, own)?,
        };
        taken.push(IpConfig {
            address: IpNet::new(address, range.subnet.prefix_len()).map_err(|e| Failure::Failed(e.to_string()))?,
            gateway: Some(range.gateway),
            interface: None,
        });
    }
    Ok(())
}

/// For each set the address that is requested of it, with its range; of one that is not requested any will do.
pub(super) fn requested_of_sets(settings: &Settings) -> Result<Vec<Option<(IpAddr, &Range)>>, Failure> {
    let mut left = settings.requested.clone();
    let mut of_sets = Vec::new();
    for set in &settings.sets {
        let at = left.iter().position(|address| set.range_of(*address).is_some());
        let wanted = at.map(|at| left.remove(at));
        let wanted = wanted.and_then(|address| Some((address, set.range_of(address)?)));
        if let Some((address, range)) = wanted.filter(|(address, range)| *address == range.gateway) {
            return Err(Failure::Config(format!("requested IP {address} is the gateway of {}", range.subnet)));
        }
        of_sets.push(wanted);
    }
    match left.first() {
        Some(address) => Err(Failure::Config(format!("requested IP {address} {}", why_not(*address, &settings.sets)))),
        None => Ok(of_sets),
    }
}

/// Why no set of `sets` gives the `address`.
fn why_not(address: IpAddr, sets: &[RangeSet]) -> String {
    let family = address::family(address);
    let of_family = |set: &&RangeSet| set.0.first().is_some_and(|range| range.start.is_ipv4() == address.is_ipv4());
    let all = || sets.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match sets.iter().find(|set| set.range_of(address).is_some()) {
        // One address is taken of each set.
        Some(set) => format!("is one too many: another requested IP is already the one of {set}"),
        None if !sets.iter().any(|set| of_family(&set)) => {
            format!("is {family}, and there is no {family} range: {}", all())
        }
        None => format!("is in no range: {}", all()),
    }
}

fn take_next<'a>(
    pool: &Pool,
    (set, number): (&'a RangeSet, usize),
    target: Target<'_>,
    own: &[IpAddr],
) -> Result<(IpAddr, &'a Range), Failure> {
    if let Some(address) = own.iter().find(|address| set.range_of(**address).is_some()) {
        let Target { container_id, ifname } = target;
        return Err(Failure::Failed(format!("{address} is already taken for {ifname} of container {container_id}")));
    }
    let search = || -> Result<_, Failure> {
        let mut cursor = pool.cursor(number)?;
        for (address, range) in set.candidates(cursor.last) {
            if pool.take(address, target, &mut cursor)? {
                return Ok(Some((address, range)));
            }
        }
        Ok(None)
    };
    if let Some(found) = search()? {
        return Ok(found);
    }
    // The last resort: what a killed writer has left.
    if pool.release_unwritten()?
        && let Some(found) = search()?
    {
        return Ok(found);
    }
    Err(Failure::Failed(format!("no address is free in {set}")))
}
