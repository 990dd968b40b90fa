//! Addresses that are kept for a pod.

use super::*;
use crate::ipam::grant::Notes;
use crate::ipam::reservation::{Known, Whose, choose};

impl FakeNode {
    /// What the daemon does: the address that is kept, or the first one that is not kept and that nobody has here.
    pub(super) fn lease_kept(&self, whose: &Whose, need: &Need) -> Result<Vec<IpAddr>, Unleased> {
        let pool = Pool::new(&self.spec).unwrap();
        if pool.families().any(|is_v4| pool.reserved(is_v4).is_empty()) {
            return Err(Unleased::Never("it has no reserved addresses".to_owned()));
        }
        let mut all = self.kept.lock().unwrap();
        let kept = all.values().flatten().copied().collect();
        let known = Known { kept, taken: need.taken.iter().copied().collect(), ..Known::default() };
        let chosen = || pool.families().map(|is_v4| choose(&pool, is_v4, &known, 0).unwrap()).collect();
        let addresses: Vec<IpAddr> = all.entry(whose.clone()).or_insert_with(chosen).clone();
        for address in &addresses {
            let first = pool.block_of(*address).first;
            if self.taken_by_others.lock().unwrap().contains(&first) {
                return Err(Unleased::Later(format!("{address} is in a block of node w2")));
            }
            let has =
                self.grant.lock().unwrap().iter().flat_map(|grant| &grant.offers).any(|it| it.granted.first == first);
            if !has {
                self.lease_block(&first.to_string());
            }
        }
        let of = |(whose, addresses): (&Whose, &Vec<IpAddr>)| {
            addresses.iter().map(|address| (*address, whose.number())).collect::<Vec<_>>()
        };
        self.note(|notes| notes.kept = all.iter().flat_map(of).collect());
        Ok(addresses)
    }

    fn note(&self, change: impl Fn(&mut Notes)) {
        let mut grant = self.grant.lock().unwrap();
        let mut notes = Notes::default();
        let offers = grant.iter().flat_map(|grant| &grant.offers);
        notes.kept = offers.flat_map(|offer| &offer.kept).copied().collect();
        change(&mut notes);
        *grant = grant.take().map(|grant| grant.noted(&notes));
        let grant = grant.as_ref().unwrap();
        assert_eq!(Grant::parse(&grant.to_text()).as_ref(), Ok(grant), "as the plugin reads it");
    }
}

/// A node without a block of a pool in which two families have reserved addresses.
fn node(reserved: &[&str]) -> Arc<FakeNode> {
    let range = |(range, reserved): (&str, Option<&&str>)| Range {
        range: range.to_owned(),
        reserved: reserved.map(|text| (*text).to_owned()).into_iter().collect(),
        ..Range::default()
    };
    let ranges = ["10.0.0.0/24", "fd00::/64"].into_iter().take(reserved.len());
    let spec = PoolSpec {
        block_size: BlockSize { v4: 2, v6: 2 },
        ranges: ranges
            .enumerate()
            .map(|(at, text)| range((text, reserved.get(at).filter(|it| !it.is_empty()))))
            .collect(),
        warm: Warm { min: 0, max: 0 },
        authority_seconds: 100,
        retain_seconds: 100,
        ..PoolSpec::default()
    };
    FakeNode::of(spec, &[], &[(4, "10.0.0.2")])
}

const STICKY: &str =
    r#"{"cniVersion":"1.1.0","name":"net","type":"macvlan","ipam":{"type":"plexus-ipam","pool":"lan","sticky":true}}"#;

fn of(pod: &str) -> String {
    format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={pod}")
}

fn sticky(node: &Arc<FakeNode>, container: &str, args: &str) -> Result<Vec<String>, String> {
    let result = call_with(node, STICKY, container, args, Ipam::add)?;
    Ok(result.ips.iter().map(|ip| ip.address.to_string()).collect())
}

fn end(node: &Arc<FakeNode>, container: &str) {
    call_with(node, STICKY, container, "", Ipam::del).unwrap();
}

fn released(node: &FakeNode) -> Vec<String> {
    node.report.lock().unwrap().released.iter().map(|one| one.first.to_string()).collect()
}

