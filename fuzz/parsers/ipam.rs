//! The address plugins: their configuration, what the pod asks for, the pool's files and `resolv.conf`.

use super::texts;
use plexus::cni::{CniArgs, ContainerId, IfName, PluginConfig, RawObject};
use plexus::delegate::ipam::{Ipam, host_local::HostLocal, static_::Static};
use plexus::delegate::{Call, Scope};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The section `ipam`, `CNI_ARGS`, `resolv.conf`, the name and the content of a file in the pool, separated by NUL.
pub fn run(data: &[u8]) {
    let Some([section, args, resolv_conf, name, content]) = texts(data) else { return };
    let Ok(mut section) = RawObject::parse(section) else { return };
    let pool = folder().join("net");
    section.set_value("dataDir", &folder());
    if section.contains("resolvConf") {
        // Never one of the machine.
        section.set_value("resolvConf", &folder().join("resolv.conf"));
        fs::write(folder().join("resolv.conf"), resolv_conf).unwrap();
    }
    empty(&pool);
    if !name.contains('/') && name.len() < 100 {
        // Names that are none are none.
        let _ = fs::write(pool.join(name), content);
    }
    with_call(&section, &CniArgs::parse(args), |call| {
        host_local(call, &pool);
        let _ = Static::default().add(call).map(|result| result.to_raw(plexus::cni::Version::NEWEST).unwrap());
    });
}

/// Has `work` use a call for `eth0` of container `c1`, whose plugin has `section`. A configuration that is none has no call.
pub(super) fn with_call(section: &RawObject, args: &CniArgs, work: impl FnOnce(&Call<'_>)) {
    let mut config = RawObject::default();
    config.set_value("cniVersion", "1.1.0");
    config.set_value("name", "net");
    config.set_value("type", "bridge");
    config.set_value("ipam", section);
    for key in ["runtimeConfig", "args"] {
        if let Some(value) = section.get(key) {
            config.set(key, value.to_owned());
        }
    }
    let Ok(plugin) = PluginConfig::new(config.clone()) else { return };
    let (id, ifname) = (ContainerId::new("c1").unwrap(), IfName::new("eth0").unwrap());
    let scope = Scope {
        container_id: Some(&id),
        ifname: Some(&ifname),
        netns: None,
        args,
        path: &[],
        patience: Duration::from_secs(60),
        deadline: Instant::now() + Duration::from_secs(60),
        is_first: false,
        lock: None,
    };
    work(&Call { scope: &scope, plugin: &plugin, stdin: config.to_json() });
}

/// What is taken is in the pool, and is given back; what another has stays his.
fn host_local(call: &Call<'_>, pool: &Path) {
    let others = leases(pool);
    let Ok(result) = HostLocal::default().add(call) else {
        // A damaged lease of this container may be among them; none is added.
        return assert!(leases(pool).iter().all(|lease| others.contains(lease)));
    };
    for ip in &result.ips {
        let address = ip.address.addr();
        assert!(leases(pool).contains(&address) && !others.contains(&address), "{address}");
        assert!(ip.address.trunc().contains(&address) && ip.gateway != Some(address), "{result:?}");
    }
    HostLocal::default().check(call).unwrap();
    HostLocal::default().del(call).unwrap();
    assert!(result.ips.iter().all(|ip| !leases(pool).contains(&ip.address.addr())));
}

fn leases(pool: &Path) -> Vec<IpAddr> {
    let names = fs::read_dir(pool).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn empty(pool: &Path) {
    fs::create_dir_all(pool).unwrap();
    for entry in fs::read_dir(pool).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(super::quick_folder).path().to_owned()
}
