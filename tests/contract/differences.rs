//! Where natives are better than the reference on purpose (see `intended.rs`), and what both refuse.

use crate::cases::{Twins, config, host_local};
use crate::look::standing;
use crate::normal::BRIDGES;
use crate::plugin::{Attachment, Who};
use crate::plugins;
use crate::world::{CONTAINER, DEFAULT_POOLS, POOLS, World, inside, ip, ip_json, remove_container};
use serde_json::{Value, json};
use std::fs;

fn pool() -> Value {
    host_local(json!({"subnet": "10.7.0.0/24"}))
}

/// What an attachment may leave behind; bridges are there for all.
#[derive(Debug, PartialEq)]
pub struct Left {
    container: Vec<String>,
    host: Vec<String>,
    addresses: Vec<String>,
}

impl Left {
    /// In the world that calls.
    pub fn here() -> Self {
        let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten();
        let names = |folder: &str| entries(folder).map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_address = |name: &String| name.starts_with("10.") || name.starts_with("fd00:");
        let pools = [format!("{POOLS}/mynet"), format!("{DEFAULT_POOLS}/networks/mynet")];
        Left {
            container: inside(links),
            host: links().into_iter().filter(|name| !BRIDGES.contains(&name.as_str())).collect(),
            addresses: pools.iter().flat_map(|pool| names(pool)).filter(is_address).collect(),
        }
    }
}

/// The names of all links.
fn links() -> Vec<String> {
    let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
    ip_json("link show").as_array().unwrap().iter().map(name).collect()
}

/// Calls the native in `world`.
fn call(world: &World, verb: &'static str, config: &Value, attachment: &Attachment) -> Result<Value, String> {
    let (config, attachment) = (config.clone(), attachment.clone());
    world.run(move || Who::Native.call(verb, &config, &attachment))
}

#[test]
fn both_refuse_and_natives_leave_nothing() {
    let Some(twins) = Twins::new() else { return };
    let no_address = host_local(json!({"subnet": "10.7.0.0/30", "rangeStart": "10.7.0.1", "rangeEnd": "10.7.0.1"}));
    // The second route is refused by the kernel, long after the address was taken.
    let bad_route = host_local(
        json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "10.8.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.200.0.1"}]}),
    );
    for (kind, more) in [
        ("bridge", json!({"vlan": 4095})),
        ("bridge", json!({"vlanTrunk": [{"minID": 5}]})),
        ("bridge", json!({"hairpinMode": true, "promiscMode": true})),
        ("bridge", json!({"disableContainerInterface": true, "ipam": pool()})),
        ("bridge", json!({"bridge": "master0"})),
        ("bridge", json!({"mtu": "1400"})),
        ("bridge", json!({"runtimeConfig": {"mac": "nonsense"}})),
        ("bridge", json!({"ipam": no_address})),
        ("bridge", json!({"ipam": bad_route})),
        ("bridge", json!({"ipam": {"type": "static"}})),
        ("bridge", json!({"name": "mynet", "cniVersion": "9.9.9"})),
        (
            "bridge",
            json!({"cniVersion": "0.2.0", "ipam": host_local(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]}))}),
        ),
        ("ptp", json!({})),
        ("ptp", json!({"ipam": no_address})),
        ("ptp", json!({"ipam": bad_route})),
        ("macvlan", json!({"master": "nothing"})),
        ("macvlan", json!({"master": "master0", "mode": "source"})),
        ("macvlan", json!({"master": "master0", "mtu": 9000})),
        ("macvlan", json!({"master": "master0", "mtu": -1})),
        ("macvlan", json!({"master": "master0", "ipam": no_address})),
        ("macvlan", json!({"master": "master0", "ipam": bad_route})),
    ] {
        let case = format!("{kind} {more}");
        let config = config("1.1.0", kind, more);
        let before = twins.sides[0].1.run(Left::here);
        let answers = twins.call(&case, "ADD", &config, &Attachment::default());
        assert!(answers[0].is_err(), "{case}");
        assert_eq!(before, twins.sides[0].1.run(Left::here), "{case}: the native left something behind");
        // The reference needs the DEL that follows a failed ADD.
        let _ = twins.call_each("DEL", &config, &Attachment::default());
    }
}

#[test]
fn an_interface_that_is_there_stays() {
    let Some(twins) = Twins::new() else { return };
    twins.sides.iter().for_each(|(_, world)| world.run(|| inside(|| ip("link add net1 type bridge"))));
    for (kind, more) in [("bridge", json!({"ipam": pool()})), ("macvlan", json!({"master": "master0", "ipam": pool()}))]
    {
        let answers = twins.call(kind, "ADD", &config("1.1.0", kind, more), &Attachment::default());
        assert!(answers[0].as_ref().unwrap_err().contains("exist"), "{answers:?}");
    }
    let left = twins.sides[0].1.run(Left::here);
    assert_eq!((left.container, left.addresses), (vec!["lo".to_owned(), "net1".to_owned()], Vec::new()));
}

