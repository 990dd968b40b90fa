//! The client against the real kernel, in namespaces that are thrown away.

use super::listener::Listener;
use super::*;
use crate::sys::netns::Netns;
use nix::errno::Errno;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A host and a container namespace with a socket in each; `None` (and a line) where we may not.
fn namespaces(test: &str) -> Option<(Netns, Socket, Netns, Socket)> {
    if !crate::sys::is_root() {
        assert!(std::env::var_os("CI").is_none(), "{test} needs root");
        eprintln!("SKIP {test}: needs root");
        return None;
    }
    let (host, container) = (Netns::create().unwrap(), Netns::create().unwrap());
    let sockets = (Socket::in_netns(&host).unwrap(), Socket::in_netns(&container).unwrap());
    Some((host, sockets.0, container, sockets.1))
}

fn bridge(host: &mut Socket, name: &str) -> u32 {
    host.create_link(&NewLink { up: true, ..NewLink::new(name, Kind::Bridge { vlan_filtering: false }) }).unwrap();
    host.link_by_name(name).unwrap().unwrap().index
}

#[test]
fn a_veth_is_one_message() {
    let Some((_host_ns, mut host, container_ns, mut container)) = namespaces("a_veth_is_one_message") else { return };
    let master = bridge(&mut host, "br0");
    let mac: Mac = "0a:00:00:00:00:07".parse().unwrap();
    let peer = Peer { name: "eth0", netns: Some(container_ns.as_fd()), index: None, mtu: Some(1400), mac: Some(&mac) };
    let mut link = NewLink::new("veth1234", Kind::Veth { peer });
    (link.mtu, link.tx_queue_len, link.master, link.up) = (Some(1400), Some(0), Some(master), true);
    host.create_link(&link).unwrap();

    let outer = host.link_by_name("veth1234").unwrap().unwrap();
    let inner = container.link_by_name("eth0").unwrap().unwrap();
    assert_eq!((outer.kind.as_str(), outer.mtu, outer.tx_queue_len, outer.up), ("veth", 1400, 0, true));
    assert_eq!((outer.master, outer.parent), (Some(master), Some(inner.index)));
    assert_eq!((&inner.mac, inner.mtu, inner.tx_queue_len, inner.up), (&mac, 1400, 1000, false));
    assert!(inner.parent_netns.is_some(), "its other end is elsewhere");
    container.change_link(inner.index, &Change { up: Some(true), ..Change::default() }).unwrap();
    assert!(container.link_by_index(inner.index).unwrap().unwrap().up);

    // The name is taken there.
    assert!(host.create_link(&NewLink { name: "veth5678", ..link }).unwrap_err().is(Errno::EEXIST));
    assert_eq!(host.link_by_name("veth5678").unwrap(), None);
    container.delete_link_by_name("eth0").unwrap();
    container.delete_link_by_name("eth0").unwrap();
    assert_eq!(host.link_by_name("veth1234").unwrap(), None);
}

#[test]
fn a_macvlan_is_one_message() {
    let Some((_host_ns, mut host, container_ns, mut container)) = namespaces("a_macvlan_is_one_message") else {
        return;
    };
    let parent = bridge(&mut host, "parent0");
    let kind = Kind::MacVlan { parent, mode: MacVlanMode::Private, broadcast_queue: Some(100) };
    let mut link = NewLink::new("net1", kind);
    link.netns = Some(container_ns.as_fd());
    host.create_link(&link).unwrap();
    let inner = container.link_by_name("net1").unwrap().unwrap();
    assert_eq!((inner.kind.as_str(), inner.mode.as_deref(), inner.parent), ("macvlan", Some("private"), Some(parent)));
    assert_eq!(container.links().unwrap().len(), 2);
}

#[test]
fn ports_have_flags() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("ports_have_flags") else { return };
    let port = port(&mut host, false).unwrap();
    host.set_port_flags(port, PortFlags { hairpin: true, isolated: true }).unwrap();
    host.set_port_flags(port, PortFlags::default()).unwrap();
    host.change_link(port, &Change { master: Some(None), ..Change::default() }).unwrap();
    assert!(host.set_port_flags(port, PortFlags::default()).is_err(), "it is not a port any more");
}

