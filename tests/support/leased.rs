//! A call of `plexus-ipam`, or of another address plugin, in this process, as built-in main plugins make it.

use plexus::api::{RunDirectory, StateDirectory};
use plexus::cni::{CniArgs, ContainerId, IfName, PluginConfig, RawObject};
use plexus::delegate::ipam::{Enabled, Ipam, find_with};
use plexus::delegate::{Call, Scope};
use plexus::facts::NodeBlocks;
use plexus::sys::trusted::KeptFolders;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Does `work` with the address plugin of `section` on a machine whose directories are in `folder`, for the interface `ifname` of
/// `container`. A DEL has the `result` of its ADD.
pub fn call<T>(
    folder: &Path,
    section: &Value,
    (container, ifname): (&str, &str),
    result: Option<&Value>,
    work: impl FnOnce(&dyn Ipam, &Call<'_>) -> T,
) -> T {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "macvlan", "ipam": section});
    if let Some(result) = result {
        config["prevResult"] = result.clone();
    }
    let stdin = config.to_string();
    let plugin = PluginConfig::new(RawObject::parse(&stdin).unwrap()).unwrap();
    let (id, ifname) = (ContainerId::new(container).unwrap(), IfName::new(ifname).unwrap());
    let args = CniArgs::parse(&format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={container};K8S_POD_UID=u"));
    let patience = Duration::from_secs(20);
    let scope = Scope {
        container_id: Some(&id),
        ifname: Some(&ifname),
        is_first: true,
        ..Scope::of_node(&args, &[], patience, Instant::now() + patience)
    };
    let blocks = NodeBlocks::new(StateDirectory::new(folder.join("state")), RunDirectory::new(folder.join("run")));
    let section = RawObject::parse(&section.to_string()).unwrap();
    let kind = section.read::<String>("type").unwrap().unwrap();
    let ipam = find_with(&section, &kind, Enabled::ALL, Some(&(Arc::new(blocks) as _))).unwrap();
    // As a call of the plugin does.
    let _kept = KeptFolders::begin();
    work(ipam.as_ref(), &Call { scope: &scope, plugin: &plugin, stdin })
}
