//! The mistakes, as a table.

use serde_json::{Value, json};

/// A network named `default/bad` of one plugin, what else the pod's selection has, and words of the message.
pub(super) struct Mistake {
    pub(super) config: Value,
    pub(super) selection: Value,
    pub(super) words: &'static [&'static str],
}

/// A mistake in a plugin of type `kind`.
pub(super) fn mistake(kind: &str, more: Value, words: &'static [&'static str]) -> Mistake {
    let mut config = json!({"cniVersion": "1.0.0", "name": "bad", "type": kind});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Mistake { config, selection: json!({}), words }
}

/// A mistake in the section `ipam` of a macvlan.
pub(super) fn ipam(section: Value, words: &'static [&'static str]) -> Mistake {
    mistake("macvlan", json!({"master": "master0", "ipam": section}), words)
}

pub(super) fn host_local(more: Value) -> Value {
    let mut section = json!({"type": "host-local"});
    section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    section
}

impl Mistake {
    /// In what the pod selects with.
    fn selected(mut self, selection: Value) -> Self {
        self.selection = selection;
        self
    }
}

fn addresses(list: Value) -> Value {
    json!({"type": "static", "addresses": list})
}

pub(super) fn pool() -> Value {
    host_local(json!({"subnet": "10.7.0.0/24"}))
}