#[test]
fn ports_have_vlans() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("ports_have_vlans") else { return };
    let port = match port(&mut host, true) {
        Err(e) if e.is(Errno::EOPNOTSUPP) => return eprintln!("SKIP ports_have_vlans: kernel has no bridge VLANs"),
        other => other.unwrap(),
    };
    let default = PortVlan { id: 1, pvid: true, untagged: true };
    assert_eq!(host.port_vlans(port).unwrap(), [default]);
    host.remove_port_vlans(port, &[default]).unwrap();
    let wanted = [PortVlan { id: 100, pvid: true, untagged: true }, PortVlan { id: 200, pvid: false, untagged: false }];
    host.add_port_vlans(port, &wanted).unwrap();
    assert_eq!(host.port_vlans(port).unwrap(), wanted);
}

/// A veth that is the port of a bridge.
fn port(host: &mut Socket, vlan_filtering: bool) -> Result<u32, Error> {
    host.create_link(&NewLink::new("br0", Kind::Bridge { vlan_filtering }))?;
    let master = host.link_by_name("br0")?.unwrap().index;
    let peer = Peer { name: "other", netns: None, index: None, mtu: None, mac: None };
    host.create_link(&NewLink { master: Some(master), ..NewLink::new("port", Kind::Veth { peer }) })?;
    Ok(host.link_by_name("port")?.unwrap().index)
}

#[test]
fn addresses_and_routes() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("addresses_and_routes") else { return };
    let link = bridge(&mut host, "br0");
    let (v4, v6) = ("10.1.0.5/24".parse().unwrap(), "fd00::5/64".parse().unwrap());
    for net in [v4, v6] {
        host.add_address(link, net).unwrap();
        assert!(host.add_address(link, net).unwrap_err().is(Errno::EEXIST));
        assert!(host.addresses(Some(link)).unwrap().iter().any(|a| a.net == net && a.index == link && a.scope == 0));
        assert!(host.addresses(None).unwrap().iter().any(|a| a.net == net));
        assert!(!host.addresses(Some(1)).unwrap().iter().any(|a| a.net == net));
    }
    for (dst, gateway, table) in [
        ("0.0.0.0/0", "10.1.0.1", TABLE_MAIN),
        ("10.9.0.0/16", "10.1.0.2", 1000),
        ("::/0", "fd00::1", 77),
        ("10.8.0.0/16", "fd00::1", TABLE_MAIN),
    ] {
        let gateway: IpAddr = gateway.parse().unwrap();
        let route = Route { table, priority: 50, ..Route::new(dst.parse().unwrap(), Some(gateway), link) };
        host.add_route(&route).unwrap();
        assert!(host.routes().unwrap().contains(&route), "{route:?} is not in {:?}", host.routes());
        assert!(host.add_new_route(&route).unwrap_err().is(Errno::EEXIST));
        host.replace_route(&route).unwrap();
        host.delete_route(&route).unwrap();
        host.delete_route(&route).unwrap();
        assert!(!host.routes().unwrap().contains(&route));
    }
    host.delete_address(link, v4).unwrap();
    host.delete_address(link, v4).unwrap();
}

#[test]
fn only_default_routes_of_the_main_table() {
    // S2
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("only_default_routes_of_the_main_table") else {
        return;
    };
    assert_eq!(host.default_routes().unwrap(), []);
    let link = bridge(&mut host, "br0");
    host.add_address(link, "10.1.0.5/24".parse().unwrap()).unwrap();
    host.add_address(link, "fd00::5/64".parse().unwrap()).unwrap();
    let route = |dst: &str, gateway: &str, table| Route {
        table,
        priority: 50,
        ..Route::new(dst.parse().unwrap(), Some(gateway.parse().unwrap()), link)
    };
    let wanted = [route("0.0.0.0/0", "10.1.0.1", TABLE_MAIN), route("::/0", "fd00::1", TABLE_MAIN)];
    for other in [route("10.9.0.0/16", "10.1.0.1", TABLE_MAIN), route("0.0.0.0/0", "10.1.0.2", 77)] {
        host.add_route(&other).unwrap();
    }
    wanted.iter().for_each(|route| host.add_route(route).unwrap());
    assert_eq!(host.default_routes().unwrap(), wanted);
}

#[test]
fn a_link_is_found_by_its_alternative_name() {
    let Some((host_ns, mut host, _container_ns, _)) = namespaces("a_link_is_found_by_its_alternative_name") else {
        return;
    };
    let link = bridge(&mut host, "br0");
    let name = "enp0s".repeat(26)[..127].to_owned();
    let add =
        || std::process::Command::new("ip").args(["link", "property", "add", "dev", "br0", "altname", &name]).status();
    assert!(host_ns.run(add).unwrap().unwrap().success());
    assert_eq!(host.link_by_name(&name).unwrap().map(|link| link.index), Some(link));
    assert_eq!(host.link_by_name(&name[..126]).unwrap(), None);
    // M13
    assert!(host.link_by_name(&"x".repeat(65_532)).is_err());
}

