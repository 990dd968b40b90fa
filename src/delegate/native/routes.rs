//! The routes of an interface: what the kernel is asked for, and what it will refuse.

use crate::cni::Version;
use crate::cni::result::Route;
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Foreseen;
use crate::sys::netlink::{self, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, TABLE_MAIN};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The metric of an IPv6 route that has none (net/ipv6: `IP6_RT_PRIO_USER`).
const METRIC_OF_V6: u32 = 1024;
/// include/uapi/linux/rtnetlink.h: `RT_SCOPE_NOWHERE`.
const SCOPE_NOWHERE: u8 = 255;

/// What the kernel is asked for: `route` over the link `oif`, with `implied` where it has no gateway of its own.
pub(super) fn wanted(route: &Route, implied: Option<IpAddr>, oif: u32) -> netlink::Route {
    let new = netlink::Route::new(route.dst, route.gw.or(implied), oif);
    netlink::Route {
        table: route.table.filter(|table| *table != 0).unwrap_or(TABLE_MAIN),
        priority: route.priority,
        scope: route.scope.unwrap_or(new.scope),
        // No mtu or advmss: as the reference.
        ..new
    }
}

/// Adds the default route through `gateway`. Only a default route with a gateway of its own counts as one.
pub(super) fn add_default(routes: &mut Vec<Route>, gateway: IpAddr) {
    let dst = everything(gateway);
    if !routes.iter().any(|route| route.dst == dst && route.gw.is_some()) {
        routes.push(Route::to(dst, Some(gateway)));
    }
}

/// The default route's destination of the family of `like`.
pub(super) fn everything(like: IpAddr) -> IpNet {
    let any: IpAddr = if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The length fits every address.
    IpNet::new(any, 0).unwrap_or(IpNet::from(any))
}

/// Judges the routes that an interface will have; the plugin adds a default route itself if `adds_default`.
///
/// Where several gateways are possible, only a fault that all of them have is one.
pub(super) fn judge(foreseen: &Foreseen, version: Version, adds_default: bool) -> Result<(), Failure> {
    if foreseen.subnets.is_none() {
        return Ok(());
    }
    for is_v4 in [true, false] {
        let of_family = foreseen.routes.iter().filter(|route| route.dst.addr().is_ipv4() == is_v4);
        let routes: Vec<Route> = of_family.map(|route| in_version(route, version)).collect();
        let faults = foreseen.implied_of(is_v4).into_iter().map(|implied| {
            let mut routes = routes.clone();
            if let Some(gateway) = implied.filter(|_| adds_default) {
                add_default(&mut routes, gateway);
            }
            fault(&routes, implied, foreseen, adds_default)
        });
        if let Some(Some(first)) = faults.reduce(|one, other| one.and_then(|one| other.map(|_| one))) {
            return Err(Failure::Config(format!("routes: {first}")));
        }
    }
    Ok(())
}

/// Whether `route` is where a route to `subnet` would be that is made by itself.
pub(super) fn is_in_place_of(route: &Route, subnet: IpNet) -> bool {
    let place = |route: &netlink::Route| (route.dst, route.table, route.priority);
    let own = netlink::Route::new(subnet, None, 0);
    place(&as_kept(wanted(route, None, 0))) == place(&as_kept(own))
}

/// What is left of `route` in a result of `version`.
fn in_version(route: &Route, version: Version) -> Route {
    match version {
        old if old < Version::V0_3_0 => Route { table: None, priority: 0, scope: None, ..route.clone() },
        _ => route.clone(),
    }
}

/// What is wrong with the first of `routes`, all of one family, that the kernel will refuse.
fn fault(routes: &[Route], implied: Option<IpAddr>, foreseen: &Foreseen, adds_default: bool) -> Option<String> {
    let mut before: Vec<netlink::Route> = Vec::new();
    for route in routes {
        let kept = as_kept(wanted(route, implied, 0));
        if let Some(why) = fault_of(route, &kept, foreseen) {
            return Some(why);
        }
        if before.contains(&kept) {
            let unasked = if adds_default && kept.is_default() { ", once by isDefaultGateway" } else { "" };
            let gateway = kept.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            return Some(format!("the route to {}{gateway} occurs twice{unasked}", route.dst));
        }
        before.push(kept);
    }
    None
}

/// As the kernel keeps it: two routes that are equal then are one (fib_trie.c: `fib_table_insert`; ip6_fib.c:
/// `fib6_add_rt2node`).
fn as_kept(route: netlink::Route) -> netlink::Route {
    let dst = route.dst.trunc();
    match route.dst {
        IpNet::V4(_) => netlink::Route { dst, gateway: route.gateway.filter(|gw| !gw.is_unspecified()), ..route },
        IpNet::V6(_) => {
            let priority = if route.priority == 0 { METRIC_OF_V6 } else { route.priority };
            netlink::Route { dst, priority, scope: SCOPE_UNIVERSE, ..route }
        }
    }
}