/// Of the main plugins.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn of_plugins() -> Vec<Mistake> {
    let v6 = host_local(json!({"subnet": "fd00:7::/64"}));
    let long = "x".repeat(65_532);
    let gateway = json!({"bridge": "a-bridge-of-14", "vlan": 4000, "isGateway": true, "ipam": pool()});
    vec![
        mistake("bridge", json!({"bridge": "sixteen-bytes-xx"}), &["plugin bridge", "bridge: ", "sixteen-bytes-xx"]),
        // M13
        mistake("bridge", json!({"bridge": long}), &["plugin bridge", "bridge: ", "xxxx…", "127 bytes"]),
        mistake("bridge", json!({"bridge": "all"}), &["plugin bridge", "bridge: ", "\"all\"", "all links"]),
        mistake("bridge", json!({"bridge": "default"}), &["plugin bridge", "bridge: ", "\"default\""]),
        mistake("bridge", json!({"bridge": ".."}), &["plugin bridge", "bridge: ", "\"..\"", "not a link name"]),
        mistake("bridge", json!({"bridge": "a b"}), &["plugin bridge", "bridge: ", "\"a b\"", "white space"]),
        mistake("bridge", json!({"bridge": "a/b"}), &["plugin bridge", "bridge: ", "\"a/b\"", "'/'"]),
        mistake("bridge", json!({"bridge": "master0"}), &["plugin bridge", "bridge master0", "not a bridge"]),
        mistake("bridge", json!({"mtu": 40}), &["plugin bridge", "mtu 40"]),
        mistake("bridge", json!({"mtu": -5}), &["plugin bridge", "mtu -5", "68 and 65535"]),
        mistake("macvlan", json!({"master": "master0", "mtu": 40}), &["plugin macvlan", "mtu 40", "68 and 65535"]),
        mistake("macvlan", json!({"master": "master0", "mtu": -1}), &["plugin macvlan", "mtu -1"]),
        mistake("ptp", json!({"mtu": -1, "ipam": pool()}), &["plugin ptp", "mtu -1"]),
        mistake(
            "vlan",
            json!({"master": "master0", "vlanId": 5, "mtu": 67, "ipam": pool()}),
            &["plugin vlan", "mtu 67", "68"],
        ),
        mistake("bridge", json!({"mtu": 1279, "ipam": v6}), &["plugin bridge", "mtu 1279", "fd00:7::/64", "1280"]),
        mistake("ptp", json!({"mtu": 576, "ipam": v6}), &["plugin ptp", "mtu 576", "fd00:7::/64", "1280"]),
        mistake(
            "macvlan",
            json!({"master": "narrow", "ipam": v6}),
            &["plugin macvlan", "mtu 1200 of master narrow", "fd00:7::/64", "1280"],
        ),
        mistake("bridge", json!({"mtu": "1400"}), &["plugin bridge", "\"mtu\" is \"1400\"", "whole number"]),
        mistake("bridge", json!({"isGateway": "yes"}), &["\"isGateway\" is \"yes\"", "true or false"]),
        mistake("bridge", json!({"vlan": 5000}), &["plugin bridge", "vlan 5000"]),
        mistake("bridge", json!({"vlanTrunk": [{"minID": 9, "maxID": 8}]}), &["vlanTrunk: minID 9", "maxID 8"]),
        mistake("bridge", json!({"vlanTrunk": [{"minID": 5}]}), &["vlanTrunk: minID 5"]),
        mistake("bridge", json!({"vlanTrunk": [{"id": "7"}]}), &["vlanTrunk", "\"id\" is \"7\""]),
        mistake("bridge", json!({"vlanTrunk": [{"id": 4095}]}), &["vlanTrunk: id 4095"]),
        mistake("bridge", json!({"hairpinMode": true, "promiscMode": true}), &["hairpinMode true", "promiscMode true"]),
        mistake("bridge", json!({"disableContainerInterface": true, "ipam": pool()}), &["disableContainerInterface"]),
        mistake("bridge", gateway, &["bridge with vlan 4000", "a-bridge-of-14.4000"]),
        mistake("bridge", json!({"dns": {"nameservers": "10.0.0.1"}}), &["\"nameservers\" is \"10.0.0.1\"", "a list"]),
        mistake("bridge", json!({"runtimeConfig": {"mac": "nonsense"}}), &["mac: \"nonsense\""]),
        mistake(
            "macvlan",
            json!({"master": "master0", "mode": "bridg"}),
            &["plugin macvlan", "mode \"bridg\"", "vepa"],
        ),
        mistake("macvlan", json!({"master": "master0", "mac": "nonsense"}), &["mac: \"nonsense\""]),
        mistake(
            "macvlan",
            json!({"master": "master0", "mac": "01:00:5e:00:00:01"}),
            &["mac 01:00:5e:00:00:01", "group"],
        ),
        mistake("macvlan", json!({"master": "master0", "mtu": 9000}), &["mtu 9000", "1500", "master master0"]),
        mistake(
            "macvlan",
            json!({"master": "lost"}),
            &["plugin macvlan", "master lost", "there is no link lost on this node"],
        ),
        mistake("macvlan", json!({"master": "lost", "linkInContainer": true}), &["no link lost in the container"]),
        mistake("macvlan", json!({"master": "all"}), &["plugin macvlan", "master all", "no link all on this node"]),
        mistake("macvlan", json!({"master": "a/b"}), &["plugin macvlan", "master a/b", "no link a/b on this node"]),
        mistake(
            "macvlan",
            json!({"master": "lo"}),
            &["plugin macvlan", "master lo", "not an Ethernet link", "macvlan"],
        ),
        mistake(
            "vlan",
            json!({"master": "lo", "vlanId": 5, "ipam": pool()}),
            &["plugin vlan", "master lo", "not an Ethernet link"],
        ),
        mistake("macvlan", json!({"master": "tun0"}), &["plugin macvlan", "master tun0", "not an Ethernet link"]),
        mistake("macvlan", json!({}), &["plugin macvlan", "master is missing", "no default route"]),
        // M13
        mistake("macvlan", json!({"master": "y".repeat(65_532)}), &["master: ", "yyyy…", "127 bytes"]),
        mistake("macvlan", json!({"master": "master0", "bcqueuelen": -1}), &["\"bcqueuelen\" is -1", "not negative"]),
        mistake(
            "ipvlan",
            json!({"master": "master0", "mode": "l4", "ipam": pool()}),
            &["plugin ipvlan", "mode \"l4\"", "l3s"],
        ),
        mistake("ipvlan", json!({"master": "master0"}), &["plugin ipvlan", "ipam is missing"]),
        mistake("vlan", json!({"master": "master0", "vlanId": 5000, "ipam": pool()}), &["plugin vlan", "vlanId 5000"]),
        mistake("vlan", json!({"vlanId": 5, "ipam": pool()}), &["plugin vlan", "master is missing"]),
        mistake("vlan", json!({"master": "master0", "vlanId": 5}), &["plugin vlan", "ipam is missing"]),
        mistake("ptp", json!({}), &["plugin ptp", "ipam is missing"]),
        mistake(
            "ptp",
            json!({"ipam": {"type": "static", "addresses": [{"address": "10.7.0.5/24"}]}}),
            &["plugin ptp", "10.7.0.5/24 has no gateway"],
        ),
        mistake("bridge", json!({"cniVersion": ""}), &["plugin bridge", "cniVersion is missing", "ipam", "0.3.0"]),
        mistake(
            "macvlan",
            json!({"cniVersion": "0.2.0", "master": "master0"}),
            &["plugin macvlan", "cniVersion is 0.2.0", "ipam", "0.3.0"],
        ),
        mistake("bridge", json!({"cniVersion": "9.0.0"}), &["plugin bridge", "cniVersion", "\"9.0.0\""]),
        mistake("primary", json!({"cniVersion": "1.2.0"}), &["plugin primary", "cniVersion", "\"1.2.0\""]),
    ]
}