#[test]
fn what_the_kernel_refuses_is_named() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("what_the_kernel_refuses_is_named") else { return };
    let link = bridge(&mut host, "br0");
    let group: Mac = "01:00:5e:00:00:01".parse().unwrap();
    let error = host.change_link(link, &Change { mac: Some(&group), up: Some(true), ..Change::default() }).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot change link {link} (MAC 01:00:5e:00:00:01, up): ")), "{text}");
    assert!(text.ends_with("(EADDRNOTAVAIL)"), "{text}");
}

#[test]
fn several_next_hops_are_several_routes() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("several_next_hops_are_several_routes") else {
        return;
    };
    let link = bridge(&mut host, "br0");
    host.add_address(link, "fd00::5/64".parse().unwrap()).unwrap();
    let route = |gateway: &str| Route {
        priority: 9,
        ..Route::new("fd01::/64".parse().unwrap(), Some(gateway.parse().unwrap()), link)
    };
    // Without NLM_F_EXCL and NLM_F_REPLACE the kernel adds a sibling (net/ipv6/ip6_fib.c: fib6_add_rt2node).
    host.add_route(&route("fd00::1")).unwrap();
    host.add_route(&route("fd00::2")).unwrap();
    let routes = host.routes().unwrap();
    assert!(routes.contains(&route("fd00::1")) && routes.contains(&route("fd00::2")), "{routes:?}");
}

#[test]
fn a_group_is_deleted_at_once() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("a_group_is_deleted_at_once") else { return };
    for name in ["a", "b", "c"] {
        let index = bridge(&mut host, name);
        if name != "c" {
            host.change_link(index, &Change { group: Some(4711), ..Change::default() }).unwrap();
        }
    }
    host.delete_links_of_group(4711).unwrap();
    host.delete_links_of_group(4711).unwrap();
    let names: Vec<_> = host.links().unwrap().into_iter().map(|link| link.name).collect();
    assert_eq!(names, ["lo", "c"]);
}

#[test]
fn errors_name_object_operation_and_the_kernels_reason() {
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("errors_name_object_operation") else { return };
    let link = bridge(&mut host, "br0");
    let route = Route::new("10.9.0.0/16".parse().unwrap(), Some("10.1.0.2".parse().unwrap()), link);
    let error = host.add_route(&route).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENETUNREACH));
    let text = error.to_string();
    assert!(text.starts_with("cannot add route 10.9.0.0/16 via 10.1.0.2 on link "), "{text}");
    assert!(text.ends_with("Nexthop has invalid gateway (ENETUNREACH)"), "{text}");
    assert_eq!(host.link_by_name("nothing").unwrap(), None);
    assert_eq!(host.link_by_index(999).unwrap(), None);
}

#[test]
fn teardown_waits_until_links_are_gone_but_no_longer() {
    let Some((_host_ns, mut host, container_ns, mut container)) = namespaces("teardown") else { return };
    let soon = || Instant::now() + Duration::from_secs(10);
    for count in [1, 3] {
        let names: Vec<_> = (0..count).map(|number| format!("net{number}")).collect();
        for name in &names {
            let peer = Peer { name, netns: Some(container_ns.as_fd()), index: None, mtu: None, mac: None };
            host.create_link(&NewLink { up: true, ..NewLink::new(&format!("v{name}"), Kind::Veth { peer }) }).unwrap();
        }
        bridge(&mut container, "stays");
        let all: Vec<_> = names.iter().map(String::as_str).chain(["nothing"]).collect();
        teardown(&container_ns, &all, soon()).unwrap();
        let left: Vec<_> = container.links().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(left, ["lo", "stays"]);
        assert_eq!(host.links().unwrap().len(), 1, "their other ends go with them");
        container.delete_link_by_name("stays").unwrap();
    }
    assert!(teardown(&container_ns, &["lo"], soon()).unwrap_err().errno().is_some(), "what cannot be deleted is told");
    teardown(&container_ns, &["nothing"], soon()).unwrap();
}

