//! What not every kernel has, and what natives leave to programs.

use crate::cases::{Twins, config, host_local};
use crate::plugin::{Attachment, Who};
use crate::world::{POOLS, ip_json};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Makes a link that not every kernel has.
pub const IPVLAN: &str = "link add probe link master0 type ipvlan";
/// As [`IPVLAN`].
pub const VLAN: &str = "link add probe link master0 type vlan id 4000";
/// As [`IPVLAN`].
pub const VLANS_OF_PORTS: &str = "link add probe type bridge vlan_filtering 1";

/// Twins, where the kernel knows what `ip <line>` makes. A kernel in CI without it is no failure:
/// `e2e/kernel/run` runs these tests on one that has it, and says so.
fn twins_where(what: &str, line: &'static str) -> Option<Twins> {
    let twins = Twins::new()?;
    if has(&twins, line) {
        return Some(twins);
    }
    assert!(!is_complete_kernel(), "kernel has no {what}");
    eprintln!("SKIP: kernel has no {what}");
    None
}

/// Whether the kernel is one that has everything: nothing may be skipped there.
pub fn is_complete_kernel() -> bool {
    std::env::var_os("PLEXUS_KERNEL").is_some()
}

/// Whether the kernel makes the link `probe` with `ip <line>`.
pub fn has(twins: &Twins, line: &'static str) -> bool {
    let probe = move || {
        let made = Command::new("ip").args(line.split(' ')).output().unwrap().status.success();
        made && Command::new("ip").args(["link", "del", "probe"]).status().unwrap().success()
    };
    twins.sides.iter().all(|(_, world)| world.run(probe))
}

fn pool() -> Value {
    host_local(json!({"ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}))
}

#[test]
fn ipvlan() {
    for (case, more) in [
        ("default", json!({"master": "master0", "ipam": pool()})),
        ("default route's link", json!({"ipam": pool()})),
        ("L3 with MTU", json!({"master": "master0", "mode": "l3", "mtu": 1400, "ipam": pool()})),
        ("L3S", json!({"master": "master0", "mode": "l3s", "ipam": pool()})),
        (
            "addresses of the plugin before",
            json!({"master": "master0", "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.7.0.9/24"}]}}),
        ),
    ] {
        let Some(twins) = twins_where("ipvlan", IPVLAN) else { return };
        twins.live(&format!("ipvlan: {case}"), &config("1.1.0", "ipvlan", more), &Attachment::default());
    }
}

#[test]
fn vlan() {
    for (case, more) in [
        ("both families", json!({"master": "master0", "vlanId": 100, "ipam": pool()})),
        ("MTU", json!({"master": "master0", "vlanId": 4094, "mtu": 1400, "ipam": pool(), "dns": {"domain": "d"}})),
        (
            "of a link in the container",
            json!({"master": "inner0", "linkInContainer": true, "vlanId": 1, "ipam": pool()}),
        ),
        ("no number", json!({"master": "master0", "ipam": pool()})),
    ] {
        let Some(twins) = twins_where("vlan", VLAN) else { return };
        twins.make_inner_links();
        twins.live(&format!("vlan: {case}"), &config("1.1.0", "vlan", more), &Attachment::default());
    }
}

#[test]
fn a_vlan_can_be_deleted_without_its_master() {
    let Some(twins) = twins_where("vlan", VLAN) else { return };
    let config = config("1.1.0", "vlan", json!({"master": "master0", "vlanId": 100, "ipam": pool()}));
    twins.succeed("vlan", "ADD", &config, &Attachment::default());
    twins.sides.iter().for_each(|(_, world)| world.run(|| crate::world::ip("link del master0")));
    let [native, reference] = twins.call_each("DEL", &config, &Attachment::default());
    native.unwrap_or_else(|e| panic!("{e}"));
    assert!(reference.is_err(), "the reference does not fail any more");
}

/// Every mode with every family, and each of the other choices with both of them.
#[test]
fn every_mode_of_ipvlan() {
    let v4 = json!({"address": "10.7.0.5/24", "gateway": "10.7.0.1"});
    let v6 = json!({"address": "fd00:7::5/64", "gateway": "fd00:7::1"});
    for (number, mode) in ["l2", "l3", "l3s"].into_iter().enumerate() {
        for (family, addresses) in [json!([v4]), json!([v6]), json!([v4, v6])].into_iter().enumerate() {
            let choice = |step: usize| (number + family * step).is_multiple_of(2);
            let Some(twins) = twins_where("ipvlan", IPVLAN) else { return };
            let routes =
                json!([[{"dst": "0.0.0.0/0"}], [{"dst": "::/0"}], [{"dst": "0.0.0.0/0"}, {"dst": "fd99::/64"}]]);
            let mut ipam = json!({"type": "static", "addresses": addresses});
            if choice(1) {
                let ranges = json!([[[{"subnet": "10.7.0.0/24"}]], [[{"subnet": "fd00:7::/64"}]], [[{"subnet": "fd00:7::/64"}], [{"subnet": "10.7.0.0/24"}]]]);
                ipam = host_local(json!({"ranges": ranges[family]}));
            }
            ipam["routes"] = routes[family].clone();
            let mut more = json!({"mode": mode, "ipam": ipam});
            // Without a master it is the link that the default route leaves by.
            if number != family {
                more["master"] = json!(if choice(2) { "inner0" } else { "master0" });
            }
            more["linkInContainer"] = json!(choice(2));
            if choice(3) {
                more["mtu"] = json!(1400);
            }
            if choice(2) {
                twins.make_inner_links();
            }
            twins.live(&format!("ipvlan: {more}"), &config("1.1.0", "ipvlan", more), &Attachment::default());
        }
    }
}

