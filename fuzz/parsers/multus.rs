//! What Multus left on a node.

use super::texts;
use plexus::cni::{CniArgs, ContainerId, IfName, Invocation, NetworkConfig, Verb};
use plexus::engine::{Settings, Turn, multus};
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The list of a sandbox's delegates, and libcni's own record of its default network, separated by NUL.
pub fn run(data: &[u8]) {
    let Some([delegates, cached]) = texts(data) else { return };
    let folder = folder();
    std::fs::write(folder.join("c1"), delegates).unwrap();
    std::fs::write(folder.join("results/cbr0-c1-eth0"), cached).unwrap();
    let config = serde_json::json!({"name": "x", "cniVersion": "1.0.0", "cniDir": folder, "logLevel": "off"});
    let invocation = Invocation { verb: Verb::Del, target: None, args: CniArgs::default(), path: Vec::new() };
    let turn = Turn::new(invocation, Settings::parse(&config.to_string()).unwrap());
    let (id, ifname) = (ContainerId::new("c1").unwrap(), IfName::new("eth0").unwrap());
    let attachments = multus::attachments(&turn, &id, &ifname);
    assert!(attachments.iter().filter(|attachment| attachment.default).count() <= 1);
    for attachment in &attachments {
        NetworkConfig::parse(attachment.config.get(), None).unwrap();
        attachment.add_result();
        // It becomes a variable of the plugin's environment.
        assert!(!attachment.args.contains('\0'), "{attachment:?}");
    }
}

fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let folder = super::quick_folder();
        std::fs::create_dir(folder.path().join("results")).unwrap();
        folder
    };
    FOLDER.get_or_init(make).path().to_owned()
}