/// How often `listener` was told of `link`, once all is read.
fn told(listener: &mut Listener, link: u32) -> usize {
    // Each call reads one message, and fails where there is none.
    std::iter::from_fn(|| listener.deleted_links().ok()).flatten().filter(|index| *index == link).count()
}

#[test]
fn a_link_is_deleted_as_soon_as_the_kernel_has_closed_it_for_that() {
    let Some((_host_ns, mut host, container_ns, mut container)) = namespaces("a_link_is_closed") else { return };
    let mut make = |container: &mut Socket, up: bool| {
        let peer = Peer { name: "net1", netns: Some(container_ns.as_fd()), index: None, mtu: None, mac: None };
        host.create_link(&NewLink { up: true, ..NewLink::new("veth1", Kind::Veth { peer }) }).unwrap();
        let index = container.link_by_name("net1").unwrap().unwrap().index;
        container.change_link(index, &Change { up: Some(up), ..Change::default() }).unwrap();
        (index, container_ns.run(Listener::in_own).unwrap().unwrap().listen().unwrap())
    };
    let (link, mut listener) = make(&mut container, true);
    container.change_link(link, &Change { up: Some(false), ..Change::default() }).unwrap();
    assert_eq!(told(&mut listener, link), 0, "somebody sets it down, and it stays");
    container.delete_link(link).unwrap();
    assert_eq!(told(&mut listener, link), 1, "it was down: it is gone");
    let (link, mut listener) = make(&mut container, true);
    container.delete_link(link).unwrap();
    assert_eq!(told(&mut listener, link), 2, "it is closed, and later it is gone");
}

#[test]
fn what_is_refused_in_a_batch_does_not_stop_the_rest() {
    // P1
    let Some((_host_ns, mut host, _container_ns, _)) = namespaces("what_is_refused_in_a_batch") else { return };
    let link = bridge(&mut host, "br0");
    let unreachable = Route::new("10.9.0.0/16".parse().unwrap(), Some("10.8.0.2".parse().unwrap()), link);
    let mut batch = Batch::default();
    batch.add_address(link, "10.1.0.5/24".parse().unwrap());
    batch.add_route(unreachable);
    batch.link_by_name("nothing").unwrap();
    batch.link_by_index(link);
    batch.add_address(link, "10.1.0.5/24".parse().unwrap());
    batch.add_address(link, "10.2.0.5/24".parse().unwrap());
    let mut answers = host.send_batch(batch).unwrap().into_iter();
    let mut next = || answers.next().unwrap();
    next().done().unwrap();
    let text = next().done().unwrap_err().to_string();
    assert!(text.starts_with("cannot add route 10.9.0.0/16 via 10.8.0.2 on link "), "{text}");
    assert_eq!(next().link().unwrap(), None);
    assert_eq!(next().link().unwrap().unwrap().name, "br0");
    assert!(next().done().unwrap_err().is(Errno::EEXIST));
    next().done().unwrap();
    assert_eq!(host.addresses_of_family(link, true).unwrap().len(), 2);
    assert!(host.send_batch(Batch::default()).unwrap().is_empty());
    // What follows is not confused with what was before.
    assert_eq!(host.link_by_name("br0").unwrap().unwrap().index, link);
}

#[test]
fn numbers_of_links_are_chosen() {
    let Some((_host_ns, mut host, container_ns, mut container)) = namespaces("numbers_of_links") else { return };
    let cable = |outer: &str, inner: &str, (this, other): (u32, u32), host: &mut Socket| {
        let peer = Peer { name: inner, netns: Some(container_ns.as_fd()), index: Some(other), mtu: None, mac: None };
        host.create_link(&NewLink { index: Some(this), ..NewLink::new(outer, Kind::Veth { peer }) })
    };
    cable("a", "eth0", (70_000, 7), &mut host).unwrap();
    assert_eq!(host.link_by_name("a").unwrap().unwrap().index, 70_000);
    assert_eq!(container.link_by_name("eth0").unwrap().unwrap().index, 7);
    // One of them is taken: whoever made the request tells it from a name that is taken by asking again without.
    for (number, taken) in [(70_000, 8), (70_001, 7)] {
        let error = cable("b", "eth1", (number, taken), &mut host).unwrap_err();
        assert!(error.is(Errno::EEXIST) || error.is(Errno::EBUSY), "{error}");
        assert_eq!((host.link_by_name("b").unwrap(), container.link_by_name("eth1").unwrap()), (None, None));
    }
}
