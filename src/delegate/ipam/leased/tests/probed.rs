//! Addresses that a device outside the cluster has. The real link is in `tests/conflicts.rs`.

use super::*;
use crate::delegate::wire::Wire;
use crate::ipam::Probe;
use crate::sys::conflicts::Claim;
use crate::sys::netlink::Mac;

const OTHER: &str = "02:00:00:00:00:02";

/// A link with other devices.
#[derive(Default)]
pub(super) struct FakeLink {
    /// What one device has.
    pub(super) has: Vec<&'static str>,
    /// A router answers for all, also of these families.
    answers_for_all: Vec<bool>,
    is_broken: bool,
    asked: Vec<Vec<String>>,
}

impl FakeLink {
    /// With a device that has `address`.
    pub(super) fn of(address: &'static str) -> Self {
        FakeLink { has: vec![address], ..FakeLink::default() }
    }
}

impl Wire for FakeLink {
    fn ask(&mut self, addresses: &[IpAddr], _: Instant) -> Result<Vec<Claim>, String> {
        self.asked.push(addresses.iter().map(ToString::to_string).collect());
        if self.is_broken {
            return Err("no carrier".to_owned());
        }
        let has = |address: &IpAddr| self.has.contains(&address.to_string().as_str());
        let answers = |address: &IpAddr| has(address) || self.answers_for_all.contains(&address.is_ipv4());
        let mac: Mac = OTHER.parse().unwrap();
        let claim = |address: &IpAddr| Claim { address: *address, mac: mac.clone() };
        Ok(addresses.iter().filter(|address| answers(address)).map(claim).collect())
    }
}

