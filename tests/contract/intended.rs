//! The one list of how natives differ from the reference plugins on purpose.
//!
//! `docs/evidence/differences.md` is made of it: `UPDATE=1 cargo test --test contract intended` writes it again.

use crate::cases::{Twins, config, host_local};
use crate::optional::{IPVLAN, has, is_complete_kernel};
use crate::plugin::{Attachment, Who};
use crate::world::remove_container;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const HEAD: &str = "\
# Built-in plugins and reference plugins

The built-in plugins produce the same interfaces, settings and files as the reference plugins v1.9.1. `tests/contract` compares the
two after every call, on this machine's kernel (`make test`) and on Debian's (`make kernel-test`). This table lists the intended
differences. It is generated from `tests/contract/intended.rs`, and a test shows each row.

| plugin | call | the reference plugin | the built-in plugin | reason |
|---|---|---|---|---|
";

/// One difference.
pub struct Difference {
    plugin: &'static str,
    verb: &'static str,
    reference: &'static str,
    native: &'static str,
    why: &'static str,
    shown: Shown,
}

/// How a difference is seen.
enum Shown {
    /// The reference fails with this text, the native does not. It is passed over wherever it is met.
    Error(&'static str, Example),
    /// Answers are of different shapes, where this is so.
    Shape(fn(&Value) -> bool),
    /// The test of this name shows it.
    Test(&'static str),
}

/// Keys with which the call of an error fails.
type Example = fn() -> Value;

const fn difference(
    [plugin, verb]: [&'static str; 2],
    reference: &'static str,
    native: &'static str,
    why: &'static str,
    shown: Shown,
) -> Difference {
    Difference { plugin, verb, reference, native, why, shown }
}

/// All of them.
const INTENDED: &[Difference] = &[
    difference(
        ["all", "ADD"],
        "after a failed ADD, interfaces (and sometimes addresses) remain until DEL",
        "a failed ADD leaves nothing",
        "otherwise the next ADD fails with a misleading error",
        Shown::Test("both_refuse_and_natives_leave_nothing"),
    ),
    difference(
        ["all", "all"],
        "code 999 for nearly every failure",
        "the specification's codes for wrong configurations and environments; 999 for what the kernel or a full pool refuses",
        "a runtime can decide whether to retry",
        Shown::Test("failures_have_codes"),
    ),
    difference(
        ["bridge, ipvlan, ptp", "ADD"],
        "ignores a negative `mtu`",
        "refuses it",
        "otherwise the interface has an MTU that the configuration does not request",
        Shown::Test("a_negative_mtu_is_refused"),
    ),
    difference(
        ["host-local", "ADD"],
        "fails for several addresses of `IP` in CNI_ARGS",
        "uses one address of each range set",
        "`ips` of the annotation can request one address of each family, with or without the capability",
        Shown::Test("several_addresses_of_cni_args_are_taken"),
    ),
    difference(
        ["all", "ADD, DEL"],
        "changes the host, then fails, if `CNI_NETNS` is the host's namespace",
        "fails before it changes anything",
        "the host would lose interfaces",
        Shown::Test("our_own_namespace_is_refused"),
    ),
    difference(
        ["all", "DEL"],
        "fails, and leaks addresses, if the namespace's file exists but is no longer mounted",
        "succeeds",
        "everything in the namespace is gone; only the addresses are left",
        Shown::Test("del_works_whatever_is_left_of_the_namespace"),
    ),
    difference(
        ["all", "GC"],
        "does nothing",
        "calls the IPAM plugin",
        "otherwise addresses of pods without a DEL are never released",
        Shown::Test("gc_gives_back_what_nobody_has"),
    ),
    difference(
        ["bridge", "ADD"],
        "fails if a gateway bridge lost its last port, and with it its MAC address",
        "succeeds, with the MAC address of the new port",
        "otherwise no later pod can start on that bridge",
        Shown::Test("a_gateway_on_a_bridge_that_lost_its_mac"),
    ),
    difference(
        ["host-local", "ADD"],
        "writes to any `dataDir`, and follows symbolic links in it",
        "refuses a `dataDir` that a user other than root can write to, and follows no link in it",
        "a user who can write there could choose which file of the node root writes to",
        Shown::Test("a_pool_that_others_can_write_to_is_refused"),
    ),
    difference(
        ["bridge", "CHECK"],
        "fails without `ipam`",
        "succeeds",
        "an attachment without addresses has no IPAM plugin",
        Shown::Error("no plugin name provided", || json!({})),
    ),
    difference(
        ["bridge", "CHECK"],
        "fails if something else changed the bridge's promiscuous flag or MAC address",
        "succeeds",
        "neither affects this attachment",
        Shown::Test("other_users_of_a_bridge_do_not_disturb"),
    ),
    difference(
        ["all", "CHECK"],
        "fails for an address with the prefix length 32",
        "succeeds",
        "an address alone has no connected route",
        Shown::Error(
            "Failed to find Gateway",
            || json!({"ipam": {"type": "static", "addresses": [{"address": "10.7.2.5/32"}]}}),
        ),
    ),
    difference(
        ["all", "CHECK"],
        "fails for a route whose `gw` is `0.0.0.0`",
        "succeeds",
        "`0.0.0.0` means that the route has no gateway",
        Shown::Error("not found in routing table", || {
            let route = json!({"dst": "10.9.0.0/16", "scope": 253, "gw": "0.0.0.0"});
            json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [route]}))})
        }),
    ),
    difference(
        ["all", "CHECK"],
        "fails for a route with a `table`",
        "looks in that table",
        "the configuration requests that table",
        Shown::Error("not found in routing table", || {
            let route = json!({"dst": "10.12.0.0/16", "table": 100});
            json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24", "routes": [route]}))})
        }),
    ),
    difference(
        ["ipvlan", "CHECK"],
        "fails without `master`",
        "succeeds",
        "ADD used the interface of the default route",
        Shown::Error("failed to lookup master \"\"", || json!({"ipam": host_local(json!({"subnet": "10.7.0.0/24"}))})),
    ),
    difference(
        ["ipvlan", "DEL"],
        "fails if no `master` is set and the host has no default route, or (`linkInContainer`) if the container is gone",
        "succeeds",
        "DEL does not need a master",
        Shown::Error(
            "failed to open netns",
            || json!({"linkInContainer": true, "ipam": host_local(json!({"subnet": "10.7.0.0/24"}))}),
        ),
    ),
    difference(
        ["vlan", "DEL"],
        "fails if the master is gone",
        "succeeds",
        "the VLAN interface is gone too; only the addresses are left",
        Shown::Test("a_vlan_can_be_deleted_without_its_master"),
    ),
    difference(
        ["loopback", "ADD"],
        "the result has the format of 1.0.0, and an older `cniVersion`",
        "the result has the format of that version",
        "otherwise other programs cannot read it",
        Shown::Shape(|config| {
            let is_new = config["cniVersion"].as_str().is_some_and(|version| version.starts_with("1."));
            config["type"] == "loopback" && !is_new
        }),
    ),
];

