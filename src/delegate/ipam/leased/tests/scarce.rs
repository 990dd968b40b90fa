//! What a node gives back while somewhere a pod waits for an address.

use super::*;

fn released(node: &FakeNode) -> Vec<String> {
    node.report.lock().unwrap().released.iter().map(|one| one.first.to_string()).collect()
}

/// What the daemon writes while the pool is scarce.
fn call_back(node: &FakeNode, word: &str) -> String {
    let mut grant = node.grant.lock().unwrap();
    *grant = grant.take().map(|grant| grant.while_scarce(word));
    let text = grant.as_ref().unwrap().to_text();
    assert_eq!(Grant::parse(&text).as_ref(), Ok(grant.as_ref().unwrap()), "as the plugin reads it");
    grant.as_ref().unwrap().calls_back()
}

#[test]
fn a_node_without_calls_gives_back_what_it_keeps() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4", "10.0.0.6"], &[]);
    node.keep();
    add(&node, "a").unwrap();
    assert!(released(&node).is_empty());
    let pool = PoolName::new("lan").unwrap();
    assert_eq!(call_back(&node, "w-1"), "w-1");
    give_back(&*node, &pool, Instant::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(released(&node), ["10.0.0.4", "10.0.0.6"], "what is in use stays");
    // What was given back is not used, and a pod that ends gives its block back at once.
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.3/24"]);
    assert!(add(&node, "c").is_err());
    ["a", "b"].iter().for_each(|container| del(&node, container, ""));
    assert_eq!(released(&node).len(), 3);
}

#[test]
fn a_range_of_whereabouts_keeps_nothing_either() {
    let node = FakeNode::of_whereabouts();
    let text =
        r#"{"cniVersion":"1.1.0","name":"n","type":"macvlan","ipam":{"type":"whereabouts","range":"10.8.0.0/16"}}"#;
    call_with(&node, text, "a", "", Ipam::add).unwrap();
    call_with(&node, text, "a", "", Ipam::del).unwrap();
    assert!(released(&node).is_empty(), "a large range keeps addresses");
    call_back(&node, "w-1");
    call_with(&node, text, "b", "", Ipam::add).unwrap();
    call_with(&node, text, "b", "", Ipam::del).unwrap();
    assert_eq!(released(&node), ["10.8.0.1"]);
}

#[test]
fn blocks_without_an_address_are_called_back() {
    // A range that drains, a pool that is not for this node any more.
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    node.keep();
    add(&node, "a").unwrap();
    let spec = node.spec.drained();
    let mut grant = node.grant.lock().unwrap();
    assert_eq!(grant.as_ref().unwrap().calls_back(), "");
    let held = grant.as_ref().unwrap().offers.iter().map(|offer| offer.granted.clone()).collect();
    *grant = Some(Grant::new(PoolName::new("lan").unwrap(), &spec, here(), held));
    assert_eq!(grant.as_ref().unwrap().calls_back(), "10.0.0.2 10.0.0.4");
    drop(grant);
    give_back(&*node, &PoolName::new("lan").unwrap(), Instant::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(released(&node), ["10.0.0.4"]);
    assert!(add(&node, "b").is_err());
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.2/24"], "a pod keeps its address");
}
