//! How long a pod's DEL waits for the kernel: three links deleted one by one, as a group, and by a child
//! that is left behind in the grace period (`sys::netlink::teardown`).
//!
//! `cargo bench --no-default-features --bench teardown`, as root.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and ends at what it does not expect")]

mod report;

use plexus::sys::is_root;
use plexus::sys::netlink::{Change, Kind, NewLink, Peer, Socket, teardown};
use plexus::sys::netns::Netns;
use report::Times;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;
const NAMES: [&str; 3] = ["net0", "net1", "net2"];
const GROUP: u32 = 4711;

fn main() {
    if !is_root() {
        println!("SKIP teardown: needs root");
        return;
    }
    measure("one by one", |_, container| NAMES.iter().for_each(|name| container.delete_link_by_name(name).unwrap()));
    measure("as a group", |_, container| {
        for name in NAMES {
            let index = container.link_by_name(name).unwrap().unwrap().index;
            container.change_link(index, &Change { group: Some(GROUP), ..Change::default() }).unwrap();
        }
        container.delete_links_of_group(GROUP).unwrap();
    });
    measure("by a child", |netns, _| teardown(netns, &NAMES, Instant::now() + Duration::from_secs(10)).unwrap());
}

/// Prints the median and the 95th percentile of what `delete` takes for three veths that are up.
fn measure(how: &str, delete: impl Fn(&Netns, &mut Socket)) {
    let mut times = Times::default();
    (0..ROUNDS).for_each(|_| times.push(once(&delete)));
    println!("{how:<12} median {:>9.1?}  95 in 100 within {:>9.1?}", times.median(), times.p95());
}

fn once(delete: &impl Fn(&Netns, &mut Socket)) -> Duration {
    let (host, container) = (Netns::create().unwrap(), Netns::create().unwrap());
    let (mut outer, mut inner) = (Socket::in_netns(&host).unwrap(), Socket::in_netns(&container).unwrap());
    for name in NAMES {
        let peer = Peer { name, netns: Some(container.as_fd()), index: None, mtu: None, mac: None };
        outer.create_link(&NewLink { up: true, ..NewLink::new(&format!("v{name}"), Kind::Veth { peer }) }).unwrap();
        let index = inner.link_by_name(name).unwrap().unwrap().index;
        inner.change_link(index, &Change { up: Some(true), ..Change::default() }).unwrap();
        inner.add_address(index, "10.1.0.5/24".parse().unwrap()).unwrap();
    }
    let begin = Instant::now();
    delete(&container, &mut inner);
    let took = begin.elapsed();
    // What is left of the grace period belongs to no round.
    std::thread::sleep(Duration::from_millis(60));
    took
}
