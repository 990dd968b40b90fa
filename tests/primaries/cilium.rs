//! Cilium in its `exclusive` mode (its default): on every start of its agent, and on every change in the folder, it
//! renames what is not its own.

use crate::fixture;
use crate::node::{Bare, enter};
use crate::support::cnitool::{loaded, runtime};
use crate::support::{Pod, node};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const OURS: &str = "00-plexus.conflist";

/// What its agent does with the folder; what it set aside before is overwritten.
fn agent_starts(bare: &Bare) {
    for entry in fs::read_dir(bare.node.net_d()).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let is_configuration = [".conf", ".conflist", ".json"].iter().any(|end| name.ends_with(end));
        if entry.file_type().unwrap().is_file() && is_configuration && name != bare.fixture.file {
            fs::rename(entry.path(), entry.path().with_file_name(format!("{name}.cilium_bak"))).unwrap();
        }
    }
}

/// What it does with the folder when it is removed for good.
fn is_removed(bare: &Bare) {
    for name in bare.files() {
        if let Some(original) = name.strip_suffix(".cilium_bak") {
            fs::rename(bare.node.net_d().join(&name), bare.node.net_d().join(original)).unwrap();
        }
    }
}

/// The record of `pod`, whose container the runtime named.
fn record_of(bare: &Bare, pod: &Pod) -> PathBuf {
    let netns = format!("{:?}", pod.netns);
    let mut records = fs::read_dir(bare.node.state().sandboxes()).unwrap().map(|entry| entry.unwrap().path());
    records.find(|record| fs::read_to_string(record).unwrap().contains(&netns)).unwrap()
}

fn cilium() -> Option<Bare> {
    let bare = enter(fixture::of("cilium"))?;
    bare.install(&[]);
    Some(bare)
}

#[test]
fn what_it_renames_is_put_back_by_an_installation_each_time() {
    let Some(bare) = cilium() else { return };
    let ours = bare.head();
    for _ in 0..2 {
        agent_starts(&bare);
        assert_eq!(loaded(&bare.node), bare.node.net_d().join("05-cilium.conflist"));
        bare.install(&[]);
        assert_eq!((loaded(&bare.node), bare.head()), (bare.node.net_d().join(OURS), ours.clone()));
    }
    let pod = Pod::new(&bare.node, "after").selecting("a");
    runtime(&bare.node, "add", &pod).result();
    assert_eq!(bare.node.call_names(), ["ADD cilium-cni eth0", "ADD a net1"]);
}

#[test]
fn a_pod_whose_deletion_it_took_from_us_is_cleaned_up_afterwards() {
    let Some(bare) = cilium() else { return };
    let [pod, witness] = ["displaced", "witness"].map(|name| Pod::new(&bare.node, name).selecting("a"));
    // The witness stays alive: where no recorded sandbox can be seen, nothing is deleted.
    for pod in [&witness, &pod] {
        runtime(&bare.node, "add", pod).result();
    }
    bare.node.forget_calls();
    agent_starts(&bare);
    runtime(&bare.node, "del", &pod).silence();
    // Nobody has deleted it: the runtime calls Cilium alone.
    assert_eq!(bare.node.call_names(), ["DEL cilium-cni eth0"]);
    pod.end_sandbox();
    bare.install(&[]);
    // In its first minute a sandbox may still be in the making.
    let [record, other] = [&pod, &witness].map(|pod| record_of(&bare, pod));
    let mut old: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    old["created"] = json!(1);
    node::write(&record, &old.to_string());
    let (net_d, plugin) = (bare.node.net_d(), bare.node.bin().join("plexus"));
    let collected =
        bare.plexusctl_alone(&["gc", "--cni-conf-dir", net_d.to_str().unwrap(), "--plugin", plugin.to_str().unwrap()]);
    assert!(collected.status.success(), "{collected:?}");
    assert!(bare.node.call_names().contains(&"DEL a net1".to_owned()));
    assert!(!record.exists() && other.exists());
}

#[test]
fn behind_it_we_are_not_renamed() {
    let Some(bare) = enter(fixture::of("cilium")) else { return };
    bare.install(&["--mode", "chain"]);
    agent_starts(&bare);
    let pod = Pod::new(&bare.node, "chained").selecting("a");
    runtime(&bare.node, "add", &pod).result();
    runtime(&bare.node, "del", &pod).silence();
    assert_eq!(bare.node.call_names(), ["ADD cilium-cni eth0", "ADD a net1", "DEL a net1", "DEL cilium-cni eth0"]);
}

#[test]
fn what_it_set_aside_does_not_come_back_after_our_removal() {
    let Some(bare) = cilium() else { return };
    agent_starts(&bare);
    bare.install(&[]);
    assert_eq!(bare.files(), [OURS, "00-plexus.conflist.cilium_bak", "05-cilium.conflist"]);
    bare.uninstall();
    is_removed(&bare);
    // Without the plugin it would stop every pod.
    assert_eq!(bare.files(), ["05-cilium.conflist"]);
}
