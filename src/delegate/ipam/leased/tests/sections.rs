//! Sections of whereabouts.

use super::*;

/// ADD with a section of whereabouts that has `keys`.
fn add_section(node: &Arc<FakeNode>, container: &str, keys: &str, args: &str) -> Result<Vec<String>, String> {
    let text =
        format!(r#"{{"cniVersion":"1.1.0","name":"n","type":"macvlan","ipam":{{"type":"whereabouts",{keys}}}}}"#);
    let result = call_with(node, &text, container, args, Ipam::add)?;
    let gateway = |gateway: Option<IpAddr>| gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    Ok(result.ips.iter().map(|ip| format!("{}{}", ip.address, gateway(ip.gateway))).collect())
}

fn del_section(node: &Arc<FakeNode>, container: &str, keys: &str) {
    let text =
        format!(r#"{{"cniVersion":"1.1.0","name":"n","type":"macvlan","ipam":{{"type":"whereabouts",{keys}}}}}"#);
    call_with(node, &text, container, "", Ipam::del).unwrap();
}

#[test]
fn a_section_of_whereabouts_gives_one_address_of_each_range() {
    // Case 38
    let node = FakeNode::of_whereabouts();
    let keys = r#""range":"10.0.0.0/29","gateway":"10.0.0.1","ipRanges":[{"range":"fd00::/120"},{"range":"10.1.0.5-10.1.0.9/24"}]"#;
    let first = add_section(&node, "a", keys, "").unwrap();
    assert_eq!(first, ["10.0.0.2/29 via 10.0.0.1", "fd00::1/120", "10.1.0.5/24 via 10.0.0.1"]);
    assert_eq!(add_section(&node, "a", keys, "").unwrap(), first, "the same attachment has the same addresses");
    let second = add_section(&node, "b", keys, "").unwrap();
    assert_eq!(second, ["10.0.0.3/29 via 10.0.0.1", "fd00::2/120", "10.1.0.6/24 via 10.0.0.1"]);
    let asked = node.asked.lock().unwrap().len();
    // A small range keeps nothing on this node, a large one does.
    del_section(&node, "a", keys);
    assert_eq!(node.names(), ["10.0.0.3", "10.1.0.6", "fd00::2"]);
    assert_eq!(node.report.lock().unwrap().released.len(), 3);
    let large = r#""range":"10.8.0.0/16""#;
    let before = add_section(&node, "c", large, "").unwrap();
    del_section(&node, "c", large);
    assert_eq!(node.report.lock().unwrap().released.len(), 3, "it may be used again");
    let asked_again = node.asked.lock().unwrap().len();
    assert_eq!(asked_again, asked + 1);
    assert_eq!(add_section(&node, "d", large, "").unwrap(), before);
    assert_eq!(node.asked.lock().unwrap().len(), asked_again);
}

#[test]
fn ranges_of_one_network_name_never_give_one_address_twice() {
    // enable_overlapping_ranges, also where it is false: a difference.
    let node = FakeNode::of_whereabouts();
    let (one, other) =
        (r#""range":"10.0.0.4-10.0.0.5/24""#, r#""range":"10.0.0.4-10.0.0.6/24","enable_overlapping_ranges":false"#);
    let mut all = vec![add_section(&node, "a", one, "").unwrap(), add_section(&node, "b", other, "").unwrap()];
    all.push(add_section(&node, "c", other, "").unwrap());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3, "{all:?}");
    let error = add_section(&node, "d", one, "").unwrap_err();
    assert!(
        error.starts_with("11 ") && error.contains("of 10.0.0.0/24") && error.contains("no block is free"),
        "{error}"
    );
    // What another node has is not taken, and what is excluded neither.
    node.taken_by_others.lock().unwrap().insert("10.0.0.8".parse().unwrap());
    let keys = r#""range":"10.0.0.8-10.0.0.10/24","exclude":["10.0.0.9/32"]"#;
    assert_eq!(add_section(&node, "e", keys, "").unwrap(), ["10.0.0.10/24"]);
    assert!(add_section(&node, "f", keys, "").is_err());
}

#[test]
fn what_a_pod_asks_of_whereabouts() {
    // Case 36: CNI_ARGS IP and GATEWAY, and `addresses`.
    let node = FakeNode::of_whereabouts();
    let keys = r#""range":"10.0.0.0/24","exclude":["10.0.0.200/29"]"#;
    let args = "IP=10.0.0.7/24,192.168.5.5/24;GATEWAY=192.168.5.1";
    // In its range, excluded or not, it is leased and taken; elsewhere it is added as it is.
    assert_eq!(add_section(&node, "a", keys, args).unwrap(), ["10.0.0.7/24", "192.168.5.5/24 via 192.168.5.1"]);
    assert_eq!(add_section(&node, "b", keys, "IP=10.0.0.201").unwrap(), ["10.0.0.201/24"]);
    assert_eq!(node.names(), ["10.0.0.201", "10.0.0.7"]);
    let error = add_section(&node, "c", keys, "IP=10.0.0.7/24").unwrap_err();
    assert!(error.contains("requested IP 10.0.0.7 is taken"), "{error}");
    assert!(add_section(&node, "d", keys, "IP=192.168.5.5").unwrap_err().contains("prefix length"));
    del_section(&node, "a", keys);
    assert_eq!(node.names(), ["10.0.0.201"]);
    // Without a range nobody is asked.
    let asked = node.asked.lock().unwrap().len();
    let fixed = r#""addresses":[{"address":"10.9.0.9/24","gateway":"10.9.0.1"}]"#;
    assert_eq!(add_section(&node, "e", fixed, "").unwrap(), ["10.9.0.9/24 via 10.9.0.1"]);
    assert!(add_section(&node, "f", r#""network_name":"x""#, "").unwrap_err().contains("neither \"range\""));
    assert_eq!(node.asked.lock().unwrap().len(), asked);
}

#[test]
fn pools_that_sections_imply() {
    let of = |section: &str| {
        let text = format!(r#"{{"name":"n","plugins":[{{"type":"macvlan","ipam":{section}}}]}}"#);
        pools(&NetworkConfig::parse(&text, None).unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of(r#"{"type":"whereabouts","range":"10.0.0.0/24"}"#), ["whereabouts.default"]);
    assert_eq!(of(r#"{"type":"whereabouts","network_name":"a"}"#), ["whereabouts.net-a"]);
    let node = FakeNode::of_whereabouts();
    let text = CONFIG.replace("\"lan\"", "\"whereabouts.default\"");
    let error = call_with(&node, &format!("{text}}}"), "a", "", Ipam::add).unwrap_err();
    assert!(error.contains("belongs to networks of type whereabouts"), "{error}");
}
