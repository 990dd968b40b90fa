//! Questions to the real kernel: another machine is a namespace at the other end of a cable.

use super::*;
use crate::sys::netlink::{Change, Kind, Mac, NewLink, Peer, Socket};
use crate::sys::netns::Netns;
use crate::sys::sysctl::Family;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const OWN: &str = "02:00:00:00:00:01";
const OTHER: &str = "02:00:00:00:00:02";

/// Two machines with a cable between them, whose ends are switched on; the other one does no duplicate address detection,
/// so that it has its addresses at once.
struct Cable {
    here: Netns,
    index: u32,
    _there: Netns,
    other: Socket,
    other_index: u32,
}

impl Cable {
    /// `None` (and a line) where we may not.
    fn new(test: &str, other_mac: &str) -> Option<Self> {
        if !crate::sys::is_root() {
            assert!(std::env::var_os("CI").is_none(), "{test} needs root");
            eprintln!("SKIP {test}: needs root");
            return None;
        }
        let (here, there) = (Netns::create().unwrap(), Netns::create().unwrap());
        let (mut own, mut other) = (Socket::in_netns(&here).unwrap(), Socket::in_netns(&there).unwrap());
        let (mac, other_mac): (Mac, Mac) = (OWN.parse().unwrap(), other_mac.parse().unwrap());
        let peer = Peer { name: "net1", netns: Some(there.as_fd()), index: None, mtu: None, mac: Some(&other_mac) };
        own.create_link(&NewLink { mac: Some(&mac), ..NewLink::new("net1", Kind::Veth { peer }) }).unwrap();
        let _ = there.run(|| other.settings().write(Family::V6, "net1", "accept_dad", "0")).unwrap();
        let up = Change { up: Some(true), ..Change::default() };
        let on = |socket: &mut Socket| {
            let index = socket.link_by_name("net1").unwrap().unwrap().index;
            socket.change_link(index, &up).unwrap();
            index
        };
        let (index, other_index) = (on(&mut own), on(&mut other));
        Some(Cable { here, index, _there: there, other, other_index })
    }

    fn has(&mut self, address: &str) {
        self.other.add_address(self.other_index, address.parse().unwrap()).unwrap();
        // The kernel makes an address of IPv6 ready on a thread of its own.
        let until = Instant::now() + Duration::from_secs(20);
        while self.other.addresses(Some(self.other_index)).unwrap().iter().any(|address| address.tentative) {
            assert!(Instant::now() < until, "{address} is still tentative");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ask(&self, addresses: &[&str]) -> (Vec<(String, String)>, Duration) {
        let own: Mac = OWN.parse().unwrap();
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let asker = self.here.run(|| Asker::open(self.index, own.as_bytes().try_into().unwrap())).unwrap().unwrap();
        let began = Instant::now();
        let claims = asker.ask(&addresses, began + Duration::from_secs(60)).unwrap();
        let claims = claims.into_iter().map(|claim| (claim.address.to_string(), claim.mac.to_string()));
        (claims.collect(), began.elapsed())
    }
}

fn claim(address: &str) -> (String, String) {
    (address.to_owned(), OTHER.to_owned())
}

#[test]
fn who_has_an_address_answers() {
    let Some(mut cable) = Cable::new("who_has_an_address_answers", OTHER) else { return };
    cable.has("10.9.0.2/24");
    cable.has("fd00:9::2/64");
    let (mut claims, _) = cable.ask(&["10.9.0.2", "fd00:9::2"]);
    claims.sort();
    assert_eq!(claims, [claim("10.9.0.2"), claim("fd00:9::2")]);
    // What nobody has is asked for to the end.
    let (claims, took) = cable.ask(&["10.9.0.2", "10.9.0.3", "fd00:9::3"]);
    assert_eq!(claims, [claim("10.9.0.2")]);
    assert!(took >= LONGEST, "{took:?}");
}

#[test]
fn what_has_our_own_mac_is_no_other() {
    let Some(mut cable) = Cable::new("what_has_our_own_mac_is_no_other", OWN) else { return };
    cable.has("10.9.0.2/24");
    cable.has("fd00:9::2/64");
    assert_eq!(cable.ask(&["10.9.0.2", "fd00:9::2"]).0, []);
}

#[test]
fn a_deadline_ends_it() {
    let Some(cable) = Cable::new("a_deadline_ends_it", OTHER) else { return };
    let own: Mac = OWN.parse().unwrap();
    let asker = cable.here.run(|| Asker::open(cable.index, own.as_bytes().try_into().unwrap())).unwrap().unwrap();
    let began = Instant::now();
    assert_eq!(asker.ask(&["10.9.0.2".parse().unwrap()], began).unwrap(), []);
    // On a link that is switched off nobody can be asked.
    let mut own = Socket::in_netns(&cable.here).unwrap();
    own.change_link(cable.index, &Change { up: Some(false), ..Change::default() }).unwrap();
    assert!(asker.ask(&["10.9.0.2".parse().unwrap()], Instant::now() + Duration::from_secs(60)).is_err());
}