fn node(probe: Probe, ranges: &[&str], granted: &[&str], stock: &[(u8, &'static str)]) -> Arc<FakeNode> {
    let node = FakeNode::new(ranges, granted, stock);
    node.grant.lock().unwrap().as_mut().unwrap().probe = probe;
    node.keep();
    node
}

fn add_on(node: &Arc<FakeNode>, link: &mut FakeLink, container: &str, args: &str) -> Result<Vec<String>, String> {
    let result = call(node, container, "", args, |leased, call| leased.add_on(call, link))?;
    Ok(result.ips.iter().map(|ip| ip.address.to_string()).collect())
}

#[test]
fn nobody_is_asked_where_the_pool_does_not_want_it() {
    let node = node(Probe::Off, &["10.0.0.0/24"], &["10.0.0.2"], &[]);
    let mut link = FakeLink { has: vec!["10.0.0.2"], ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.2/24"]);
    assert!(link.asked.is_empty() && !node.all_files().contains(&"aside".to_owned()));
}

#[test]
fn the_next_address_is_taken_where_another_device_answers() {
    // Case 45
    let node = node(Probe::Refuse, &["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    let mut link = FakeLink { has: vec!["10.0.0.2"], ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.3/24"]);
    // The address of the network is nobody's: who answers for it, too, answers for all.
    assert_eq!(link.asked, [["10.0.0.2"], ["10.0.0.0"], ["10.0.0.3"]]);
    assert_eq!(node.names(), ["10.0.0.3"]);
    // What the attachment has it is not asked for again, and what was answered for is set aside.
    link.asked.clear();
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.3/24"]);
    assert!(link.asked.is_empty());
    del(&node, "a", "");
    for (container, address) in [("b", "10.0.0.4/24"), ("c", "10.0.0.5/24"), ("d", "10.0.0.3/24")] {
        assert_eq!(add_on(&node, &mut link, container, "").unwrap(), [address]);
    }
    let error = add_on(&node, &mut link, "e", "").unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("another device has 1 of them"), "{error}");
    // The device is gone.
    link.has.clear();
    node.pass(crate::ipam::probe::ASIDE_SECONDS);
    assert_eq!(add_on(&node, &mut link, "e", "").unwrap(), ["10.0.0.2/24"]);
}

#[test]
fn after_three_addresses_the_call_fails_and_names_who_answered() {
    // Case 45
    let node = node(Probe::Refuse, &["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    let mut link = FakeLink { has: vec!["10.0.0.2", "10.0.0.3", "10.0.0.4"], ..FakeLink::default() };
    let error = add_on(&node, &mut link, "a", "").unwrap_err();
    for word in ["11 ", "pool lan", "10.0.0.2 (MAC 02:00:00:00:00:02)", "10.0.0.3 (", "10.0.0.4 ("] {
        assert!(error.contains(word), "{word} is not in {error}");
    }
    assert_eq!(node.names(), [""; 0]);
    // One device was asked once whether it answers for all.
    assert_eq!(link.asked, [["10.0.0.2"], ["10.0.0.0"], ["10.0.0.3"], ["10.0.0.4"]]);
    // The kubelet tries again.
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.5/24"]);
}

#[test]
fn a_family_that_nobody_has_is_kept() {
    let node = node(Probe::Refuse, &["10.0.0.0/24", "fd00::/64"], &["10.0.0.2", "fd00::4"], &[(6, "fd00::8")]);
    let mut link = FakeLink { has: vec!["fd00::4", "fd00::5"], ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.2/24", "fd00::8/64"]);
    assert_eq!(link.asked[0], ["10.0.0.2", "fd00::4"]);
    assert_eq!(link.asked[2..], [["fd00::5"], ["fd00::8"]]);
    assert_eq!(node.names(), ["10.0.0.2", "fd00::8"]);
    // Where the other family has none, neither is kept.
    link.has.extend(["fd00::9"]);
    let error = add_on(&node, &mut link, "b", "").unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("fd00::9 (MAC"), "{error}");
    assert_eq!(node.names(), ["10.0.0.2", "fd00::8"], "nothing is taken by a call that failed");
}

#[test]
fn a_requested_address_is_refused_at_once() {
    let node = node(Probe::Refuse, &["10.0.0.0/24"], &["10.0.0.2"], &[]);
    let mut link = FakeLink { has: vec!["10.0.0.3"], ..FakeLink::default() };
    let error = add_on(&node, &mut link, "a", "IP=10.0.0.3").unwrap_err();
    assert!(error.starts_with("11 ") && error.contains("another device has 10.0.0.3 (MAC"), "{error}");
    assert_eq!(node.names(), [""; 0]);
    // It is asked for again each time.
    link.has.clear();
    assert_eq!(add_on(&node, &mut link, "a", "IP=10.0.0.3").unwrap(), ["10.0.0.3/24"]);
}

#[test]
fn what_answers_for_all_means_nothing() {
    // Case 45
    let node = node(Probe::Refuse, &["10.0.0.0/24", "fd00::/64"], &["10.0.0.2", "fd00::4"], &[(6, "fd00::8")]);
    let mut link = FakeLink { has: vec!["fd00::4"], answers_for_all: vec![true], ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.2/24", "fd00::5/64"]);
    let remarks = crate::delegate::remarks::take().join("\n");
    assert!(remarks.contains("02:00:00:00:00:02 answers for 10.0.0.2 and for addresses that nobody has"), "{remarks}");
}

#[test]
fn a_warning_and_a_broken_link_keep_nobody_from_an_address() {
    let node = node(Probe::Warn, &["10.0.0.0/24"], &["10.0.0.2"], &[]);
    let mut link = FakeLink { has: vec!["10.0.0.2"], ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "a", "").unwrap(), ["10.0.0.2/24"]);
    node.grant.lock().unwrap().as_mut().unwrap().probe = Probe::Refuse;
    let mut link = FakeLink { is_broken: true, ..FakeLink::default() };
    assert_eq!(add_on(&node, &mut link, "b", "").unwrap(), ["10.0.0.3/24"]);
    assert_eq!(link.asked, [["10.0.0.3"]]);
}