/// Of their addresses.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn of_addresses() -> Vec<Mistake> {
    let of = |more: Value, words| ipam(host_local(more), words);
    let route = |route: Value| json!({"subnet": "10.7.0.0/24", "routes": [route]});
    let two = json!({"ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "10.7.0.0/16"}]]});
    let mixed = json!({"ranges": [[{"subnet": "10.7.0.0/24"}, {"subnet": "fd00:7::/64"}]]});
    vec![
        of(json!({}), &["plugin host-local", "no ranges"]),
        of(
            json!({"subnt": "10.78.0.0/24"}),
            &["plugin host-local", "no ranges and no subnet", "unknown key \"subnt\"", "did you mean \"subnet\"?"],
        ),
        of(json!({"ranges": "10.7.0.0/24"}), &["\"ranges\" is \"10.7.0.0/24\"", "a list is expected"]),
        of(json!({"ranges": [["10.7.0.0/24"]]}), &["\"ranges\" has \"10.7.0.0/24\"", "an object is expected"]),
        of(json!({"ranges": {"subnet": "10.7.0.0/24"}}), &["\"ranges\" has an object where a list is expected"]),
        of(json!({"subnet": "224.0.7.0/24"}), &["plugin host-local", "224.0.7.1", "multicast"]),
        of(
            json!({"subnet": "10.7.0.0/24", "gateway": "fd00:7::1"}),
            &["plugin host-local", "gateway fd00:7::1", "subnet 10.7.0.0/24", "IPv6", "IPv4"],
        ),
        of(
            json!({"ranges": [[{"subnet": "fd00:7::/64", "gateway": "10.7.0.1"}]]}),
            &["plugin host-local", "gateway 10.7.0.1", "subnet fd00:7::/64"],
        ),
        of(
            json!({"subnet": "10.7.0.0/24", "gateway": "10.200.0.1", "routes": [{"dst": "0.0.0.0/0"}]}),
            &["the network's gateway 10.200.0.1", "0.0.0.0/0", "no subnet", "10.7.0.0/24"],
        ),
        mistake(
            "bridge",
            json!({"isDefaultGateway": true,
                "ipam": host_local(json!({"subnet": "10.7.0.0/24", "gateway": "10.200.0.1"}))}),
            &["plugin bridge", "isDefaultGateway", "10.200.0.1", "10.7.0.0/24"],
        ),
        mistake(
            "macvlan",
            json!({"master": "master0", "ipam": "host-local"}),
            &["\"ipam\" is \"host-local\"", "object"],
        ),
        mistake(
            "macvlan",
            json!({"master": "master0", "ipam": [1]}),
            &["\"ipam\" has a list", "an object is expected"],
        ),
        mistake("macvlan", json!({"master": "master0", "ipam": 7}), &["plugin macvlan", "\"ipam\" is 7", "an object"]),
        mistake("bridge", json!({"ipMasq": true, "ipam": "x"}), &["plugin bridge", "\"ipam\" is \"x\"", "an object"]),
        ipam(json!({"subnet": "10.7.0.0/24"}), &["plugin macvlan", "ipam has \"subnet\" and no \"type\""]),
        ipam(json!({"type": "", "ranges": []}), &["plugin macvlan", "ipam has \"ranges\" and no \"type\""]),
        of(json!({"subnet": "10.7.0.0/33"}), &["plugin host-local", "\"subnet\" is \"10.7.0.0/33\""]),
        of(json!({"subnet": "10.7.0.0/31"}), &["subnet 10.7.0.0/31", "too small"]),
        of(json!({"subnet": "10.7.0.5/24"}), &["subnet 10.7.0.5/24", "10.7.0.0/24"]),
        of(json!({"subnet": "10.7.0.0/24", "rangeStart": "10.8.0.1"}), &["rangeStart 10.8.0.1", "10.7.0.0/24"]),
        of(json!({"subnet": "10.7.0.0/24", "rangeStart": "10.7.0.9", "rangeEnd": "10.7.0.8"}), &["rangeEnd 10.7.0.8"]),
        of(json!({"subnet": "10.7.0.0/24", "gateway": "x"}), &["\"gateway\" is \"x\""]),
        of(json!({"ranges": [{"subnet": "10.7.0.0/24"}]}), &["\"ranges\" has an object where a list is expected"]),
        of(two, &["ranges: ", "overlaps", "10.7.0.1-10.7.0.254"]),
        of(mixed, &["ranges: ", "mixes IPv4 and IPv6"]),
        of(route(json!({"dst": "10.9.0.0"})), &["routes: ", "\"dst\" is \"10.9.0.0\""]),
        of(route(json!({"gw": "10.7.0.1"})), &["routes: ", "no dst"]),
        of(route(json!({"dst": "10.9.0.0/16", "gw": "10.200.0.1"})), &["routes: gw 10.200.0.1", "10.9.0.0/16"]),
        of(json!({"subnet": "10.7.0.0/24", "resolvConf": "/no/such"}), &["resolvConf /no/such"]),
        // N2
        of(json!({"subnet": "10.7.0.0/24", "dataDir": "/run/open"}), &["dataDir", "/run/open", "others may write"]),
        of(json!({"subnet": "10.7.0.0/24", "dataDir": "pools"}), &["dataDir", "pools/", "not an absolute path"]),
        of(json!({"subnet": "10.7.0.0/24"}), &["requested IP 10.8.0.5", "10.7.0.1-10.7.0.254"])
            .selected(json!({"ips": ["10.8.0.5"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["requested IP fd00::5 is IPv6", "no IPv6 range", "10.7.0.1-10.7.0.254"])
            .selected(json!({"ips": ["10.7.0.5", "fd00::5"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["requested IP 10.7.0.6 is one too many", "10.7.0.1-10.7.0.254"])
            .selected(json!({"ips": ["10.7.0.5", "10.7.0.6"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["default-route: gateway 10.200.0.1", "no subnet", "10.7.0.0/24"])
            .selected(json!({"default-route": ["10.200.0.1"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["default-route: gateway fd00:7::1", "no subnet", "10.7.0.0/24"])
            .selected(json!({"default-route": ["10.7.0.1", "fd00:7::1"]})),
        mistake("macvlan", json!({"master": "master0"}), &["default-route: gateway 10.7.0.1", "gives", "no address"])
            .selected(json!({"default-route": ["10.7.0.1"]})),
        mistake("ptp", json!({"ipam": pool()}), &["default-route: gateway 10.7.0.9", "10.7.0.1/32"])
            .selected(json!({"default-route": ["10.7.0.9"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["requested IP 10.7.0.1", "gateway"])
            .selected(json!({"ips": ["10.7.0.1"]})),
        of(json!({"subnet": "10.7.0.0/24"}), &["requested IP \"nonsense\""])
            .selected(json!({"cni-args": {"ips": ["nonsense"]}})),
        ipam(
            json!({"type": "static", "addresses": [{"address": "10.7.0.5"}]}),
            &["plugin static", "address: \"10.7.0.5\""],
        ),
        ipam(
            addresses(json!([{"address": "10.7.0.5/24"}, {"address": "10.7.0.5/24"}])),
            &["plugin static", "address 10.7.0.5/24", "twice"],
        ),
        ipam(addresses(json!([{"address": "ff02::5/64"}])), &["plugin static", "address ff02::5/64", "multicast"]),
        ipam(addresses(json!([{"address": "224.0.0.5/24"}])), &["plugin static", "address 224.0.0.5/24", "multicast"]),
        ipam(addresses(json!([{"address": "0.0.0.0/24"}])), &["plugin static", "address 0.0.0.0/24", "no address"]),
        ipam(addresses(json!([{"address": "::1/128"}])), &["plugin static", "address ::1/128", "loopback"]),
        ipam(
            addresses(json!([{"address": "10.7.0.255/24"}])),
            &["plugin static", "address 10.7.0.255/24", "broadcast"],
        ),
        ipam(
            addresses(json!([{"address": "10.7.0.5/24", "gateway": "fd00::1"}])),
            &["plugin static", "gateway fd00::1", "address 10.7.0.5/24", "IPv6"],
        ),
        mistake(
            "macvlan",
            json!({"master": "master0", "capabilities": {"ips": true}, "ipam": {"type": "static"}}),
            &["plugin static", "address 10.7.0.7/24", "twice"],
        )
        .selected(json!({"ips": ["10.7.0.7/24", "10.7.0.7/24"]})),
        ipam(
            json!({"type": "static", "adresses": []}),
            &["plugin static", "addresses is empty", "\"adresses\"", "did you mean \"addresses\"?"],
        ),
        ipam(json!({"type": "static"}), &["plugin static", "addresses is empty"]),
        ipam(json!({"type": "static", "addresses": [{"address": "10.7.0.5/24", "gateway": 1}]}), &["\"gateway\" is 1"]),
    ]
}

/// Of their routes: what the reference plugins are refused by the kernel, after all is made.
pub(super) fn of_routes() -> Vec<Mistake> {
    let of = |routes: Value, words| ipam(host_local(json!({"subnet": "10.7.0.0/24", "routes": routes})), words);
    let of_bridge =
        |section: Value, words| mistake("bridge", json!({"isDefaultGateway": true, "ipam": section}), words);
    let fixed = json!({"type": "static", "addresses": [{"address": "10.7.0.5/24"}], "routes": [{"dst": "0.0.0.0/0"}]});
    vec![
        of(json!([{"dst": "10.1.2.3/24"}]), &["plugin macvlan", "routes: dst 10.1.2.3/24", "10.1.2.0/24"]),
        of(
            json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.7.0.1"}]),
            &["plugin macvlan", "routes: the route to 10.9.0.0/16 via 10.7.0.1 occurs twice"],
        ),
        of(
            json!([{"dst": "10.9.0.0/16", "scope": 253}]),
            &["plugin macvlan", "routes: scope 253 of 10.9.0.0/16", "the network's gateway is 10.7.0.1"],
        ),
        of_bridge(
            host_local(json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]})),
            &["plugin bridge", "routes: ", "0.0.0.0/0 via 10.7.0.1 occurs twice", "isDefaultGateway"],
        ),
        of_bridge(
            host_local(json!({"subnet": "fd00:7::/64", "routes": [{"dst": "::/0", "priority": 1024}]})),
            &["plugin bridge", "routes: ", "::/0 via fd00:7::1 occurs twice", "isDefaultGateway"],
        ),
        of_bridge(fixed, &["plugin bridge", "routes: ", "0.0.0.0/0 via 10.7.0.1 occurs twice", "isDefaultGateway"]),
        mistake(
            "ptp",
            json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "10.7.0.0/24"}]}))}),
            &["plugin ptp", "routes: ", "10.7.0.0/24", "own"],
        ),
        ipam(
            host_local(json!({"subnet": "::ffff:10.7.0.0/120"})),
            &["plugin macvlan", "ipam: subnet ::ffff:10.7.0.0/120", "write 10.7.0.0/24"],
        ),
        ipam(
            host_local(json!({"ranges": [[{"subnet": "::FFFF:10.7.0.0/120"}]]})),
            &["plugin macvlan", "ipam: subnet ::FFFF:10.7.0.0/120"],
        ),
    ]
}