#[test]
fn vlans_of_bridge_ports() {
    for (case, more) in [
        ("untagged", json!({"vlan": 100})),
        ("untagged with gateway", json!({"vlan": 100, "isGateway": true, "ipam": pool()})),
        ("untagged beside the default", json!({"vlan": 100, "preserveDefaultVlan": true})),
        ("trunk", json!({"vlanTrunk": [{"minID": 200, "maxID": 203}, {"id": 300}]})),
        ("trunk and untagged", json!({"vlan": 201, "vlanTrunk": [{"minID": 200, "maxID": 203}]})),
        ("trunk beside the default", json!({"vlanTrunk": [{"id": 300}], "preserveDefaultVlan": true})),
        ("trunk with gateway", json!({"vlanTrunk": [{"id": 1}, {"id": 300}], "isGateway": true, "ipam": pool()})),
        ("empty trunk", json!({"vlanTrunk": []})),
        (
            "everything",
            json!({"vlan": 100, "vlanTrunk": [{"id": 300}], "isDefaultGateway": true, "mtu": 1400, "preserveDefaultVlan": true,
            "hairpinMode": true, "portIsolation": true, "ipam": pool()}),
        ),
    ] {
        let Some(twins) = twins_where("bridge VLANs", VLANS_OF_PORTS) else { return };
        twins.live(&format!("VLANs: {case}"), &config("1.1.0", "bridge", more), &Attachment::default());
    }
}

/// Pods of two VLANs and one of none share a bridge; the second of a VLAN finds its gateway there.
#[test]
fn several_vlans_of_one_bridge() {
    let Some(twins) = twins_where("bridge VLANs", VLANS_OF_PORTS) else { return };
    let calls = [json!({}), json!({"vlan": 100}), json!({"vlan": 100}), json!({"vlan": 200})].map(|mut more| {
        more["isGateway"] = json!(true);
        let subnet = format!("10.{}.0.0/24", more["vlan"].as_u64().unwrap_or_default() + 1);
        more["ipam"] = host_local(json!({"subnet": subnet}));
        config("1.1.0", "bridge", more)
    });
    let attachment = |number: usize| Attachment {
        container: format!("cid{number}"),
        ifname: format!("net{number}"),
        ..Attachment::default()
    };
    for (number, config) in calls.iter().enumerate() {
        let case = format!("{number}: {config}");
        twins.succeed(&case, "ADD", config, &attachment(number));
        twins.compare(&case, true);
    }
    for (number, config) in calls.iter().enumerate() {
        twins.succeed("", "DEL", config, &attachment(number));
    }
    twins.compare("after DEL", true);
}

#[test]
fn addresses_from_a_program() {
    for (kind, more) in [("bridge", json!({"isGateway": true})), ("macvlan", json!({"master": "master0"}))] {
        let Some(twins) = Twins::new() else { return };
        let mut config = config("1.1.0", kind, more);
        config["ipam"] = pool();
        // No native knows this key; the program passes over it.
        config["ipam"]["futureKey"] = json!(1);
        twins.live(&format!("{kind} with a program for its addresses"), &config, &Attachment::default());
        config["ipam"] = json!({"type": "no-such-program"});
        let answers = twins.call(kind, "ADD", &config, &Attachment::default());
        assert!(answers[0].as_ref().unwrap_err().contains("no-such-program"), "{answers:?}");
        let links = twins.sides[0].1.run(|| crate::world::inside(|| ip_json("link show")));
        assert_eq!(links.as_array().unwrap().len(), 1, "nothing is left");
    }
}

#[test]
fn gc_gives_back_what_nobody_has() {
    let Some(twins) = Twins::new() else { return };
    let world = &twins.sides[0].1;
    let config = config("1.1.0", "bridge", json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24"}))}));
    world.run(move || {
        let native = Who::Native;
        let second = Attachment { container: "cid1".into(), ifname: "net2".into(), ..Attachment::default() };
        native.call("ADD", &config, &Attachment::default()).unwrap();
        native.call("ADD", &config, &second).unwrap();
        native.call("STATUS", &config, &second).unwrap();
        let mut gc = config.clone();
        gc["cni.dev/valid-attachments"] = json!([{"containerID": "cid1", "ifname": "net2"}]);
        native.call("GC", &config, &second).unwrap();
        assert!(fs::exists(format!("{POOLS}/mynet/10.7.0.2")).unwrap(), "without a list nothing is known");
        native.call("GC", &gc, &second).unwrap();
        assert!(!fs::exists(format!("{POOLS}/mynet/10.7.0.2")).unwrap());
        assert!(fs::exists(format!("{POOLS}/mynet/10.7.0.3")).unwrap());
    });
}
