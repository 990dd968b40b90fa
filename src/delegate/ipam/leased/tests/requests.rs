//! Addresses that a pod asks for, and pods that a pool is not for.

use super::*;

/// A node with the blocks `granted` of a pool with a gateway, and with excluded and reserved addresses.
fn node(granted: &[&str]) -> Arc<FakeNode> {
    let texts = |text: &str| vec![text.to_owned()];
    let range = Range {
        range: "10.0.0.0/24".to_owned(),
        gateway: Some("10.0.0.1".to_owned()),
        exclude: texts("10.0.0.5"),
        reserved: texts("10.0.0.8-10.0.0.10"),
        ..Range::default()
    };
    let (block_size, warm) = (BlockSize { v4: 2, v6: 2 }, Warm { min: 0, max: 0 });
    let spec = PoolSpec { block_size, warm, ranges: vec![range], authority_seconds: 100, ..PoolSpec::default() };
    FakeNode::of(spec, granted, &[])
}

#[test]
fn a_requested_address_is_taken_from_its_block() {
    // Case 36, without claims.
    let node = node(&["10.0.0.2"]);
    node.taken_by_others.lock().unwrap().insert("10.0.0.12".parse().unwrap());
    let ask = |container: &str, ip: &str| add_with(&node, container, &format!("IP={ip}"));
    assert_eq!(ask("a", "10.0.0.3").unwrap(), ["10.0.0.3/24"]);
    assert!(node.asked.lock().unwrap().is_empty(), "it is in a block of this node");
    assert_eq!(ask("b", "10.0.0.20").unwrap(), ["10.0.0.20/24"], "its block is leased");
    assert_eq!(ask("b", "10.0.0.20").unwrap(), ["10.0.0.20/24"], "the same attachment has the same address");
    for (ip, code, why) in [
        ("10.0.0.3", "999 ", "is taken"),
        ("10.0.0.13", "11 ", "in a block of node w2"),
        ("10.0.0.1", "11 ", "the gateway of range 10.0.0.0/24"),
        ("10.0.0.0", "11 ", "the network address"),
        ("10.0.0.5", "11 ", "excluded"),
        ("10.9.0.9", "7 ", "in no range"),
        ("fd00::1", "7 ", "does not give IPv6"),
    ] {
        let error = ask("c", ip).unwrap_err();
        assert!(error.starts_with(code) && error.contains(why) && error.contains(ip), "{ip}: {error}");
    }
    assert_eq!(node.names(), ["10.0.0.20", "10.0.0.3"]);
}

#[test]
fn what_no_pod_gets_is_told_without_a_daemon() {
    let node = node(&["10.0.0.0", "10.0.0.2", "10.0.0.4"]);
    node.is_alone.store(true, std::sync::atomic::Ordering::Relaxed);
    let told = |ip: &str| add_with(&node, "a", &format!("IP={ip}")).unwrap_err();
    for (ip, what) in [("1", "the gateway"), ("0", "the network address"), ("255", "the broadcast address")] {
        let why = format!(
            "11 plugin plexus-ipam: pool lan: requested IP 10.0.0.{ip} is {what} of range 10.0.0.0/24, and no pod gets it"
        );
        assert_eq!(told(&format!("10.0.0.{ip}")), why);
    }
    let excluded = told("10.0.0.5");
    assert!(excluded.contains("is excluded, or no new address is taken from its range"), "{excluded}");
    // This one another lease may give.
    let elsewhere = told("10.0.0.20");
    assert!(
        elsewhere.contains("in no block of this node, and none was leased: plexusd does not answer"),
        "{elsewhere}"
    );
    assert!(node.names().is_empty());
}

#[test]
fn what_is_reserved_is_only_given_to_a_pod_that_asks_for_it() {
    // Case 36: the second address of this block is not reserved.
    let node = node(&["10.0.0.10"]);
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.11/24"]);
    assert!(add(&node, "b").unwrap_err().contains("no block is free"));
    for ip in ["10.0.0.8", "10.0.0.9", "10.0.0.10"] {
        assert_eq!(add_with(&node, ip, &format!("IP={ip}")).unwrap(), [format!("{ip}/24")]);
    }
    assert!(add(&node, "b").is_err());
    // A block of which nothing else may be taken goes back with its last address.
    del(&node, "10.0.0.8", "");
    assert!(node.report.lock().unwrap().released.is_empty());
    del(&node, "10.0.0.9", "");
    let released = node.report.lock().unwrap().released.clone();
    assert_eq!(released.iter().map(|one| one.first.to_string()).collect::<Vec<_>>(), ["10.0.0.8"]);
}

#[test]
fn pods_of_other_namespaces_get_no_address() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[]);
    node.grant.lock().unwrap().as_mut().unwrap().namespaces = vec!["db".to_owned(), "web".to_owned()];
    let of = |namespace: &str| format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=p");
    assert_eq!(add_with(&node, "a", &of("web")).unwrap(), ["10.0.0.2/24"]);
    for (args, who) in [(of("webx"), "pods of namespace webx"), (String::new(), "namespace is not known")] {
        // Before the first network is attached, and by whoever asks what ADD will do.
        let errors =
            [add_with(&node, "b", &args).unwrap_err(), call(&node, "b", "", &args, Ipam::prepare).unwrap_err()];
        for error in errors {
            assert!(error.starts_with("7 ") && error.contains(who) && error.contains("it is for db, web"), "{error}");
        }
    }
    call(&node, "b", "", &of("db"), Ipam::prepare).unwrap();
    assert_eq!(node.names(), ["10.0.0.2"]);
    // What a pod has it gives back.
    node.grant.lock().unwrap().as_mut().unwrap().namespaces = vec!["db".to_owned()];
    del(&node, "a", "");
    assert!(node.names().is_empty());
}