fn asked(node: &FakeNode) -> usize {
    node.asked.lock().unwrap().len()
}

#[test]
fn a_pod_gets_what_is_kept_for_it_and_asks_once() {
    let node = node(&["10.0.0.8/29", "fd00::10/124"]);
    assert_eq!(sticky(&node, "a", &of("web-0")).unwrap(), ["10.0.0.8/24", "fd00::10/64"]);
    assert_eq!(sticky(&node, "a", &of("web-0")).unwrap(), ["10.0.0.8/24", "fd00::10/64"], "the same attachment");
    assert_eq!(sticky(&node, "b", &of("web-1")).unwrap(), ["10.0.0.10/24", "fd00::12/64"], "a block for each");
    let before = asked(&node);
    // The daemon, or the API server, is away.
    end(&node, "a");
    assert!(released(&node).is_empty());
    node.taken_by_others.lock().unwrap().extend(["10.0.0.8".parse::<IpAddr>().unwrap()]);
    assert_eq!(sticky(&node, "c", &of("web-0")).unwrap(), ["10.0.0.8/24", "fd00::10/64"]);
    assert_eq!(asked(&node), before);
    // Others get nothing that is reserved.
    assert_eq!(add(&node, "d").unwrap_err().split(' ').next(), Some("11"));
    assert_eq!(node.names(), ["10.0.0.10", "10.0.0.8", "fd00::10", "fd00::12"]);
}

#[test]
fn two_pods_of_one_name_do_not_share_an_address() {
    let node = node(&["10.0.0.8/29"]);
    sticky(&node, "a", &of("web-0")).unwrap();
    let error = sticky(&node, "b", &of("web-0")).unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("pod ns/web-0 still has it on this node"), "{error}");
    end(&node, "b");
    end(&node, "a");
    // What a killed writer has left is nobody's.
    std::fs::write(node.folder.path().join("lan/10.0.0.8"), "").unwrap();
    assert_eq!(sticky(&node, "b", &of("web-0")).unwrap(), ["10.0.0.8/24"]);
}

#[test]
fn an_address_that_is_asked_for_wins() {
    let node = node(&["10.0.0.8/29", "fd00::10/124"]);
    let args = format!("{};IP=10.0.0.20", of("web-0"));
    assert_eq!(sticky(&node, "a", &args).unwrap(), ["10.0.0.20/24", "fd00::10/64"]);
}

#[test]
fn an_address_that_a_pod_has_is_kept_for_nobody_else() {
    let node = node(&["10.0.0.8/29"]);
    add_with(&node, "b", "IP=10.0.0.8").unwrap();
    assert_eq!(sticky(&node, "c", &of("web-1")).unwrap(), ["10.0.0.9/24"]);
}

#[test]
fn a_pool_without_reserved_addresses_keeps_none() {
    for (reserved, args, why) in [
        (vec![""], of("web-0"), "reserved"),
        (vec!["10.0.0.8/29", ""], of("web-0"), "reserved"),
        (vec!["10.0.0.8/29"], String::new(), "name the pod"),
    ] {
        let node = node(&reserved);
        let error = sticky(&node, "a", &args).unwrap_err();
        assert!(error.starts_with("7 ") && error.contains(why), "{error}");
        assert!(node.names().is_empty());
    }
}

#[test]
fn an_unused_block_of_reserved_addresses_goes_back_after_its_time() {
    let (node, pool) = (node(&["10.0.0.8/29"]), PoolName::new("lan").unwrap());
    let look = |node: &Arc<FakeNode>| give_back(&**node, &pool, Instant::now() + Duration::from_secs(5)).unwrap();
    sticky(&node, "a", &of("web-0")).unwrap();
    end(&node, "a");
    look(&node);
    assert!(released(&node).is_empty(), "it may come back to this node");
    let word = |node: &FakeNode| node.grant.lock().unwrap().as_ref().unwrap().calls_back();
    let before = word(&node);
    assert!(!before.is_empty());
    // `retainSeconds` of this pool is shorter than the five minutes. The keeper is told to look again.
    node.pass(101);
    node.grant.lock().unwrap().as_mut().unwrap().confirmed.since_boot = 351;
    assert_ne!(word(&node), before);
    look(&node);
    assert_eq!(released(&node), ["10.0.0.8"]);
}

