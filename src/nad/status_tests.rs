use super::*;
use crate::cni::version::Version;
use serde_json::{Value, json};

fn of(result: Value, default: bool) -> Value {
    let result = AddResult::parse(&result.to_string(), Version::V1_1_0).unwrap();
    let attached = Attached {
        name: "ns/n",
        ifname: "net1",
        default,
        result: &result,
        gateways: None,
        device_info: None,
        mac: None,
    };
    serde_json::from_str(&annotation(&entries(&attached))).unwrap()
}

#[test]
fn one_interface_has_every_address() {
    // NPWG-STA-08, NPWG-STA-09, NPWG-STA-11, NPWG-STA-12, NPWG-STA-19
    let status = of(
        json!({"interfaces": [{"name": "net1", "mac": "02:00:00:00:00:01", "mtu": 1450, "sandbox": "/x"}],
               "ips": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}, {"address": "fd00::5/64", "interface": 0}],
               "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1"}]}),
        false,
    );
    assert_eq!(
        status,
        json!([{"name": "ns/n", "interface": "net1", "ips": ["10.0.0.5", "fd00::5"], "mac": "02:00:00:00:00:01",
                "mtu": 1450, "dns": {}, "gateway": ["10.0.0.1", "fd00::1"]}])
    );
}

#[test]
fn host_side_interfaces_are_not_reported() {
    // NPWG-STA-10
    let status = of(
        json!({"interfaces": [{"name": "br0"}, {"name": "veth1"}, {"name": "net1", "sandbox": "/x"}],
               "ips": [{"address": "10.0.0.5/24", "interface": 2}, {"address": "10.0.0.1/24", "interface": 0}]}),
        true,
    );
    assert_eq!(status, json!([{"name": "ns/n", "interface": "net1", "ips": ["10.0.0.5"], "default": true, "dns": {}}]));
}

#[test]
fn several_interfaces_share_the_rest() {
    let status = of(
        json!({"interfaces": [{"name": "h"}, {"name": "net1", "sandbox": "/x"}, {"name": "extra", "sandbox": "/x"}],
               "ips": [{"address": "10.0.0.5/24", "interface": 1}, {"address": "10.0.1.5/24"}, {"address": "10.0.2.5/24", "interface": 0}]}),
        true,
    );
    assert_eq!(status[0]["ips"], json!(["10.0.0.5"]));
    assert_eq!(status[1]["ips"], json!(["10.0.1.5"]));
    // NPWG-STA-06: exactly one
    assert_eq!((status[0]["default"].clone(), status[1].get("default")), (json!(true), None));
}

#[test]
fn no_interface_is_still_reported() {
    // NPWG-STA-04, NPWG-STA-05
    assert_eq!(of(json!({}), false), json!([{"name": "ns/n", "dns": {}}]));
    let old = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.5/24", "gateway": "10.0.0.1"}});
    assert_eq!(
        of(old, true),
        json!([{"name": "ns/n", "interface": "net1", "ips": ["10.0.0.5"], "default": true, "dns": {}}])
    );
}

#[test]
fn an_interface_without_a_sandbox_is_reported_with_its_address() {
    // NPWG-STA-05, NPWG-STA-09: plugins that leave `sandbox` out, and userspace ones that have none.
    let ips = json!([{"address": "10.0.0.5/24", "interface": 0}]);
    let entry = |interfaces: Value| of(json!({"interfaces": interfaces, "ips": ips}), false)[0].clone();
    let named = |interface: &str, mac: Option<&str>| {
        let mut entry = json!({"name": "ns/n", "interface": interface, "ips": ["10.0.0.5"], "dns": {}});
        mac.into_iter().for_each(|mac| entry["mac"] = json!(mac));
        entry
    };
    let mac = "02:00:00:00:00:01";
    assert_eq!(entry(json!([{"name": "net1", "mac": mac}])), named("net1", Some(mac)));
    assert_eq!(entry(json!([{"name": "net1", "mac": mac}, {"name": "veth1"}])), named("net1", Some(mac)));
    assert_eq!(entry(json!([{"name": "vhost7", "mac": mac}])), named("vhost7", Some(mac)));
    assert_eq!(entry(json!([{"name": "br0"}, {"name": "veth1", "mac": mac}])), named("net1", None));
    // One that names a sandbox decides.
    let both = entry(json!([{"name": "net1", "mac": mac, "sandbox": "/x"}, {"name": "veth1"}]));
    assert_eq!(both, named("net1", Some(mac)));
}

#[test]
fn the_kernel_knows_what_an_old_result_does_not() {
    let old = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.5/24"}}).to_string();
    let result = AddResult::parse(&old, Version::V0_2_0).unwrap();
    let mac = Some("02:00:00:00:00:01");
    let attached = Attached {
        name: "ns/n",
        ifname: "net1",
        default: false,
        result: &result,
        gateways: None,
        device_info: None,
        mac,
    };
    let entry = &entries(&attached)[0];
    assert_eq!((entry.interface.as_str(), entry.mac.as_str()), ("net1", "02:00:00:00:00:01"));
}

#[test]
fn a_status_has_an_end() {
    // M4
    let entry = |nameservers: usize, name: String| NetworkStatus {
        name,
        dns: Dns { nameservers: vec!["10.0.0.1".to_owned(); nameservers], ..Dns::default() },
        ..NetworkStatus::default()
    };
    let default = NetworkStatus { default: true, ..entry(1, "cbr0".to_owned()) };
    let bounded = |entries: &[NetworkStatus]| {
        let (text, left_out) = bounded_annotation(entries.to_vec());
        assert!(text.len() <= LONGEST);
        (serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().len(), left_out.unwrap_or_default())
    };
    assert_eq!(bounded(&[default.clone(), entry(1000, "a".to_owned())]), (2, ""));
    assert!(bounded(&[default.clone(), entry(100_000, "a".to_owned())]).1.contains("dns"));
    assert_eq!(bounded(&[default.clone(), entry(100_000, "a".to_owned())]).0, 2);
    assert_eq!(bounded(&[default, entry(0, "a".repeat(LONGEST))]), (1, "all but the default network was left out"));
}

#[test]
fn a_gateway_is_an_address_or_absent() {
    // NPWG-STA-20: neither `<nil>` nor routes to half of the address space, nor those of another table
    let status = of(
        json!({"interfaces": [{"name": "net1", "sandbox": "/x"}],
               "routes": [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/1", "gw": "10.0.0.1"},
                          {"dst": "0.0.0.0/0", "gw": "10.0.0.2", "table": 100}]}),
        false,
    );
    assert_eq!(status[0].get("gateway"), None);
}

#[test]
fn the_text_is_laid_out_as_multus_does() {
    // NPWG-STA-17
    let entry = NetworkStatus { name: "cbr0".into(), default: true, ..NetworkStatus::default() };
    let text = annotation(&[entry.clone(), NetworkStatus { default: false, ..entry }]);
    assert_eq!(
        text,
        "[{\n    \"name\": \"cbr0\",\n    \"default\": true,\n    \"dns\": {}\n},{\n    \"name\": \"cbr0\",\n    \"dns\": {}\n}]"
    );
}