/// What the kernel refuses of a single route. Of IPv6 it refuses none of these.
fn fault_of(route: &Route, kept: &netlink::Route, foreseen: &Foreseen) -> Option<String> {
    if route.dst.addr().is_ipv6() {
        return None;
    }
    if route.dst != kept.dst {
        return Some(format!("dst {} has host bits set: it would be {}", route.dst, kept.dst));
    }
    let gateway = kept.gateway.filter(IpAddr::is_ipv4);
    match (kept.scope, gateway) {
        (SCOPE_NOWHERE, _) => Some(format!("scope {SCOPE_NOWHERE} of {} cannot be that of a route", route.dst)),
        (SCOPE_HOST, Some(gateway)) => Some(with_gateway(route, kept.scope, gateway)),
        (SCOPE_LINK, Some(gateway)) if !foreseen.may_be_own(gateway) => Some(with_gateway(route, kept.scope, gateway)),
        _ => None,
    }
}

fn with_gateway(route: &Route, scope: u8, gateway: IpAddr) -> String {
    let what = if route.gw.is_some() { "gw" } else { "the network's gateway" };
    format!("scope {scope} of {} excludes a gateway, and {what} is {gateway}", route.dst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(gateways: &[&str], routes: serde_json::Value, adds_default: bool) -> String {
        let gateways: Vec<IpAddr> = gateways.iter().map(|text| text.parse().unwrap()).collect();
        let foreseen = Foreseen {
            ips: Vec::new(),
            subnets: Some(vec!["10.7.0.0/24".parse().unwrap(), "fd00:7::/64".parse().unwrap()]),
            implied: gateways.clone(),
            gateways,
            routes: serde_json::from_value(routes).unwrap(),
        };
        judge(&foreseen, Version::V1_0_0, adds_default).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn what_the_kernel_takes_is_not_refused() {
        // Each was tried with the reference plugins.
        for routes in [
            json!([{"dst": "fd00:9::1/64"}]),
            json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.7.0.9"}]),
            json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "priority": 5}]),
            json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "table": 100}]),
            json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "scope": 200}]),
            json!([{"dst": "10.9.0.0/16", "scope": 252}]),
            json!([{"dst": "10.9.0.0/16", "scope": 253, "gw": "10.7.0.5"}]),
            json!([{"dst": "fd00:9::/64", "scope": 255}]),
            json!([{"dst": "10.9.0.0/16", "scope": 253, "gw": "0.0.0.0"}]),
        ] {
            assert_eq!(told(&["10.7.0.1", "fd00:7::1"], routes.clone(), false), "", "{routes}");
        }
        for routes in [
            json!([{"dst": "0.0.0.0/0", "gw": "10.7.0.1"}]),
            json!([{"dst": "0.0.0.0/0", "priority": 7}]),
            json!([{"dst": "0.0.0.0/0", "table": 7}]),
        ] {
            assert_eq!(told(&["10.7.0.1"], routes.clone(), true), "", "{routes}");
        }
        let either = json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.7.0.1"}]);
        assert_eq!(told(&["10.7.0.1", "10.7.0.129"], either, false), "", "which gateway it will be is not known");
        let without = json!([{"dst": "10.9.0.0/16", "scope": 253}, {"dst": "10.8.0.0/16", "scope": 254}]);
        assert_eq!(told(&[], without, false), "");
    }

    #[test]
    fn what_the_kernel_refuses_is_named() {
        for (routes, words) in [
            (json!([{"dst": "10.0.0.1/0"}]), "dst 10.0.0.1/0 has host bits"),
            (json!([{"dst": "fd00:9::/64"}, {"dst": "fd00:9::/64", "priority": 1024}]), "fd00:9::/64 via fd00:7::1"),
            (json!([{"dst": "fd00:9::/64"}, {"dst": "fd00:9::1/64", "scope": 253}]), "occurs twice"),
            (json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "mtu": 1300}]), "occurs twice"),
            (json!([{"dst": "10.9.0.0/16", "table": 254}, {"dst": "10.9.0.0/16", "table": 0}]), "occurs twice"),
            (json!([{"dst": "10.9.0.0/16", "scope": 255}]), "scope 255 of 10.9.0.0/16"),
            (json!([{"dst": "10.9.0.0/16", "scope": 254, "gw": "10.7.0.5"}]), "gw is 10.7.0.5"),
        ] {
            let told = told(&["10.7.0.1", "fd00:7::1"], routes, false);
            assert!(told.starts_with("routes: ") && told.contains(words), "{told}");
        }
        let routes = json!([{"dst": "10.9.0.0/16", "priority": 1}, {"dst": "10.9.0.0/16", "priority": 2}]);
        let foreseen = Foreseen {
            subnets: Some(Vec::new()),
            routes: serde_json::from_value(routes).unwrap(),
            ..Foreseen::default()
        };
        assert!(judge(&foreseen, Version::V0_3_0, false).is_ok());
        assert!(judge(&foreseen, Version::V0_2_0, false).is_err(), "a result of 0.2.0 has no metrics");
    }
}
