use super::*;
use crate::cni::version::Version;
use serde_json::{Value, json};

fn of(result: Value, default: bool) -> Value {
    let result = AddResult::parse(&result.to_string(), Version::V1_1_0).unwrap();
    let attached =
        Attached { name: "ns/n", ifname: "net1", default, result: &result, gateways: None, device_info: None };
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
fn a_gateway_is_an_address_or_absent() {
    // NPWG-STA-20: neither `<nil>` nor routes to half of the address space
    let status = of(
        json!({"interfaces": [{"name": "net1", "sandbox": "/x"}],
               "routes": [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/1", "gw": "10.0.0.1"}]}),
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
