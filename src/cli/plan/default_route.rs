//! Which network would have the pod's default route, as far as configurations show it.

use crate::cni::RawObject;
use crate::engine::planning::plan::Planned;
use crate::engine::settings::DefaultRoute;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The interfaces with the default routes; null if the configurations do not show it.
#[derive(Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultRoutes {
    /// Of IPv4.
    pub ipv4: Option<String>,
    /// Of IPv6.
    pub ipv6: Option<String>,
}

/// The interfaces that would have the default routes of IPv4 and IPv6.
pub fn owners(plan: &[Planned], setting: DefaultRoute) -> DefaultRoutes {
    DefaultRoutes { ipv4: owner(plan, setting, true), ipv6: owner(plan, setting, false) }
}

fn owner(plan: &[Planned], setting: DefaultRoute, is_v4: bool) -> Option<String> {
    let asks = |planned: &&Planned| {
        planned.default_route.as_ref().is_some_and(|gateways| match gateways.as_slice() {
            // Through its own gateways: of the families that it has.
            [] => families(planned).contains(&is_v4),
            some => some.iter().any(|gateway| gateway.is_ipv4() == is_v4),
        })
    };
    let brings = |planned: &&Planned| !planned.default && routes(planned).iter().any(|route| is_default(route, is_v4));
    let asked = plan.iter().find(asks);
    let last = plan.iter().rfind(brings).filter(|_| setting == DefaultRoute::Last);
    let default = plan.iter().find(|planned| planned.default);
    asked.or(last).or(default).map(|planned| planned.ifname.to_string())
}

fn is_default(route: &str, is_v4: bool) -> bool {
    let dst = route.split_whitespace().next().unwrap_or_default();
    dst.parse::<IpNet>().is_ok_and(|net| net.prefix_len() == 0 && net.addr().is_ipv4() == is_v4)
}

/// The routes that a network's configuration brings: `<destination> via <gateway>`.
pub fn routes(planned: &Planned) -> Vec<String> {
    let mut found = Vec::new();
    for plugin in &planned.config.plugins {
        let ipam: RawObject = plugin.object.read("ipam").ok().flatten().unwrap_or_default();
        let listed: Vec<RawObject> = ipam.read("routes").ok().flatten().unwrap_or_default();
        let text =
            |route: &RawObject, key: &str| route.read::<String>(key).ok().flatten().filter(|text| !text.is_empty());
        found.extend(listed.iter().filter_map(|route| {
            let dst = text(route, "dst")?;
            Some(text(route, "gw").map_or(dst.clone(), |gw| format!("{dst} via {gw}")))
        }));
        if plugin.object.read::<bool>("isDefaultGateway").ok().flatten().unwrap_or(false) {
            let families = families(planned);
            found.extend(families.into_iter().map(|is_v4| if is_v4 { "0.0.0.0/0" } else { "::/0" }.to_owned()));
        }
    }
    found
}

/// The families of the addresses that a network gives; IPv4 is `true`.
fn families(planned: &Planned) -> Vec<bool> {
    let mut found: Vec<bool> = addresses(planned).iter().filter_map(|text| family(text)).collect();
    found.sort_unstable();
    found.dedup();
    found.reverse();
    found
}

fn family(text: &str) -> Option<bool> {
    let address = text.split('/').next().unwrap_or_default();
    address.parse::<IpAddr>().ok().map(|address| address.is_ipv4())
}

/// The addresses that the pod asks for, else the ranges and addresses of the configuration.
pub fn addresses(planned: &Planned) -> Vec<String> {
    let asked: Vec<String> = planned.capability_args.read("ips").ok().flatten().unwrap_or_default();
    if !asked.is_empty() {
        return asked;
    }
    let sections =
        planned.config.plugins.iter().filter_map(|plugin| plugin.object.read::<RawObject>("ipam").ok().flatten());
    sections.flat_map(|ipam| of_section(&ipam)).collect()
}

/// The subnets of `host-local`, the addresses of `static`, the ranges of others that have the same keys.
fn of_section(ipam: &RawObject) -> Vec<String> {
    let text = |object: &RawObject, key: &str| object.read::<String>(key).ok().flatten();
    let sets: Vec<Vec<RawObject>> = ipam.read("ranges").ok().flatten().unwrap_or_default();
    let addresses: Vec<RawObject> = ipam.read("addresses").ok().flatten().unwrap_or_default();
    let own = ["subnet", "range"].into_iter().filter_map(|key| text(ipam, key));
    own.chain(sets.iter().flatten().filter_map(|range| text(range, "subnet")))
        .chain(addresses.iter().filter_map(|address| text(address, "address")))
        .collect()
}
