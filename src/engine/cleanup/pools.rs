//! How full the pools of host-local are on this node.

use crate::api::{PoolsTaken, RunDirectory};
use crate::cni::{NetworkConfig, json};
use crate::delegate::ipam::host_local::leases;
use crate::sys::files::{self, Durability};
use crate::sys::trusted::{self, Folder};
use ipnet::IpNet;
use serde_json::Value;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// A pool is nearly full when so many of a thousand addresses are taken.
const NEARLY_FULL: u32 = 900;
/// Thousands of pools.
const MAX_COUNTS: usize = 4 << 20;

/// A pool of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The network that it belongs to.
    pub network: String,
    /// How many addresses are taken.
    pub used: u128,
    /// How many it has.
    pub size: u128,
}

impl Pool {
    /// The pool of `network`, as far as host-local's own keys give its size.
    pub fn of(name: &str, network: &NetworkConfig) -> Option<Self> {
        let size: u128 = network.plugins.iter().map(|plugin| size(&plugin.object.to_json())).sum();
        let used = leases::pools(network).iter().map(|pool| u128::from(taken(pool))).sum();
        (size > 0).then(|| Pool { network: name.to_owned(), used, size })
    }

    /// The same pool, of the network `of`, as the plugin counted it; none if it did not.
    pub fn counted(self, of: &NetworkConfig, counts: &PoolsTaken) -> Option<Self> {
        let folders = leases::pools(of);
        let used =
            folders.iter().map(|folder| counts.taken.get(folder).copied().map(u128::from)).sum::<Option<u128>>()?;
        Some(Pool { used, ..self })
    }

    /// Whether there is no address left.
    pub fn is_full(&self) -> bool {
        self.used >= self.size
    }

    /// How many of a thousand addresses are taken.
    pub fn thousandths(&self) -> u32 {
        let taken = self.used.saturating_mul(1000).checked_div(self.size).unwrap_or_default();
        u32::try_from(taken.min(1000)).unwrap_or(1000)
    }

    /// Whether nine of ten are taken.
    pub fn is_nearly_full(&self) -> bool {
        is_nearly_full(self.thousandths())
    }
}

/// How many addresses are taken in the pool at `folder`.
pub fn taken(folder: &Path) -> u64 {
    let names = files::entries(folder).into_iter().flatten().map(|entry| entry.file_name());
    // On Windows' shares a colon is an underscore; on nodes it is a colon.
    let addresses = names.filter(|name| name.to_str().is_some_and(|name| name.parse::<IpAddr>().is_ok()));
    u64::try_from(addresses.count()).unwrap_or(u64::MAX)
}

/// Leaves `counts` for the container of the keeper, where there is one.
///
/// # Errors
/// They cannot be written.
pub fn leave(run: &RunDirectory, counts: &PoolsTaken) -> io::Result<()> {
    if !run.keeper().is_dir() {
        return Ok(());
    }
    trusted::replace(&run.counted_pools(), &serde_json::to_vec(counts)?, 0o600, Durability::Cached)
}

/// What the plugin has left, and its age; none before its first full sweep.
pub fn left(run: &RunDirectory) -> Option<(PoolsTaken, Duration)> {
    let path = run.counted_pools();
    let folder = Folder::open(path.parent()?).ok()?;
    let (text, time) = folder.read_dated(path.file_name()?, MAX_COUNTS).ok()??;
    Some((json::parse(&text).ok()?, time.elapsed().unwrap_or_default()))
}

/// Whether a pool is nearly full of whose addresses so many of a thousand are taken.
pub fn is_nearly_full(thousandths: u32) -> bool {
    thousandths >= NEARLY_FULL
}

/// How many addresses the section `ipam` of a plugin has to give, of the family that has fewer.
fn size(plugin: &str) -> u128 {
    let plugin: Value = json::parse(plugin).unwrap_or_default();
    let ipam = &plugin["ipam"];
    if ipam["type"] != "host-local" {
        return 0;
    }
    let sets = ipam["ranges"].as_array().into_iter().flatten();
    let of_set = |set: &Value| set.as_array().into_iter().flatten().map(of_range).fold(0, u128::saturating_add);
    sets.map(of_set).chain([of_range(ipam)]).filter(|size| *size > 0).min().unwrap_or_default()
}

/// How many addresses one range has for pods: without those of the subnet itself and the gateway's.
fn of_range(range: &Value) -> u128 {
    let Some(subnet) = range["subnet"].as_str().and_then(|text| text.parse::<IpNet>().ok()) else { return 0 };
    let bits = u32::from(subnet.max_prefix_len() - subnet.prefix_len());
    let all = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let end = |key: &str| Some(number(range[key].as_str()?.parse().ok()?));
    let network = number(subnet.network());
    // The first is the gateway's, the last one of IPv4 is the broadcast address.
    let first = end("rangeStart").unwrap_or(network.saturating_add(2));
    let last = end("rangeEnd").unwrap_or(network.saturating_add(all.saturating_sub(2)));
    last.saturating_sub(first).saturating_add(1).min(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_the_addresses_of_its_ranges() {
        let table = [
            (r#"{"type":"host-local","subnet":"10.1.0.0/24"}"#, 253),
            (
                r#"{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","rangeEnd":"10.1.0.19"}]]}"#,
                10,
            ),
            // A pod takes one of each set: the smaller one is what there is.
            (r#"{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/29"}],[{"subnet":"fd00::/64"}]]}"#, 5),
            (r#"{"type":"static"}"#, 0),
            (r#"{"type":"host-local","subnet":"x"}"#, 0),
        ];
        for (ipam, expected) in table {
            assert_eq!(size(&format!(r#"{{"type":"bridge","ipam":{ipam}}}"#)), expected, "{ipam}");
        }
    }

    #[test]
    fn leases_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join("lan");
        std::fs::create_dir(&pool).unwrap();
        for name in ["10.1.0.2", "10.1.0.3", "last_reserved_ip.0", "lock"] {
            std::fs::write(pool.join(name), "").unwrap();
        }
        let text = format!(
            r#"{{"cniVersion":"1.0.0","name":"lan","type":"bridge","ipam":{{"type":"host-local","subnet":"10.1.0.0/29","dataDir":"{}"}}}}"#,
            folder.path().display()
        );
        let pool = Pool::of("default/lan", &NetworkConfig::parse(&text, None).unwrap()).unwrap();
        assert_eq!((pool.used, pool.size), (2, 5));
        assert_eq!(pool.thousandths(), 400);
        assert!(!pool.is_nearly_full() && Pool { used: 5, ..pool.clone() }.is_full());
        assert!(Pool { used: 9, size: 10, ..pool }.is_nearly_full());
        // As somebody counted who sees the directory; of one that he did not count nothing is known.
        let network = NetworkConfig::parse(&text, None).unwrap();
        let elsewhere = || Pool::of("default/lan", &network).unwrap();
        let counts = PoolsTaken { taken: [(folder.path().join("lan"), 5)].into() };
        assert_eq!(elsewhere().counted(&network, &counts).map(|pool| pool.used), Some(5));
        assert_eq!(elsewhere().counted(&network, &PoolsTaken::default()), None);
    }
}
