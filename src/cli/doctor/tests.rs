//! The faults that people have, each with what a node shows of it: `doctor` names each, first.

use super::*;
use crate::api::Keeping;
use crate::cli::diagnosis::Mark;
use crate::cli::doctor::facts::File;
use crate::cli::doctor::runtime::Runtime;
use crate::engine::node::Flaw;
use crate::ipam::PoolName;
use std::collections::BTreeMap;

fn file(name: &str, calls_plexus: bool) -> File {
    File { name: name.into(), calls_plexus, cni_version: Some("1.1.0".into()), error: None }
}

fn pool(network: &str, used: u128, size: u128) -> Pools {
    Pools { known: vec![Pool { network: network.into(), used, size }], ..Pools::default() }
}

fn runtime(version: Result<&str, &str>) -> Runtime {
    let version = version.map(str::to_owned).map_err(str::to_owned);
    Runtime { name: "containerd", socket: "/run/containerd/containerd.sock", version }
}

fn health() -> Health {
    let guards = [("definitions", ""), ("installation", ""), ("policy", ""), ("socket", "")];
    Health {
        release: "1.0.0".into(),
        ready: true,
        guards: guards.iter().map(|(name, waits)| ((*name).to_owned(), (*waits).to_owned())).collect(),
        ..Health::default()
    }
}

fn waiting(name: &str, why: &str) -> Facts {
    let mut health = health();
    health.ready = false;
    health.guards.insert(name.into(), why.into());
    Facts { daemon: Ok(health), ..well() }
}

fn network(default: bool) -> Network {
    Network { name: if default { "cbr0".into() } else { "default/lan".into() }, default, ..Network::default() }
}

/// A node on which all is well.
fn well() -> Facts {
    Facts {
        state: ("/var/lib/plexus".into(), true),
        draining: false,
        runtimes: vec![runtime(Ok("2.1.4"))],
        conf_dir: "/etc/cni/net.d".into(),
        files: vec![file("00-plexus.conflist", true), file("10-flannel.conflist", false)],
        renamed: None,
        chained: false,
        settings_error: None,
        settings_remarks: Vec::new(),
        plugin: "/opt/cni/bin/plexus".into(),
        release: Ok("1.0.0".into()),
        networks: vec![network(true), network(false)],
        pools: pool("cbr0", 3, 253),
        refused_pools: Ok(BTreeMap::new()),
        daemon: Ok(health()),
        keeper: Some(Keeping::default()),
        debts: 0,
        damaged: 0,
        was_called: true,
        unpublished: 0,
        unlisted: None,
        untrusted: Vec::new(),
        flaws: Some(Vec::new()),
    }
}

fn with_network(one: Network) -> Facts {
    let default = (!one.default).then(|| network(true));
    Facts { networks: default.into_iter().chain([one]).collect(), ..well() }
}

#[test]
fn a_node_that_is_well_has_no_fault() {
    let checks = checks(&well(), "1.0.0");
    assert!(checks.iter().all(|check| check.fault.is_none()), "{checks:#?}");
    assert!(checks.len() >= 9, "{checks:#?}");
}

#[test]
fn a_network_whose_pool_gives_no_address_is_named() {
    let lan = || Network { address_pools: vec![PoolName::new("lam").unwrap()], ..network(false) };
    let with = |refused_pools| checks(&Facts { refused_pools, ..with_network(lan()) }, "1.0.0");
    let first = |refused| with(refused)[0].clone();
    let missing = first(Ok(BTreeMap::from([("lam".to_owned(), "it does not exist".to_owned())])));
    assert_eq!((missing.mark, missing.fault), (Mark::Bad, Some(Fault::AddressPool)));
    assert!(missing.finding.contains("pool lam: it does not exist"), "{missing:?}");
    let runs = BTreeMap::from([("lam".to_owned(), crate::cluster::whereabouts_runs())]);
    assert_eq!(first(Ok(runs)).fault, Some(Fault::Whereabouts));
    let off = "plexusd may not list address pools: conf/components/ipam grants it";
    assert_eq!(first(Err(off.to_owned())).fault, Some(Fault::AddressesOff));
    let unknown = with(Err("plexusd is of a former release".to_owned()));
    assert!(unknown.iter().all(|check| check.mark != Mark::Bad), "{unknown:?}");
    let is_attachable = |check: &Check| check.mark == Mark::Good && check.finding.contains("default/lan");
    assert!(!unknown.iter().any(is_attachable) && with(Ok(BTreeMap::new())).iter().any(is_attachable));
}

