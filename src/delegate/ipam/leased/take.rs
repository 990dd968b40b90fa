//! Taking one address of each family of the pool, or none.

use super::folder::Addresses;
use super::lessor::Lessor;
use super::settings::Settings;
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use crate::ipam::grant::family;
use crate::ipam::{Grant, Stock};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Instant;

/// How often the daemon is asked in one call: once for each family, and once for a confirmation.
const MOST_LEASES: usize = 3;

/// Why nothing was taken, where another lease may help.
struct Dry {
    families: Vec<u8>,
    why: String,
}

/// Takes the addresses. Without a block of this node the daemon is asked for one; else nobody is asked.
pub(super) fn all(settings: &Settings, lessor: &dyn Lessor, call: &Call<'_>) -> Result<Vec<IpConfig>, Failure> {
    let deadline = call.scope.plugin_deadline();
    let pool = &settings.pool;
    for _ in 0..MOST_LEASES {
        let dry = match once(settings, lessor, call, deadline)? {
            Ok(taken) => return Ok(taken),
            Err(dry) => dry,
        };
        // Not under the lock: other pods may give addresses back meanwhile.
        lessor
            .lease(pool, &dry.families, deadline)
            .map_err(|e| Failure::TryAgain(format!("pool {pool}: {}, and none was leased: {e}", dry.why)))?;
    }
    match once(settings, lessor, call, deadline)? {
        Ok(taken) => Ok(taken),
        Err(dry) => Err(Failure::TryAgain(format!("pool {pool}: {}", dry.why))),
    }
}

fn once(
    settings: &Settings,
    lessor: &dyn Lessor,
    call: &Call<'_>,
    deadline: Instant,
) -> Result<Result<Vec<IpConfig>, Dry>, Failure> {
    let pool = &settings.pool;
    let unreadable = |e| Failure::TryAgain(format!("pool {pool}: {e}"));
    lessor.claim_folder().map_err(unreadable)?;
    let addresses = Addresses::open(&lessor.folder(pool), deadline)?;
    // Both under the lock: what was given back of an older grant is in this report.
    let (grant, report) = (lessor.grant(pool).map_err(unreadable)?, lessor.report(pool).map_err(unreadable)?);
    let Some(grant) = grant else {
        return Ok(Err(Dry { families: Vec::new(), why: "this node has no block of it".to_owned() }));
    };
    let stock = Stock::new(&grant, &report);
    if let Err(refusal) = stock.authorised(&lessor.now()) {
        return Ok(Err(Dry { families: Vec::new(), why: refusal.to_string() }));
    }
    let search = Search { settings, addresses: &addresses, stock: &stock, target: Target::of(call)? };
    let own = if call.scope.is_first { Vec::new() } else { addresses.of(search.target)? };
    let mut taken = Vec::new();
    let outcome = search.families(&own, &mut taken);
    if !matches!(outcome, Ok(Ok(()))) {
        for address in taken.iter().map(|ip: &IpConfig| ip.address.addr()).filter(|address| !own.contains(address)) {
            // Best effort: the caller's DEL comes after a failed ADD.
            let _ = addresses.give_back(address);
        }
    }
    let outcome = outcome?;
    // What another family waits for is not given back meanwhile.
    if outcome.is_ok() {
        tell(lessor, &grant, &addresses)?;
    }
    Ok(outcome.map(|()| taken))
}

/// Tells the daemon what this node needs no more and what runs low, if that has changed.
pub(super) fn tell(lessor: &dyn Lessor, grant: &Grant, addresses: &Addresses) -> Result<(), Failure> {
    let Ok(before) = lessor.report(&grant.pool) else { return Ok(()) };
    let now = Stock::new(grant, &before).report(&addresses.taken()?);
    if now != before {
        // Without it the daemon leases nothing ahead and returns nothing, and no pod is concerned.
        let _ = lessor.tell(&grant.pool, &now);
    }
    Ok(())
}

struct Search<'a> {
    settings: &'a Settings,
    addresses: &'a Addresses,
    stock: &'a Stock<'a>,
    target: Target<'a>,
}

impl Search<'_> {
    fn families(&self, own: &[IpAddr], taken: &mut Vec<IpConfig>) -> Result<Result<(), Dry>, Failure> {
        let families = self.stock.families();
        let pool = &self.settings.pool;
        let of_family = |is_v4: bool| self.settings.requested.iter().filter(move |ip| ip.is_ipv4() == is_v4);
        for (is_v4, name) in [(true, "IPv4"), (false, "IPv6")] {
            let asked = of_family(is_v4).count();
            if asked > usize::from(families.contains(&is_v4)) {
                let asked: Vec<String> = of_family(is_v4).map(ToString::to_string).collect();
                let asked = asked.join(", ");
                return Err(Failure::Config(format!("pool {pool} does not give {name} addresses {asked} together")));
            }
        }
        for is_v4 in families {
            let address = match (own.iter().find(|own| own.is_ipv4() == is_v4), of_family(is_v4).next()) {
                (Some(own), _) => *own,
                (None, Some(requested)) => self.requested(*requested)?,
                (None, None) => match self.next(is_v4)? {
                    Some(address) => address,
                    None => return Ok(Err(self.dry(is_v4))),
                },
            };
            taken.push(self.configured(address)?);
        }
        Ok(Ok(()))
    }

    fn dry(&self, is_v4: bool) -> Dry {
        let name = if is_v4 { "IPv4" } else { "IPv6" };
        Dry { families: vec![family(is_v4)], why: format!("no {name} address is free in the blocks of this node") }
    }

    fn requested(&self, address: IpAddr) -> Result<IpAddr, Failure> {
        let pool = &self.settings.pool;
        if self.stock.subnet_of(address).is_none() {
            return Err(Failure::Config(format!("requested IP {address} is in no range of pool {pool}")));
        }
        if !self.stock.offers(address) {
            let why = "it is excluded, or in no block that this node has leased";
            return Err(Failure::TryAgain(format!("pool {pool}: requested IP {address} cannot be taken: {why}")));
        }
        match self.addresses.take(address, self.target, &self.settings.network)? {
            true => Ok(address),
            false => Err(Failure::Failed(format!("requested IP {address} is taken"))),
        }
    }

    fn next(&self, is_v4: bool) -> Result<Option<IpAddr>, Failure> {
        for last_try in [false, true] {
            let (cursor, taken) = (self.addresses.cursor(is_v4)?, self.addresses.taken()?);
            for address in self.stock.candidates(is_v4, cursor, &taken) {
                if self.addresses.take(address, self.target, &self.settings.network)? {
                    return Ok(Some(address));
                }
            }
            if !last_try {
                self.addresses.release_unwritten()?;
            }
        }
        Ok(None)
    }

    /// As it is configured on the interface, by the range that it is in.
    fn configured(&self, address: IpAddr) -> Result<IpConfig, Failure> {
        let subnet = self.stock.subnet_of(address);
        let (length, gateway) = match subnet {
            Some(subnet) => (subnet.net.prefix_len(), subnet.gateway),
            None => return Err(Failure::Failed(format!("address {address} is in no range of its pool any more"))),
        };
        let address = IpNet::new(address, length).map_err(|e| Failure::Failed(e.to_string()))?;
        Ok(IpConfig { address, gateway, interface: None })
    }
}