#[test]
fn a_block_that_another_node_asks_for_goes_back_at_once() {
    let (node, pool) = (node(&["10.0.0.8/29"]), PoolName::new("lan").unwrap());
    let look = |node: &Arc<FakeNode>| give_back(&**node, &pool, Instant::now() + Duration::from_secs(5)).unwrap();
    let first: IpAddr = "10.0.0.8".parse().unwrap();
    let called = |notes: &mut Notes| drop(notes.called.insert(first, "w-1".to_owned()));
    sticky(&node, "a", &of("web-0")).unwrap();
    node.note(called);
    look(&node);
    assert!(released(&node).is_empty(), "a pod has an address of it");
    node.note(|_| ());
    end(&node, "a");
    assert!(released(&node).is_empty());
    let word = node.grant.lock().unwrap().as_ref().unwrap().calls_back();
    // It was leased again, and a pod of this node is about to take it.
    node.pass(31);
    let fresh = |notes: &mut Notes| {
        called(notes);
        notes.fresh.insert(first, 51);
    };
    node.note(fresh);
    look(&node);
    assert!(released(&node).is_empty());
    // The keeper looks when it is asked for, and again when nobody is about to take an address of it.
    let soon = node.grant.lock().unwrap().as_ref().unwrap().calls_back();
    assert_ne!(soon, word);
    node.note(called);
    assert_ne!(node.grant.lock().unwrap().as_ref().unwrap().calls_back(), soon);
    look(&node);
    assert_eq!(released(&node), ["10.0.0.8"]);
}

#[test]
fn a_pod_that_ended_at_once_does_not_hold_its_block() {
    let (node, first) = (node(&["10.0.0.8/29"]), "10.0.0.8".parse().unwrap());
    sticky(&node, "a", &of("web-0")).unwrap();
    node.note(|notes| {
        notes.fresh.insert(first, 80);
        notes.called.insert(first, "w-1".to_owned());
    });
    end(&node, "a");
    assert_eq!(released(&node), ["10.0.0.8"]);
}

#[test]
fn what_others_wait_for_does_not_take_what_is_kept() {
    let node = node(&["10.0.0.8/29"]);
    sticky(&node, "a", &of("web-0")).unwrap();
    let mut grant = node.grant.lock().unwrap();
    *grant = grant.take().map(|grant| grant.while_scarce("w-1"));
    drop(grant);
    end(&node, "a");
    assert!(released(&node).is_empty(), "nobody who waits for any address can take a reserved one");
    assert_eq!(sticky(&node, "b", &of("web-0")).unwrap(), ["10.0.0.8/24"]);
}

#[test]
fn a_plugin_that_keeps_addresses_names_its_pool() {
    let of = |text: &str| sticky_pool(&PluginConfig::new(RawObject::parse(text).unwrap()).unwrap());
    let lan = of(r#"{"type":"sriov","ipam":{"type":"plexus-ipam","pool":"lan","sticky":true}}"#);
    assert_eq!(lan, PoolName::new("lan").ok());
    assert_eq!(of(r#"{"type":"sriov","ipam":{"type":"plexus-ipam","pool":"lan","sticky":false}}"#), None);
    assert_eq!(of(r#"{"type":"sriov","ipam":{"type":"other","pool":"lan","sticky":true}}"#), None);
}

#[test]
fn what_is_kept_is_refused_at_once_where_another_device_has_it() {
    let node = node(&["10.0.0.8/29"]);
    node.grant.lock().unwrap().as_mut().unwrap().probe = crate::ipam::Probe::Refuse;
    let mut link = probed::FakeLink::of("10.0.0.8");
    let add = |link: &mut probed::FakeLink| {
        let result = call_with(&node, STICKY, "a", &of("web-0"), |leased, call| leased.add_on(call, link))?;
        Ok::<_, String>(result.ips.iter().map(|ip| ip.address.to_string()).collect::<Vec<_>>())
    };
    let error = add(&mut link).unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("another device has 10.0.0.8 (MAC"), "{error}");
    assert!(node.names().is_empty());
    link.has.clear();
    assert_eq!(add(&mut link).unwrap(), ["10.0.0.8/24"]);
}