#[test]
fn the_ten_faults_are_named_first() {
    let primary = Network { error: Some("/etc/cni/net.d/cbr0 does not exist".into()), ..network(true) };
    let master = Network { missing_master: Some("bond9".into()), ..network(false) };
    let program = Network { missing_program: Some("plugin sriov is missing".into()), ..network(false) };
    let broken = Network { error: Some("spec.config: not a JSON object".into()), ..network(false) };
    let cilium = Facts {
        files: vec![file("05-cilium.conflist", false)],
        renamed: Some("00-plexus.conflist.cilium_bak".into()),
        keeper: None,
        ..well()
    };
    let table: Vec<(&str, Facts, Fault)> = vec![
        ("primary missing", with_network(primary), Fault::PrimaryMissing),
        ("master missing on one node", with_network(master), Fault::MasterMissing),
        ("Cilium exclusive", cilium, Fault::Displaced),
        ("plugin missing", with_network(program), Fault::PluginMissing),
        ("NAD broken", with_network(broken), Fault::NetworkBroken),
        ("daemon down", Facts { daemon: Err("plexusd is not running (…)".into()), ..well() }, Fault::DaemonDown),
        ("old plugin", Facts { release: Ok("0.9.0".into()), ..well() }, Fault::OldPlugin),
        ("pool full", Facts { pools: pool("default/lan", 5, 5), ..well() }, Fault::PoolFull),
        (
            "token refused",
            waiting("definitions", "plexusd may not get, list and watch network-attachment-definitions: grant it"),
            Fault::TokenRefused,
        ),
        (
            "network policy away",
            waiting("policy", "the API server lets the daemon's token change labels"),
            Fault::PolicyMissing,
        ),
    ];
    for (name, facts, fault) in table {
        let checks = checks(&facts, "1.0.0");
        assert_eq!(checks[0].fault, Some(fault), "{name}: {checks:#?}");
        assert!(checks[0].remedy.is_some(), "{name}");
    }
}