#[test]
fn a_name_that_the_host_has_too() {
    let Some(twins) = Twins::new() else { return };
    let attachment = Attachment { ifname: "master1".into(), ..Attachment::default() };
    for kind in ["bridge", "macvlan"] {
        let mut config = config("1.1.0", kind, json!({"master": "master0"}));
        if kind == "bridge" {
            config.as_object_mut().unwrap().remove("master");
        }
        let answers = twins.call(kind, "ADD", &config, &attachment);
        assert!(answers[0].is_ok(), "{answers:?}");
        twins.compare(kind, true);
        let _ = twins.call(kind, "DEL", &config, &attachment);
    }
}

#[test]
fn a_second_add_changes_nothing() {
    let Some(twins) = Twins::new() else { return };
    let config = config("1.1.0", "bridge", json!({"isGateway": true, "ipam": pool()}));
    assert!(twins.call("first", "ADD", &config, &Attachment::default())[0].is_ok());
    assert!(twins.call("second", "ADD", &config, &Attachment::default())[0].is_err());
    twins.compare("after the second ADD", true);
    let other = Attachment { container: "cid1".into(), ifname: "net2".into(), ..Attachment::default() };
    assert!(twins.call("another", "ADD", &config, &other)[0].is_ok());
    let gateway = crate::cases::config(
        "1.1.0",
        "bridge",
        json!({"isGateway": true, "ipam": host_local(json!({"subnet": "10.8.0.0/24"}))}),
    );
    let third = Attachment { container: "cid2".into(), ifname: "net3".into(), ..Attachment::default() };
    let answers = twins.call("a second gateway", "ADD", &gateway, &third);
    assert!(answers[0].as_ref().unwrap_err().contains("already has"), "{answers:?}");
    let _ = twins.call("", "DEL", &gateway, &third);
    let mut forced = gateway;
    forced["forceAddress"] = json!(true);
    assert!(twins.call("a forced gateway", "ADD", &forced, &third)[0].is_ok());
    twins.compare("after the forced gateway", true);
}

#[test]
fn del_works_whatever_is_left_of_the_namespace() {
    if plugins().is_none() {
        return;
    }
    let world = World::new();
    let config = config("1.1.0", "bridge", json!({"ipam": pool()}));
    call(&world, "ADD", &config, &Attachment::default()).unwrap();
    world.run(|| {
        remove_container();
        // What is left where a namespace was unmounted only.
        fs::write(CONTAINER, "").unwrap();
    });
    call(&world, "DEL", &config, &Attachment::default()).unwrap();
    assert_eq!(
        world.run(|| standing(false))["pools"][0]["mynet"]["content"].as_object().unwrap().len(),
        2,
        "lock and cursor"
    );
}

#[test]
fn our_own_namespace_is_refused() {
    if plugins().is_none() {
        return;
    }
    let world = World::new();
    let own = Attachment { netns: Some("/proc/thread-self/ns/net"), ifname: "master1".into(), ..Attachment::default() };
    for verb in ["ADD", "DEL"] {
        let error = call(&world, verb, &config("1.1.0", "bridge", json!({})), &own).unwrap_err();
        assert!(error.contains("own network namespace"), "{error}");
    }
    world.run(|| ip("link show master1"));
}

