//! Whether a device outside the cluster has an address that was taken. It is asked on the link, and not under the lock of
//! the pool: its file keeps the address for this call meanwhile.

use super::lessor::Lessor;
use super::settings::Settings;
use super::take;
use super::turn::{Taken, Turn};
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::remarks;
use crate::delegate::wire::Wire;
use crate::ipam::probe::nobodys;
use crate::ipam::{PoolName, Probe};
use crate::sys::conflicts::Claim;
use crate::sys::netlink::Mac;
use ipnet::IpNet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

/// So many addresses of a family are tried.
const CANDIDATES: usize = 3;

/// Takes the addresses, and others where the pool refuses those that another device answers for.
pub(super) fn all(
    settings: &Settings,
    lessor: &dyn Lessor,
    call: &Call<'_>,
    wire: &mut dyn Wire,
) -> Result<Vec<IpConfig>, Failure> {
    let mut turn = Turn::new(settings, lessor, call);
    let until = call.scope.plugin_deadline();
    let mut asking = Asking { wire, pool: &settings.pool, until, trusted: Vec::new() };
    let outcome = one_after_the_other(&mut turn, &mut asking);
    if outcome.is_err() {
        // Best effort: the caller's DEL comes after a failed ADD.
        let _ = turn.give_up();
    }
    outcome
}

fn one_after_the_other(turn: &mut Turn<'_>, asking: &mut Asking<'_>) -> Result<Vec<IpConfig>, Failure> {
    let mut refused: Vec<Claim> = Vec::new();
    for _ in 0..CANDIDATES {
        let taken = take::all(turn).map_err(|e| after(&refused, e))?;
        let claims = if taken.probe.is_off() { Vec::new() } else { asking.claims(&taken.new) };
        if claims.is_empty() {
            return Ok(taken.ips);
        }
        if taken.probe != Probe::Refuse {
            remarks::add(format!(
                "pool {}: {}; the pod gets it all the same (probe: Warn)",
                asking.pool,
                words(&claims)
            ));
            return Ok(taken.ips);
        }
        turn.refuse(&taken, &claims)?;
        let is_final = is_final(&taken, &claims);
        refused.extend(claims);
        if is_final {
            break;
        }
    }
    Err(Failure::TryAgain(format!("pool {}: {}", asking.pool, words(&refused))))
}

/// Whether no other address can take the place of one that is claimed.
fn is_final(taken: &Taken, claims: &[Claim]) -> bool {
    claims.iter().any(|claim| taken.exact.contains(&claim.address))
}

/// `failure`, after the addresses of `refused` were found in use.
fn after(refused: &[Claim], failure: Failure) -> Failure {
    match failure {
        Failure::TryAgain(why) if !refused.is_empty() => Failure::TryAgain(format!("{why}; {}", words(refused))),
        failure => failure,
    }
}

/// Who has what.
fn words(claims: &[Claim]) -> String {
    let each: Vec<String> = claims.iter().map(|Claim { address, mac }| format!("{address} (MAC {mac})")).collect();
    match each.as_slice() {
        [one] => format!("another device has {one}"),
        all => format!("other devices have {}", all.join(", ")),
    }
}

/// Who claims, and an address of which family.
fn source(claim: &Claim) -> (Mac, bool) {
    (claim.mac.clone(), claim.address.is_ipv4())
}

/// The questions of one call.
struct Asking<'a> {
    wire: &'a mut dyn Wire,
    pool: &'a PoolName,
    until: Instant,
    /// Devices that do not answer for all addresses of a family; `true` is IPv4.
    trusted: Vec<(Mac, bool)>,
}

impl Asking<'_> {
    /// Who claims one of `new`. Where nobody can be asked, nobody does.
    fn claims(&mut self, new: &[IpNet]) -> Vec<Claim> {
        if new.is_empty() {
            return Vec::new();
        }
        let addresses: Vec<IpAddr> = new.iter().map(IpNet::addr).collect();
        let claims = match self.wire.ask(&addresses, self.until) {
            Ok(claims) => claims,
            Err(why) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let (pool, addresses) = (self.pool, addresses.join(", "));
                remarks::add(format!("pool {pool}: no device was asked whether it has {addresses}: {why}"));
                return Vec::new();
            }
        };
        let claims = self.without_proxies(new, claims);
        remarks::add_conflicts(self.pool, claims.len());
        claims
    }

    /// A router that does proxy ARP may answer for all addresses: what it answers means nothing. So it is asked for one
    /// that nobody has.
    fn without_proxies(&mut self, new: &[IpNet], mut claims: Vec<Claim>) -> Vec<Claim> {
        let is_open = |net: &&IpNet| {
            claims.iter().any(|claim| claim.address == net.addr() && !self.trusted.contains(&source(claim)))
        };
        let open: Vec<IpNet> = new.iter().filter(is_open).copied().collect();
        let seed = RandomState::new().build_hasher().finish();
        let nobodys: Vec<IpAddr> = open.iter().filter_map(|net| nobodys(*net, seed)).collect();
        let answers = match nobodys.as_slice() {
            [] => Vec::new(),
            // Who answered a moment ago can be asked; if not, its answer counts.
            nobodys => self.wire.ask(nobodys, self.until).unwrap_or_default(),
        };
        let is_proxy = |claim: &Claim| answers.iter().any(|all| source(all) == source(claim));
        for Claim { address, mac } in claims.iter().filter(|claim| is_proxy(claim)) {
            let pool = self.pool;
            remarks::add(format!(
                "pool {pool}: the device with MAC {mac} answers for {address} and for addresses that nobody has (proxy ARP): \
                 its answer does not count"
            ));
        }
        claims.retain(|claim| !is_proxy(claim));
        self.trusted.extend(claims.iter().map(source));
        claims
    }
}