#[test]
fn further_faults_are_named_first() {
    let nothing = Facts { state: ("/x".into(), false), files: Vec::new(), release: Err("no".into()), ..well() };
    let rival = Facts { files: vec![file("00-a.conflist", false), file("00-plexus.conflist", true)], ..well() };
    let kept = Keeping { displaced: "the runtime takes 00-a.conflist".into(), ..Keeping::default() };
    let no_range = Network { refused: Some("no address: ipam has no range".into()), ..network(false) };
    let mistyped = Network { unknown_key: Some("key \"mastr\" is unknown".into()), ..network(false) };
    let no_pool = Network { unusable_pool: Some("the pool /p cannot be written".into()), ..network(false) };
    let flaw = Flaw { stops_additional: true, text: "/var/lib/plexus is on a read-only file system".into() };
    let mut no_source = health();
    no_source.remarks.insert(SOURCE_DIRECTORY.into(), "it cannot be read: /m".into());
    let stale = Network { error: Some("spec.config: not a JSON object".into()), ..network(false) };
    let table = [
        // The copy of a network may be old while nobody tells what became of it.
        (Facts { daemon: Err("plexusd is not running (…)".into()), ..with_network(stale) }, Fault::DaemonDown),
        (with_network(no_range), Fault::NetworkBroken),
        (with_network(mistyped), Fault::NetworkBroken),
        (Facts { settings_remarks: vec!["key \"natives\"".into()], ..well() }, Fault::Other),
        (Facts { flaws: Some(vec![flaw]), ..well() }, Fault::Unwritable),
        (Facts { unlisted: Some("not a directory".into()), ..well() }, Fault::Unwritable),
        (with_network(no_pool), Fault::Unwritable),
        (Facts { daemon: Ok(no_source), ..well() }, Fault::Other),
        (nothing, Fault::NotInstalled),
        (rival, Fault::Displaced),
        (Facts { files: vec![file("10-flannel.conflist", false)], ..well() }, Fault::Displaced),
        (
            Facts { files: vec![File { error: Some("cut".into()), ..file("00-plexus.conflist", false) }], ..well() },
            Fault::Displaced,
        ),
        (Facts { networks: vec![network(false)], ..well() }, Fault::PrimaryMissing),
        (Facts { files: Vec::new(), ..well() }, Fault::PrimaryMissing),
        (Facts { release: Err("it does not exist".into()), ..well() }, Fault::NotInstalled),
        (Facts { keeper: Some(kept), ..well() }, Fault::Displaced),
        (Facts { untrusted: vec!["/run/plexus may be written".into()], ..well() }, Fault::Untrusted),
        // What is not trusted is not read.
        (
            Facts { untrusted: vec!["/s may be written".into()], unlisted: Some("/s".into()), ..well() },
            Fault::Untrusted,
        ),
        (Facts { draining: true, ..well() }, Fault::Draining),
        (Facts { debts: 2, ..well() }, Fault::Debt),
        (Facts { unpublished: 2, ..well() }, Fault::StatusMissing),
        (Facts { pools: pool("x", 9, 10), ..well() }, Fault::PoolFull),
    ];
    for (facts, fault) in table {
        let all = checks(&facts, "1.0.0");
        assert_eq!(all[0].fault, Some(fault), "{facts:#?}");
        // The file system is not full where the reason is another one.
        let blames_room = |check: &Check| check.fault == Some(Fault::Unwritable);
        assert!(fault != Fault::Untrusted || !all.iter().any(blames_room), "{all:#?}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_has_its_reason() {
    let cut = File { error: Some("it ends too early (line 1)".into()), ..file("00-plexus.conflist", false) };
    let all = checks(&Facts { files: vec![cut], ..well() }, "1.0.0");
    assert!(all[0].finding.ends_with("00-plexus.conflist, cannot be read: it ends too early (line 1)"), "{all:#?}");
}

#[test]
fn runtime_and_configuration_have_their_versions() {
    let of = |facts: &Facts, name: &str| -> Vec<(Mark, String)> {
        let found = checks(facts, "1.0.0").into_iter().filter(|check| check.check == name);
        found.map(|check| (check.mark, check.finding)).collect()
    };
    let at = "/run/containerd/containerd.sock";
    assert_eq!(of(&well(), "runtime"), [(Mark::Good, format!("containerd 2.1.4 listens on {at}"))]);
    let silent = Facts { runtimes: vec![runtime(Err("nobody listens there"))], ..well() };
    let unknown = format!("the version of containerd on {at} cannot be known: nobody listens there");
    assert_eq!(of(&silent, "runtime"), [(Mark::Unseen, unknown)]);
    let none = of(&Facts { runtimes: Vec::new(), ..well() }, "runtime");
    assert!(none[0].0 == Mark::Unseen && none[0].1.contains("`plexusctl status`"), "{none:?}");
    let first = "/etc/cni/net.d/00-plexus.conflist is first and calls Plexus (CNI version 1.1.0)";
    assert_eq!(of(&well(), "configuration"), [(Mark::Good, first.to_owned())]);
}

#[test]
fn nothing_is_claimed_of_calls_before_the_first() {
    let of = |facts: &Facts| checks(facts, "1.0.0").into_iter().find(|check| check.check == "annotations").unwrap();
    assert_eq!(of(&well()).mark, Mark::Good);
    assert_eq!(of(&Facts { was_called: false, ..well() }).mark, Mark::Unseen);
}

#[test]
fn a_path_is_told_once() {
    let facts = Facts { release: Err("/opt/cni/bin/plexus belongs to uid 7".into()), ..well() };
    let found = checks(&facts, "1.0.0");
    assert_eq!(found[0].finding, "/opt/cni/bin/plexus belongs to uid 7");
    let facts = Facts { release: Err("it does not exist".into()), ..well() };
    assert_eq!(checks(&facts, "1.0.0")[0].finding, "/opt/cni/bin/plexus: it does not exist");
}

#[test]
fn a_full_pool_is_one_verdict_about_its_network() {
    for (name, used) in [("default/lan", 10), ("default/lan", 9), ("cbr0", 10)] {
        let facts = Facts { pools: pool(name, used, 10), ..well() };
        let checks = checks(&facts, "1.0.0");
        let about: Vec<_> = checks.iter().filter(|check| check.finding.contains(name)).collect();
        assert!(about.len() == 1 && about[0].check == "pool", "{checks:#?}");
    }
}

#[test]
fn what_the_plugin_counted_is_shown_with_its_age() {
    let of = |pools: Pools| {
        let found = checks(&Facts { pools, ..well() }, "1.0.0");
        found.into_iter().find(|check| check.check == "pool").unwrap()
    };
    let age = Some(std::time::Duration::from_secs(40));
    let full = of(Pools { age, ..pool("default/lan", 10, 10) });
    assert_eq!((full.mark, full.fault), (Mark::Bad, Some(Fault::PoolFull)));
    assert_eq!(full.finding, "network default/lan: 10 of 10 addresses are taken on this node (counted 40s ago)");
    let free = of(Pools { age, ..pool("default/lan", 1, 10) });
    assert_eq!(
        (free.mark, free.finding.as_str()),
        (Mark::Good, "1 host-local pool has free addresses (counted 40s ago)")
    );
    assert_eq!(of(Pools { unseen: 1, ..Pools::default() }).mark, Mark::Unseen);
}

#[test]
fn a_daemon_by_hand_is_not_told_to_apply_manifests() {
    let why = crate::cluster::Verdict::Untested("plexusd does not know its own pod (--pod-name)").why();
    let mut by_hand = health();
    by_hand.guards.remove("policy");
    by_hand.remarks.insert("policy".into(), why.clone());
    for facts in [Facts { daemon: Ok(by_hand), ..well() }, waiting("policy", &why)] {
        let checks = checks(&facts, "1.0.0");
        let policy = checks.iter().find(|check| check.finding.contains("--pod-name")).unwrap();
        let remedy = policy.remedy.as_deref().unwrap();
        assert!(remedy.contains("By hand") && !remedy.contains("Apply"), "{policy:?}");
    }
}

#[test]
fn a_default_network_with_a_last_good_copy_stops_no_pod() {
    let why = Some("/etc/cni/net.d/cbr0 does not exist".to_owned());
    let gone = Network { name: "/etc/cni/net.d/cbr0".into(), error: why, ..network(true) };
    let first = |network: Network| checks(&with_network(network), "1.0.0").remove(0);
    let bad = first(gone.clone());
    assert_eq!((bad.mark, bad.finding.as_str()), (Mark::Bad, "/etc/cni/net.d/cbr0 does not exist"));
    let kept = first(Network { has_last_good: true, ..gone });
    assert_eq!((kept.mark, kept.fault), (Mark::Warning, Some(Fault::PrimaryMissing)));
    assert!(kept.finding.ends_with("the last good copy is used"), "{kept:?}");
}

#[test]
fn many_networks_are_one_line_and_a_copy_is_called_one() {
    let of = |number: usize| Network { name: format!("default/n{number}"), ..network(false) };
    let mistyped = Network { unknown_key: Some("key \"mastr\" is unknown".into()), ..of(9) };
    let many = Facts { networks: (1..9).map(of).chain([mistyped, network(true)]).collect(), ..well() };
    let lines = |facts: &Facts| -> Vec<String> {
        let found = checks(facts, "1.0.0").into_iter().filter(|check| check.check == "network");
        found.map(|check| check.finding).collect()
    };
    let told = lines(&many);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], "8 networks can be attached here");
    assert!(!told[0].contains("copy"), "{told:?}");
    let alone = lines(&Facts { daemon: Err("plexusd is not running (…)".into()), ..many });
    assert!(alone[0].contains("by the node's copy"), "{alone:?}");
}