#[test]
fn check_sees_what_changed() {
    let Some(twins) = Twins::new() else { return };
    let config = config(
        "1.1.0",
        "bridge",
        json!({"isDefaultGateway": true, "ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [{"dst": "10.99.0.0/16"}]}))}),
    );
    for (line, on_host) in [
        ("link set net1 address 0a:58:00:00:00:09", false),
        ("addr del 10.7.0.2/24 dev net1", false),
        ("route del 10.99.0.0/16", false),
        ("link del net1", false),
        ("link del cni0", true),
    ] {
        let added = twins.call(line, "ADD", &config, &Attachment::default()).map(Result::unwrap);
        for ((who, world), result) in twins.sides.iter().zip(added) {
            let (who, mut config) = (who.clone(), config.clone());
            config["prevResult"] = result;
            world.run(move || {
                who.call("CHECK", &config, &Attachment::default()).unwrap();
                if on_host {
                    ip(line)
                } else {
                    inside(|| ip(line))
                }
                assert!(who.call("CHECK", &config, &Attachment::default()).is_err(), "{who:?} does not see {line}");
            });
        }
        let _ = twins.call(line, "DEL", &config, &Attachment::default());
        twins.sides.iter().for_each(|(_, world)| world.run(|| drop(fs::remove_dir_all(POOLS))));
    }
}

#[test]
fn failures_have_codes() {
    let Some(twins) = Twins::new() else { return };
    for (kind, more, code) in [
        ("macvlan", json!({"master": "master0", "mode": "nonsense"}), 7),
        ("bridge", json!({"cniVersion": "9.9.9"}), 1),
        ("bridge", json!({"hairpinMode": true, "promiscMode": true}), 7),
    ] {
        let config = config("1.1.0", kind, more);
        let [native, reference] = twins.call_each("ADD", &config, &Attachment::default()).map(Result::unwrap_err);
        assert!(native.starts_with(&format!("{code}: ")), "{config}: {native}");
        assert!(["999: ", "1: "].iter().any(|code| reference.starts_with(code)), "{config}: {reference}");
    }
}

#[test]
fn a_gateway_on_a_bridge_that_lost_its_mac() {
    let Some(twins) = Twins::new() else { return };
    twins.sides.iter().for_each(|(_, world)| {
        world.run(|| {
            ip("link add cni0 type bridge");
            ip("link add port0 type veth peer name port1");
            ip("link set port0 master cni0");
            ip("link set port0 nomaster");
        });
    });
    let config = config("1.1.0", "bridge", json!({"isGateway": true, "ipam": pool()}));
    let [native, reference] = twins.call_each("ADD", &config, &Attachment::default());
    native.unwrap();
    assert!(reference.is_err(), "the reference does not fail any more");
}

#[test]
fn a_pool_that_others_can_write_to_is_refused() {
    // N2
    let Some(twins) = Twins::new() else { return };
    let folder = format!("{POOLS}-open");
    let made = folder.clone();
    twins.sides.iter().for_each(|(_, world)| {
        let made = made.clone();
        world.run(move || {
            fs::create_dir(&made).unwrap();
            fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        });
    });
    let ipam = json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": folder});
    let config = config("1.1.0", "bridge", json!({"ipam": ipam}));
    let [native, reference] = twins.call_each("ADD", &config, &Attachment::default());
    assert!(native.unwrap_err().contains("others may write"));
    reference.unwrap();
}

#[test]
fn a_negative_mtu_is_refused() {
    let Some(twins) = Twins::new() else { return };
    for (kind, more) in [("bridge", json!({"mtu": -5})), ("ptp", json!({"mtu": -5, "ipam": pool()}))] {
        let config = config("1.1.0", kind, more);
        let [native, reference] = twins.call_each("ADD", &config, &Attachment::default());
        assert!(native.unwrap_err().contains("not between 68 and 65535"), "{config}");
        reference.unwrap_or_else(|e| panic!("{config}: the reference does not take it any more: {e}"));
        let _ = twins.call_each("DEL", &config, &Attachment::default());
    }
}

#[test]
fn several_addresses_of_cni_args_are_taken() {
    let Some(twins) = Twins::new() else { return };
    let ranges = json!({"ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]});
    let config = config("1.1.0", "bridge", json!({"ipam": host_local(ranges)}));
    let args = "IgnoreUnknown=1;IP=10.7.0.7/24,fd00:7::7".to_owned();
    let [native, reference] = twins.call_each("ADD", &config, &Attachment { args, ..Attachment::default() });
    let result = native.unwrap();
    let addresses: Vec<_> = result["ips"].as_array().unwrap().iter().map(|ip| &ip["address"]).collect();
    assert_eq!(addresses, ["10.7.0.7/24", "fd00:7::7/64"]);
    assert!(reference.is_err(), "the reference does not fail any more");
}

#[test]
fn other_users_of_a_bridge_do_not_disturb() {
    let Some(twins) = Twins::new() else { return };
    let config = config("1.1.0", "bridge", json!({"ipam": pool()}));
    for (change, undo) in [
        ("link set cni0 promisc on", "link set cni0 promisc off"),
        ("link set cni0 address 0a:58:00:00:00:0b", "link del cni0"),
    ] {
        let added = twins.succeed(change, "ADD", &config, &Attachment::default());
        twins.sides.iter().for_each(|(_, world)| world.run(|| ip(change)));
        let [native, reference] = twins.check_each(&config, &Attachment::default(), added);
        native.unwrap_or_else(|e| panic!("{change}: {e}"));
        assert!(reference.is_err(), "{change}: the reference does not fail any more");
        twins.sides.iter().for_each(|(_, world)| world.run(|| ip(undo)));
        twins.succeed(change, "DEL", &config, &Attachment::default());
    }
}
