//! Which network has the pod's default route.

use crate::row::{Row, row, success};
use crate::run::equal;
use crate::subject::World;
use crate::support::kernel;
use serde_json::{Value, json};

const BOTH_STAY: &str = "all of them stay; that of the last network is used";
const SHARED: &str = "the kernel makes one route over all of them: connections go over either network";

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn rows() -> Vec<Row> {
    let both = || json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    // Its DEL is another row's: Multus loses the ranges of the address plugin (multus-cni issue 1449).
    let with = |what, clauses| {
        row(what, clauses).primary(primary()).nad("default/a", bringing("clra", 75, both())).del_aside()
    };
    vec![
        with("a network brings one of IPv4: it is the only one", "NPWG-KEY-17")
            .networks("a")
            .expect(success().judge("routes", |world| v4(world, &["10.75.0.1 net1"])))
            .multus_otherwise(
                BOTH_STAY,
                success().judge("routes", |world| v4(world, &["10.75.0.1 net1", "10.74.0.1 eth0"])),
            ),
        with("a network brings one of IPv6: it is the only one", "NPWG-KEY-17")
            .networks("a")
            .expect(success().judge("routes", |world| v6(world, &["fd75::1 net1"])))
            .multus_fault(SHARED, success().judge("routes", |world| shared(world, &["eth0", "net1"]))),
        with("two networks bring one: the last has it, in both families", "NPWG-KEY-17")
            .nad("default/b", bringing("clrb", 76, both()))
            .networks("a,b")
            .expect(
                success().judge("routes", |world| {
                    v4(world, &["10.76.0.1 net2"]).and_then(|()| v6(world, &["fd76::1 net2"]))
                }),
            )
            .multus_fault(SHARED, success().judge("routes", |world| shared(world, &["eth0", "net1", "net2"]))),
        with("a network brings IPv4's alone: IPv6's stays", "NPWG-KEY-17")
            .nad("default/b", bringing("clrb", 76, json!([{"dst": "0.0.0.0/0"}])))
            .networks("b")
            .expect(
                success().judge("routes", |world| {
                    v4(world, &["10.76.0.1 net1"]).and_then(|()| v6(world, &["fd74::1 eth0"]))
                }),
            )
            .multus_otherwise(
                BOTH_STAY,
                success().judge("routes", |world| v4(world, &["10.76.0.1 net1", "10.74.0.1 eth0"])),
            ),
        with("`default-route` asks for it, and a later network brings one", "NPWG-KEY-16, NPWG-KEY-17")
            .nad("default/b", bringing("clrb", 76, both()))
            .networks(json!([{"name": "a", "default-route": ["10.75.0.1", "fd75::1"]}, {"name": "b"}]))
            .expect(
                success().judge("routes", |world| {
                    v4(world, &["10.75.0.1 net1"]).and_then(|()| v6(world, &["fd75::1 net1"]))
                }),
            )
            .multus_fault(
                "the later network's stays too, and is used",
                success().judge("routes", |world| v4(world, &["10.76.0.1 net2", "10.75.0.1 net1", "10.74.0.1 eth0"])),
            ),
        with("`defaultRoute: asked`: what nobody asked for is left out", "NPWG-KEY-17")
            .config("defaultRoute", json!("asked"))
            .networks("a")
            .expect(
                success().judge("routes", |world| {
                    v4(world, &["10.74.0.1 eth0"]).and_then(|()| v6(world, &["fd74::1 eth0"]))
                }),
            )
            .not_multus(),
        with("an empty string in `default-route` is not an address", "NPWG-KEY-16, NPWG-ANN-09")
            .networks(json!([{"name": "a", "default-route": [""]}]))
            .refused(&["default-route"]),
    ]
}

/// A default network with a default route of both families.
fn primary() -> Value {
    json!({"cniVersion": "1.0.0", "name": "clrp", "plugins": [{"type": "bridge", "bridge": "clrp", "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.74.0.0/24"}], [{"subnet": "fd74::/64"}]]}}]})
}

fn bringing(name: &str, subnet: u8, routes: Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": name, "isGateway": true, "ipam": {
        "type": "host-local", "routes": routes,
        "ranges": [[{"subnet": format!("10.{subnet}.0.0/24")}], [{"subnet": format!("fd{subnet}::/64")}]]}})
}

fn v4(world: &World<'_>, expected: &[&str]) -> Result<(), String> {
    equal("IPv4", &kernel::default_routes(&world.pod.netns, "-4"), &expected.iter().map(|e| (*e).to_owned()).collect())
}

fn v6(world: &World<'_>, expected: &[&str]) -> Result<(), String> {
    equal("IPv6", &kernel::default_routes(&world.pod.netns, "-6"), &expected.iter().map(|e| (*e).to_owned()).collect())
}

/// One route of IPv6 with a next hop over each of `links`.
fn shared(world: &World<'_>, links: &[&str]) -> Result<(), String> {
    let listing = world.pod.ip("-6 route show default");
    let hops = listing[0]["nexthops"].as_array().cloned().unwrap_or_default();
    let mut over: Vec<&str> = hops.iter().filter_map(|hop| hop["dev"].as_str()).collect();
    over.sort_unstable();
    equal("next hops of IPv6", &over, &links.to_vec())
}