#[test]
fn missing_rights_are_the_only_cause() {
    let mut health = health();
    health.ready = false;
    health.guards.insert("definitions".into(), "plexusd may not get, list and watch them: grant it".into());
    health.guards.insert("policy".into(), "the ValidatingAdmissionPolicy is missing".into());
    let checks = checks(&Facts { daemon: Ok(health), ..well() }, "1.0.0");
    let bad: Vec<_> = checks.iter().filter(|check| check.is_finding()).collect();
    assert!(bad.len() == 1 && bad[0].fault == Some(Fault::TokenRefused), "{bad:#?}");
    assert!(checks.iter().any(|check| check.check == "policy" && check.mark == Mark::Unseen), "{checks:#?}");
}

#[test]
fn without_its_file_a_node_is_not_well_and_nobody_is_told_to_remove_that_of_the_cluster() {
    let alone = |error: Option<&str>, chained| {
        let own = error.map(|why| File { error: Some(why.into()), ..file("00-plexus.conflist", false) });
        let files = own.into_iter().chain([file("10-flannel.conflist", false)]).collect();
        checks(&Facts { files, chained, keeper: None, ..well() }, "1.0.0")
    };
    for error in [None, Some("it ends too early")] {
        let first = alone(error, false)[0].clone();
        assert_eq!((first.mark, &*first.check), (Mark::Bad, "configuration"), "{first:?}");
        assert!(first.remedy.unwrap().contains("Restart the Plexus pod"), "{}", first.finding);
    }
    assert!(alone(None, true).iter().all(|check| check.fault.is_none()));
}

#[test]
fn a_report_of_a_keeper_does_not_hide_what_is_wrong_now() {
    let kept = Keeping { displaced: "00-plexus.conflist is displaced again".into(), ..Keeping::default() };
    let primary = Network { error: Some("/etc/cni/net.d/cbr0 does not exist".into()), ..network(true) };
    let found = checks(&Facts { keeper: Some(kept), ..with_network(primary) }, "1.0.0");
    assert_eq!(found[0].fault, Some(Fault::PrimaryMissing), "{found:#?}");
    assert!(found.iter().any(|check| check.check == "keeper" && check.mark == Mark::Warning), "{found:#?}");
}
