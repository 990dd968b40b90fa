//! Results of ADD, in every version.

use super::text;
use plexus::cni::{AddResult, Version};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A conversion loses what a version cannot say, and invents nothing (CNI-CONV).
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for assumed in [Version::V0_2_0, Version::NEWEST] {
        let Ok(result) = AddResult::parse(text, assumed) else { continue };
        Version::ALL.into_iter().for_each(|version| convert(&result, version));
    }
}

fn convert(result: &AddResult, version: Version) {
    let Ok(raw) = result.to_raw(version) else {
        assert!(version < Version::V0_3_0 && result.ips.is_empty(), "{version}: {result:?}");
        return;
    };
    let back = AddResult::parse(raw.get(), Version::NEWEST).unwrap();
    assert_eq!(back.to_raw(version).unwrap().get(), raw.get());
    assert!(addresses(&back).is_subset(&addresses(result)), "{raw}: {result:?}");
    if version >= Version::V0_3_0 {
        assert_eq!(back.ips, result.ips);
        assert_eq!(back.routes, result.routes);
        assert_eq!(back.interfaces.len(), result.interfaces.len());
    }
    if version >= Version::V1_0_0 {
        assert_eq!(back, *result);
    }
}

/// Every address it says, with what it is.
fn addresses(result: &AddResult) -> BTreeSet<(&'static str, IpAddr)> {
    let ips = result.ips.iter().map(|ip| ("address", ip.address.addr()));
    let gateways = result.ips.iter().filter_map(|ip| Some(("gateway", ip.gateway?)));
    let routes = result.routes.iter().map(|route| ("route", route.dst.addr()));
    let hops = result.routes.iter().filter_map(|route| Some(("next hop", route.gw?)));
    ips.chain(gateways).chain(routes).chain(hops).collect()
}
