//! Leases seen from outside of a call: whom each is for, and since when. Both programs write them alike.

use super::settings;
use crate::cni::{NetworkConfig, RawObject};
use crate::sys::files;
use crate::sys::shared_folder::{self, LockedFolder};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An owner is a container and an interface.
const MAX_LEASE: usize = 4096;
/// It keeps its configuration, with `host-local` in it, where it runs: the pool is in the usual place.
const FLANNEL: &str = "flannel";

/// An address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// The container it was taken for.
    pub container: String,
    /// The interface; old versions did not write it.
    pub ifname: Option<String>,
    /// Since when; nothing where the clock was set back.
    pub age: Duration,
}

/// The pools that the plugins of `network` take addresses from, each once.
pub fn pools(network: &NetworkConfig) -> Vec<PathBuf> {
    let pool = |plugin: &crate::cni::PluginConfig| {
        let ipam = plugin.object.read::<RawObject>("ipam").ok().flatten().unwrap_or_default();
        let local = plugin.ipam.as_ref().is_some_and(|kind| kind.as_str() == super::TYPE);
        (local || plugin.kind.as_str() == FLANNEL).then(|| settings::folder_in(&ipam, network.name.as_str()).ok())?
    };
    let mut pools: Vec<PathBuf> = network.plugins.iter().filter_map(pool).collect();
    pools.sort();
    pools.dedup();
    pools
}

/// The leases in `pool` that are older than `age`, without its lock: one that is being written has no owner and is left out.
///
/// # Errors
/// The folder is there and cannot be read, or somebody else than root could exchange it.
pub fn older_than(pool: &Path, age: Duration) -> io::Result<Vec<Lease>> {
    let Some(pool) = shared_folder::find(pool)? else { return Ok(Vec::new()) };
    let entries = std::fs::read_dir(pool.path())?;
    let leases = entries.map(|entry| Ok(lease(&entry?.path()))).collect::<io::Result<Vec<_>>>()?;
    Ok(leases.into_iter().flatten().filter(|lease| lease.age >= age).collect())
}

/// Gives `lease` back; `false` where its address belongs to somebody else by now, or to nobody.
///
/// # Errors
/// The pool cannot be locked, or the file not be removed.
pub fn give_back(pool: &Path, lease: &Lease, deadline: Instant) -> io::Result<bool> {
    let folder = LockedFolder::acquire(pool, deadline)?;
    let name = lease.address.to_string();
    let same = self::lease(&pool.join(&name))
        .is_some_and(|now| now.container == lease.container && now.ifname == lease.ifname && now.age >= lease.age);
    if same {
        folder.remove(&name)?;
    }
    Ok(same)
}

fn lease(path: &Path) -> Option<Lease> {
    let address = path.file_name()?.to_str()?.parse().ok()?;
    let age = std::fs::metadata(path).and_then(|file| file.modified()).ok()?.elapsed().unwrap_or_default();
    let text = files::read_bounded(path, MAX_LEASE).ok()??;
    let mut lines = text.trim().lines();
    let container = lines.next().filter(|container| !container.is_empty())?.to_owned();
    Some(Lease { address, container, ifname: lines.next().map(str::to_owned), age })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_where_the_plugins_have_them() {
        let network =
            |plugins: &str| NetworkConfig::parse(&format!(r#"{{"name":"n","plugins":[{plugins}]}}"#), None).unwrap();
        let of = |plugins: &str| pools(&network(plugins));
        let usual = Path::new("/var/lib/cni/networks/n");
        assert_eq!(
            of(r#"{"type":"bridge","ipam":{"type":"host-local"}},{"type":"x","ipam":{"type":"host-local"}}"#),
            [usual]
        );
        assert_eq!(of(r#"{"type":"bridge","ipam":{"type":"host-local","dataDir":"/d"}}"#), [Path::new("/d/n")]);
        assert_eq!(of(r#"{"type":"flannel","delegate":{}}"#), [usual]);
        assert!(of(r#"{"type":"bridge","ipam":{"type":"whereabouts"}},{"type":"y"}"#).is_empty());
    }

    #[test]
    fn only_what_was_seen_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, owner: &str| std::fs::write(folder.path().join(name), owner).unwrap();
        for (name, owner) in [
            ("10.0.0.2", "c1\r\neth0"),
            ("10.0.0.3", "old"),
            ("10.0.0.4", ""),
            ("last_reserved_ip.0", "10.0.0.4"),
            ("lock", ""),
        ] {
            write(name, owner);
        }
        let mut leases = older_than(folder.path(), Duration::ZERO).unwrap();
        leases.sort_by_key(|lease| lease.address);
        assert_eq!((leases[0].container.as_str(), leases[0].ifname.as_deref()), ("c1", Some("eth0")));
        assert_eq!((leases[1].container.as_str(), leases[1].ifname.as_deref(), leases.len()), ("old", None, 2));
        assert_eq!(older_than(folder.path(), Duration::from_secs(60)).unwrap(), []);
        // Somebody else has the address by now.
        write("10.0.0.2", "c2\r\neth0");
        let soon = Instant::now() + Duration::from_secs(5);
        assert!(!give_back(folder.path(), &leases[0], soon).unwrap());
        assert!(give_back(folder.path(), &leases[1], soon).unwrap());
        assert!(folder.path().join("10.0.0.2").exists() && !folder.path().join("10.0.0.3").exists());
        assert_eq!(older_than(&folder.path().join("none"), Duration::ZERO).unwrap(), []);
    }
}