/// Whether the reference should not have failed like this.
pub fn is_needless(verb: &str, error: &str) -> bool {
    INTENDED.iter().any(|row| matches!(row.shown, Shown::Error(part, _) if row.verb == verb && error.contains(part)))
}

/// Whether the reference answers in the shape of another version than it says.
pub fn is_other_shape(verb: &str, config: &Value) -> bool {
    INTENDED.iter().any(|row| matches!(row.shown, Shown::Shape(is_so) if row.verb == verb && is_so(config)))
}

#[test]
fn errors_of_the_reference_without_need() {
    for row in INTENDED {
        let Shown::Error(part, example) = row.shown else { continue };
        let Some(twins) = Twins::new() else { return };
        if row.plugin == "ipvlan" && !has(&twins, IPVLAN) {
            assert!(!is_complete_kernel(), "kernel has no ipvlan");
            eprintln!("SKIP: kernel has no ipvlan: {}", row.reference);
            continue;
        }
        let config = config("1.1.0", if row.plugin == "all" { "bridge" } else { row.plugin }, example());
        show(&twins, row, part, config);
    }
}

/// The call of `row` fails with `part` for the reference, and succeeds for the native.
fn show(twins: &Twins, row: &Difference, part: &str, config: Value) {
    if config["linkInContainer"] == true {
        twins.make_inner_links();
    }
    let added = twins.succeed(row.reference, "ADD", &config, &Attachment::default());
    for ((who, world), result) in twins.sides.iter().zip(added) {
        let (asked, verb, mut config) = (who.clone(), row.verb, config.clone());
        config["prevResult"] = result;
        let answer = world.run(move || {
            if verb == "DEL" {
                remove_container();
                config.as_object_mut().unwrap().remove("prevResult");
            }
            asked.call(verb, &config, &Attachment::default())
        });
        match (who, answer) {
            (Who::Native, answer) => drop(answer.unwrap_or_else(|e| panic!("{}: {e}", row.reference))),
            (Who::Reference(_), Err(e)) => assert!(e.contains(part), "{}: {e}", row.reference),
            (Who::Reference(_), Ok(_)) => panic!("{}: the reference does not fail any more", row.reference),
        }
    }
}

#[test]
fn the_page_of_differences_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let line = |row: &Difference| {
        let Difference { plugin, verb, reference, native, why, .. } = row;
        format!("| {plugin} | {verb} | {reference} | {native} | {why} |\n")
    };
    let page = HEAD.to_owned() + &INTENDED.iter().map(line).collect::<String>();
    let path = root.join("docs/evidence/differences.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    // The machine of the kernel test has the programs alone.
    if root.exists() {
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(page == written, "docs/evidence/differences.md is old: UPDATE=1 cargo test --test contract intended");
    }
}

#[test]
fn every_difference_is_shown_by_a_test() {
    let tests = concat!(include_str!("differences.rs"), include_str!("optional.rs"));
    for row in INTENDED {
        if let Shown::Test(name) = row.shown {
            assert!(tests.contains(&format!("#[test]\nfn {name}()")), "there is no test {name}");
        }
    }
}
