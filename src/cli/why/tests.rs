//! The faults that people have, each with what a workstation sees of it: `why` names each, first.

use super::*;
use crate::cli::pods::networks::PodNetworks;
use crate::cli::why::facts::{Look, Seen};
use crate::cli::why::{API_SERVER, of_pod};
use crate::cluster::{SeenDaemonSet, SeenEvent, SeenNode, SeenPod};
use crate::nad::{Definition, NadRef};

const LAN: &str = r#"{"cniVersion":"1.0.0","type":"bridge","bridge":"br-lan"}"#;
const PREFIX: &str = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"c1\": plugin type=\"plexus\" failed (add): ";

fn event(reason: &str, message: &str) -> SeenEvent {
    SeenEvent {
        kind: "Warning".into(),
        reason: reason.into(),
        message: message.into(),
        count: 1,
        last: 7,
        ..SeenEvent::default()
    }
}

fn plexus(ready: bool) -> SeenPod {
    SeenPod {
        namespace: "kube-system".into(),
        name: "plexus-x".into(),
        node: Some("n1".into()),
        ready,
        ..SeenPod::default()
    }
}

/// A pod that waits for `default/lan` on a node where all is well.
fn facts(networks: &str) -> Facts {
    let pod = SeenPod {
        namespace: "default".into(),
        name: "web".into(),
        node: Some("n1".into()),
        phase: "Pending".into(),
        networks: Some(networks.into()),
        ..SeenPod::default()
    };
    let facts = Facts {
        node: Seen(Ok(Some(SeenNode { name: "n1".into(), ready: true, linux: true, ..SeenNode::default() }))),
        plexus: Seen(Ok(Some(plexus(true)))),
        definitions: vec![definition(Some(LAN))],
        ..Facts::default()
    };
    with_pod(facts, pod)
}

fn with_pod(facts: Facts, pod: SeenPod) -> Facts {
    Facts { networks: PodNetworks::of(&pod), pod, ..facts }
}

fn definition(config: Option<&str>) -> (NadRef, Look) {
    let nad = NadRef::new("default", "lan").unwrap();
    (nad.clone(), Look::Found(Definition::new(nad, config.map(str::to_owned), |_| None)))
}

fn failing(message: &str) -> Facts {
    Facts { events: Seen(Ok(vec![event("FailedCreatePodSandBox", &format!("{PREFIX}{message}"))])), ..facts("lan") }
}

/// Plexus' pod of the node is not ready for `why`.
fn not_ready(why: &str) -> Facts {
    let probe = event("Unhealthy", &format!("Readiness probe failed: not ready: {why}"));
    Facts { plexus: Seen(Ok(Some(plexus(false)))), plexus_events: vec![probe], ..facts("lan") }
}

fn running(status: Option<&str>) -> Facts {
    let before = facts("lan");
    let pod = SeenPod { phase: "Running".into(), status: status.map(str::to_owned), ..before.pod.clone() };
    with_pod(before, pod)
}

#[test]
fn a_pool_that_is_the_cause_is_named() {
    let ipam =
        |text: &str| failing(&format!("network default/lan (net1): plugin macvlan: plexus-ipam: pool lan: {text}"));
    for (text, fault) in [
        ("no address is free, and none was leased: it does not exist", Fault::AddressPool),
        ("no address is free, and none was leased: no block is free: nodes hold all 4", Fault::PoolFull),
        ("the daemon has not confirmed the blocks of this node since the machine started", Fault::AddressPool),
        ("plexusd may not get address pools: conf/components/ipam grants it", Fault::AddressesOff),
    ] {
        assert_eq!(checks(&ipam(text))[0].fault, Some(fault), "{text}");
    }
}

#[test]
fn a_pool_that_gives_the_pod_nothing_is_the_cause_before_any_event() {
    let pool = |namespaces: &[&str]| {
        let ranges = vec![crate::ipam::pool::Range { range: "10.0.0.0/24".into(), ..Default::default() }];
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let spec = crate::ipam::PoolSpec { ranges, namespaces, ..Default::default() };
        crate::ipam::overlap::Claimant { name: "lan".into(), created: 0, spec }
    };
    let why = |pools: &[_]| {
        crate::cli::address_pools::wrong_for(&crate::ipam::PoolName::new("lan").unwrap(), pools, "default")
    };
    assert_eq!(why(&[pool(&[])]), None);
    assert_eq!(why(&[pool(&["web", "default"])]), None);
    let closed = |why: Option<crate::cli::address_pools::NoAddress>, facts: Facts| {
        let closed_pools = vec![(NadRef::new("default", "lan").unwrap(), why.unwrap())];
        checks(&Facts { closed_pools, ..facts })
    };
    for (pools, words, step) in [
        (vec![], "network default/lan: AddressPool lan does not exist", "Create the AddressPool"),
        (
            vec![pool(&["web"])],
            "AddressPool lan gives no address to pods of namespace default",
            "Add the namespace to spec.namespaces",
        ),
    ] {
        let refused = failing("network default/lan (net1): plugin macvlan: plexus-ipam: pool lan: no address is free");
        for facts in [facts("lan"), refused] {
            let found = closed(why(&pools), facts);
            assert_eq!((found[0].mark, found[0].fault), (Mark::Bad, Some(Fault::AddressPool)), "{found:?}");
            assert!(found[0].finding.contains(words), "{found:?}");
            assert!(found[0].remedy.as_ref().is_some_and(|remedy| remedy.starts_with(step)), "{found:?}");
        }
        let attached = r#"[{"name":"default/lan","interface":"net1"}]"#;
        let found = closed(why(&pools), running(Some(attached)));
        assert!(found.iter().all(|check| check.mark != Mark::Bad), "the pod has its address: {found:?}");
    }
}

/// What `lint` finds in a network that no plugin can use, and its step.
fn mistyped() -> Vec<Check> {
    let nad = r#"{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"lan","namespace":"default"},"spec":{"config":"{\"cniVersion\":\"1.0.0\",\"type\":\"macvlan\",\"mode\":\"bridg\"}"}}"#;
    super::super::slips::slips([nad].into_iter())
}

#[test]
fn a_value_that_no_plugin_takes_is_the_cause_and_has_its_step() {
    let refused = "network default/lan (net1): plugin macvlan: unknown mode bridg";
    for facts in [failing(refused), facts("lan")] {
        let first = &checks(&Facts { slips: mistyped(), refused: Some(refused.to_owned()), ..facts })[0];
        assert_eq!((first.mark, first.fault), (Mark::Bad, Some(Fault::NetworkBroken)), "{first:?}");
        assert!(first.remedy.as_ref().unwrap().contains("docs/reference/lint.md#px011"), "{first:?}");
    }
    // A failure with a cause of its own is nearer than what `lint` finds.
    let other =
        failing("network default/lan (net1): plugin macvlan: master bond9: there is no link bond9 on this node");
    let all = checks(&Facts { slips: mistyped(), refused: Some(refused.to_owned()), ..other });
    assert_eq!(all[0].fault, Some(Fault::MasterMissing));
    // What ADD does not refuse is no cause, whatever `lint` calls it: it may not know the settings or pools of the cluster.
    let allowed = checks(&Facts { slips: mistyped(), ..facts("lan") });
    assert!(allowed.iter().all(|check| check.mark != Mark::Bad), "{allowed:?}");
    assert!(all[1].mark != Mark::Bad, "{all:?}");
    // What is attached lacks nothing.
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    for phase in ["Running", "Pending"] {
        let before = running(Some(status));
        let pod = SeenPod { phase: phase.into(), ..before.pod.clone() };
        let facts = Facts { slips: mistyped(), refused: Some(refused.to_owned()), ..with_pod(before, pod) };
        let attached = checks(&facts);
        assert!(attached.iter().all(|check| check.mark != Mark::Bad), "{phase}: {attached:?}");
    }
}

#[test]
fn a_network_that_add_refuses_is_the_cause_without_a_word_of_lint() {
    let refused = Some("network kube-system/own (eth0): plugin bridge: vlan 5000 is no VLAN".to_owned());
    let all = checks(&Facts { refused: refused.clone(), ..facts("lan") });
    assert_eq!((all[0].mark, all[0].network.as_deref()), (Mark::Bad, Some("kube-system/own")), "{all:?}");
    // A pod in the node's network has none of it, and one that has ended needs none.
    for (phase, host_network) in [("Pending", true), ("Succeeded", false), ("Succeeded", true)] {
        let before = facts("lan");
        let pod = SeenPod { phase: phase.into(), host_network, ..before.pod.clone() };
        let facts = Facts { refused: refused.clone(), slips: mistyped(), ..with_pod(before, pod) };
        let bad: Vec<_> =
            checks(&facts).into_iter().filter(|check| check.mark == Mark::Bad).map(|one| one.fault).collect();
        let expected = if phase == "Pending" { vec![Some(Fault::HostNetwork)] } else { Vec::new() };
        assert_eq!(bad, expected, "{phase} {host_network}");
    }
}

#[test]
fn a_default_network_of_the_pods_own_that_does_not_exist_is_named() {
    let nad = NadRef::new("kube-system", "nope").unwrap();
    // Without a namespace the settings of the node decide where it is.
    for (annotation, mark) in [("kube-system/nope", Mark::Bad), ("nope", Mark::Warning)] {
        let before = facts("lan");
        let pod = SeenPod { default_network: Some(annotation.into()), ..before.pod.clone() };
        let facts = Facts { default_network: Some((nad.clone(), Look::Absent(None))), ..with_pod(before, pod) };
        let first = &checks(&facts)[0];
        assert_eq!((first.mark, first.fault), (mark, Some(Fault::NetworkMissing)), "{first:?}");
        assert!(first.finding.contains("kube-system/nope does not exist"), "{first:?}");
    }
}

#[test]
fn the_ten_faults_are_named_first() {
    let table: Vec<(&str, Facts, Fault)> = vec![
        ("primary missing", failing("default network cbr0: /etc/cni/net.d/cbr0 does not exist"), Fault::PrimaryMissing),
        (
            "master missing on one node",
            failing("network default/lan (net1): plugin macvlan: master bond9: there is no link bond9 on this node"),
            Fault::MasterMissing,
        ),
        ("Cilium exclusive", running(None), Fault::Displaced),
        (
            "another plugin is called",
            Facts {
                events: Seen(Ok(vec![event(
                    "FailedCreatePodSandBox",
                    "rpc error: desc = failed to setup network: plugin type=\"flannel\" name=\"cbr0\" failed (add): Link not found",
                )])),
                ..facts("lan")
            },
            Fault::Displaced,
        ),
        (
            "plugin missing",
            failing("network default/lan (net1): plugin sriov is missing: no such file in /opt/cni/bin"),
            Fault::PluginMissing,
        ),
        (
            "NAD broken",
            Facts { definitions: vec![definition(Some("{\"type\":"))], ..facts("lan") },
            Fault::NetworkBroken,
        ),
        ("daemon down", Facts { plexus: Seen(Ok(None)), ..facts("lan") }, Fault::DaemonDown),
        ("old plugin", failing("plexusd sent an unreadable answer: unknown variant"), Fault::OldPlugin),
        (
            "pool full",
            failing("network default/lan (net1): plugin host-local: no address is free in 10.1.2.1-10.1.2.6"),
            Fault::PoolFull,
        ),
        (
            "token refused",
            not_ready("definitions: plexusd may not get, list and watch network-attachment-definitions: grant it"),
            Fault::TokenRefused,
        ),
        (
            "network policy away",
            not_ready(
                "policy: the API server lets the daemon's token change labels: the ValidatingAdmissionPolicy is missing",
            ),
            Fault::PolicyMissing,
        ),
    ];
    for (name, facts, fault) in table {
        let checks = checks(&facts);
        assert_eq!(checks[0].fault, Some(fault), "{name}: {checks:#?}");
        assert!(checks[0].remedy.as_ref().is_some_and(|remedy| remedy.ends_with('.')), "{name}");
        assert!(!checks[0].finding.contains("rpc error") && !checks[0].finding.is_empty(), "{name}: {checks:#?}");
    }
}

#[test]
fn further_causes_are_named_first() {
    let hosts = facts("lan");
    let hosts = with_pod(hosts.clone(), SeenPod { host_network: true, phase: "Running".into(), ..hosts.pod });
    let waits = "it has no node: 0/1 nodes are available".to_owned();
    let homeless = facts("lan");
    let homeless = with_pod(homeless.clone(), SeenPod { node: None, waits: Some(waits), ..homeless.pod });
    let status = r#"[{"name":"cbr0","default":true,"dns":{}}]"#;
    let late = running(None);
    let late = with_pod(late.clone(), SeenPod { ready: true, ..late.pod });
    let late =
        Facts { events: failing("network default/lan (net1): plugin host-local: no address is free").events, ..late };
    let imageless = facts("lan");
    let waits = "container c: the image nosuch cannot be pulled: ImagePullBackOff: Back-off pulling image \"nosuch\""
        .to_owned();
    let imageless = with_pod(imageless.clone(), SeenPod { waits: Some(waits), ..imageless.pod });
    let table = [
        (late, Fault::Displaced),
        (imageless, Fault::ImageMissing),
        (facts("LAN"), Fault::Annotation),
        (hosts, Fault::HostNetwork),
        (homeless, Fault::NoNode),
        (running(Some(status)), Fault::StatusMissing),
        (
            Facts { definitions: vec![(NadRef::new("default", "lan").unwrap(), Look::Absent(None))], ..facts("lan") },
            Fault::NetworkMissing,
        ),
        (not_ready("installation: the runtime takes 05-cilium.conflist before 00-plexus.conflist"), Fault::Displaced),
        (
            Facts { events: Seen(Ok(vec![event("NetworksLeftOut", "being uninstalled")])), ..facts("lan") },
            Fault::Draining,
        ),
    ];
    for (facts, fault) in table {
        let checks = checks(&facts);
        assert_eq!(checks[0].fault, Some(fault), "{checks:#?}");
    }
}

#[test]
fn a_pod_that_is_well_has_no_cause() {
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let mut well = running(Some(status));
    // A failure of before is none now.
    well.events = failing("plexusd is not running").events;
    let found = checks(&well);
    assert!(crate::cli::diagnosis::are_well(&found), "{found:#?}");
    assert!(found.iter().any(|check| check.finding.contains("an earlier attempt failed: plexusd is not running")));
    // Nor is Plexus' pod the cause of anything, when it ends later.
    well.plexus = Seen(Ok(None));
    assert!(crate::cli::diagnosis::are_well(&checks(&well)));
}

#[test]
fn one_fault_is_one_line_and_the_best_step_is_first() {
    let of = |facts: &Facts| -> Vec<Check> { checks(facts).into_iter().filter(Check::is_finding).collect() };
    let lan = NadRef::new("default", "lan").unwrap();
    let absent = Facts {
        definitions: vec![(lan, Look::Absent(Some(NadRef::new("default", "lam").unwrap())))],
        ..failing("network default/lan: the NetworkAttachmentDefinition does not exist")
    };
    let found = of(&absent);
    assert!(found.len() == 1 && found[0].finding.ends_with("did you mean default/lam?"), "{found:#?}");
    let unread = Facts {
        networks: PodNetworks::default(),
        ..failing("annotation k8s.v1.cni.cncf.io/networks of pod default/web: not JSON")
    };
    let unread = with_pod(unread.clone(), SeenPod { networks: Some("[{".into()), ..unread.pod });
    let found = of(&unread);
    assert!(found.len() == 1 && found[0].fault == Some(Fault::Annotation), "{found:#?}");
    assert!(checks(&unread).iter().all(|check| !check.finding.contains("0 networks")), "{unread:#?}");
    // A message without a known cause is behind one that has a remedy of its own.
    let slip = Facts { definitions: vec![definition(Some("{"))], ..failing("a dragon") };
    assert_eq!(checks(&slip)[0].fault, Some(Fault::NetworkBroken));
    // What only the node knows is not asserted.
    let empty = checks(&Facts { definitions: vec![definition(None)], ..facts("lan") });
    assert!(empty.iter().any(|check| check.check == "network" && check.mark == crate::cli::diagnosis::Mark::Unseen));
}

#[test]
fn what_is_attached_lacks_nothing_when_its_network_breaks_later() {
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let broken = Facts { definitions: vec![definition(Some("{"))], ..running(Some(status)) };
    assert!(crate::cli::diagnosis::are_well(&checks(&broken)));
}

#[test]
fn a_node_without_plexus_for_ever_is_no_missing_pod() {
    let windows = SeenNode { name: "n1".into(), ready: true, linux: false, ..SeenNode::default() };
    for (node, words) in [(Some(windows), "runs Windows"), (None, "has no node n1")] {
        let found = checks(&Facts { node: Seen(Ok(node)), plexus: Seen(Ok(None)), ..facts("lan") });
        assert!(found[0].fault == Some(Fault::NoNode) && found[0].finding.contains(words), "{found:#?}");
        assert!(found.iter().all(|check| !check.finding.contains("Plexus pod")), "{found:#?}");
    }
    let nowhere = facts("lan");
    let nowhere = with_pod(nowhere.clone(), SeenPod { node: None, ..nowhere.pod });
    let found = checks(&Facts { node: Seen(Ok(None)), ..nowhere });
    assert!(found[0].finding.starts_with("it has no node, and no scheduler"), "{found:#?}");
}

#[test]
fn a_pod_that_has_ended_lacks_nothing() {
    let missing = (NadRef::new("default", "lan").unwrap(), Look::Absent(None));
    for phase in ["Succeeded", "Failed"] {
        let before = Facts { definitions: vec![missing.clone()], ..facts("lan") };
        let ended = with_pod(before.clone(), SeenPod { phase: phase.into(), ..before.pod });
        let found = checks(&ended);
        assert!(crate::cli::diagnosis::are_well(&found), "{found:#?}");
        assert!(found.iter().any(|check| check.finding.starts_with("the pod has ended")), "{found:#?}");
    }
}

#[test]
fn an_interface_with_another_name_is_told() {
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let before = running(Some(status));
    let renamed = with_pod(before.clone(), SeenPod { networks: Some("lan@foo0".into()), ..before.pod });
    let found = checks(&renamed);
    assert!(found[0].finding.contains("default/lan as foo0 (it is attached as net1)"), "{found:#?}");
}

#[test]
fn who_lacks_a_right_is_told_whom_to_ask() {
    let refused = || "nodes \"n1\" is forbidden: User \"t\" cannot get resource \"nodes\"".to_owned();
    let found = checks(&Facts { node: Seen(Err(refused())), ..facts("lan") });
    let node = found.iter().find(|check| check.check == "node").unwrap();
    assert!(node.remedy.as_ref().is_some_and(|remedy| remedy.starts_with("Ask an administrator")), "{node:?}");
}

#[test]
fn an_uninstallation_is_recognised() {
    let drain = SeenPod { uninstalls: true, ..plexus(false) };
    let done = SeenPod { uninstalls: true, ..plexus(true) };
    for (pod, words) in [(drain, "is being uninstalled from node n1"), (done, "is uninstalled from node n1")] {
        let found = checks(&Facts { plexus: Seen(Ok(Some(pod))), ..facts("lan") });
        assert_eq!(found[0].fault, Some(Fault::Draining), "{found:#?}");
        assert!(found[0].finding.contains(words), "{found:#?}");
        // Nobody waits for what is over.
        let waits = found[0].remedy.as_ref().is_some_and(|remedy| remedy.starts_with("Wait for its end"));
        assert_eq!(waits, words.contains("being"), "{found:#?}");
    }
    let over = SeenPod { uninstalls: true, ..plexus(true) };
    let found = checks(&Facts { plexus: Seen(Ok(Some(over))), ..running(None) });
    let status = found.iter().find(|check| check.check == STATUS).unwrap();
    assert!(status.finding.contains("as every pod that starts during an uninstallation"), "{status:?}");
    assert!(status.remedy.as_ref().is_some_and(|remedy| remedy.contains("delete the pod")), "{status:?}");
    let gone = Facts { plexus: Seen(Ok(None)), is_installed_nowhere: true, ..facts("lan") };
    let found = checks(&gone);
    assert!(found[0].finding.contains("the cluster has no Plexus pod"), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|remedy| remedy.contains("install Plexus")), "{found:#?}");
}

#[test]
fn a_node_that_is_down_is_before_its_plexus_pod() {
    let down = SeenNode {
        name: "n1".into(),
        linux: true,
        waits: Some("Kubelet stopped posting node status.".into()),
        ..SeenNode::default()
    };
    let found = checks(&Facts { node: Seen(Ok(Some(down))), ..not_ready("x") });
    assert_eq!(found[0].fault, Some(Fault::NodeNotReady), "{found:#?}");
}

#[test]
fn what_cannot_be_seen_is_named() {
    let refused = || Err("the events of pod web: forbidden".to_owned());
    let blind = Facts { events: Seen(refused()), node: Seen(Err("node n1: forbidden".into())), ..facts("lan") };
    let unseen: Vec<String> = checks(&blind)
        .into_iter()
        .filter(|check| check.mark == crate::cli::diagnosis::Mark::Unseen)
        .map(|check| check.finding)
        .collect();
    assert!(unseen.iter().any(|finding| finding.contains("the events of pod web")), "{unseen:?}");
    assert!(unseen.iter().any(|finding| finding.contains("node n1")), "{unseen:?}");
}

#[test]
fn a_warning_about_a_network_hides_nothing_that_is_bad() {
    let slip = Check::warning("network", Fault::Other, "network default/lan: macvlan spans nodes");
    let slip = Check { network: Some("default/lan".to_owned()), ..slip };
    let failed = failing("network default/lan (net1): plugin macvlan: there is no link bond9");
    let found = checks(&Facts { slips: vec![slip], ..failed });
    assert!(found[0].mark == Mark::Bad && found[0].finding.contains("no link bond9"), "{found:#?}");
    assert_eq!(found[1].mark, Mark::Warning);
}

/// Of a node's document only what is about the pod counts: by network, and by UID.
#[test]
fn of_a_node_only_what_concerns_the_pod_counts() {
    let before = facts("lan");
    let facts = with_pod(before.clone(), SeenPod { kubelet_uid: "now".into(), ..before.pod });
    let record = |finding: &str, uid: Option<&str>| Check {
        pod_uid: uid.map(str::to_owned),
        ..Check::warning("record", Fault::Debt, finding)
    };
    let network = |finding: &str| Check::bad("network", Fault::MasterMissing, finding);
    let table = [
        (record("of this pod", Some("now")), true),
        (record("of an earlier pod with its name", Some("earlier")), false),
        (record("of a runtime that passes no UID", None), true),
        (network("there is no link eth9").of_network("default/lan"), true),
        (network("there is no link eth9").of_network("default/other"), false),
        // A former release names the network in the finding only.
        (network("default/lan: there is no link eth9"), true),
        (network("default/other: there is no link eth9"), false),
        (Check::bad("daemon", Fault::DaemonDown, "plexusd is not running"), true),
        // It was asked from here.
        (Check::unseen(API_SERVER, "no kubeconfig"), false),
    ];
    for (check, counts) in table {
        assert_eq!(of_pod(vec![check.clone()], &facts).len(), usize::from(counts), "{check:?}");
    }
}

#[test]
fn every_slip_of_a_network_is_told_the_unknown_key_first() {
    let nad = r#"{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"lan","namespace":"default"},"spec":{"config":"{\"cniVersion\":\"1.0.0\",\"type\":\"macvlan\",\"mastr\":\"eth1\"}"}}"#;
    let slips = crate::cli::why::slips::slips([nad].into_iter());
    let told = |found: &[Check]| -> Vec<String> {
        found.iter().filter(|check| check.mark == Mark::Warning).map(|check| check.finding.clone()).collect()
    };
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let mut found = checks(&Facts { slips, ..running(Some(status)) });
    let first = told(&found);
    assert!(first.len() == 2 && first[0].contains("did you mean \"master\"?"), "{first:?}");
    assert!(first[1].contains("has no master"), "{first:?}");
    // The node says the same of the key: one line.
    let of_node = Check::warning("network", Fault::NetworkBroken, "default/lan: unknown key mastr");
    add(&mut found, vec![of_node.of_network("default/lan")]);
    assert_eq!(told(&found), first);
}

#[test]
fn an_exact_cause_is_before_what_may_have_happened() {
    let mut found = checks(&running(None));
    assert_eq!(found[0].check, STATUS);
    let finding = "the runtime takes /etc/cni/net.d/00-a.conflist before 00-plexus.conflist";
    add(&mut found, vec![Check::bad("configuration", Fault::Displaced, finding)]);
    let found = crate::cli::diagnosis::worst_first(found);
    assert_eq!((found[0].finding.as_str(), found[1].check.as_ref()), (finding, STATUS));
}

#[test]
fn what_the_record_has_as_attached_only_lacks_its_status() {
    let record = |network: &str| Check::good("record", format!("{network} (net1) is attached")).of_network(network);
    let settled = |records: Vec<Check>| {
        let running = running(None);
        let mut found = checks(&running);
        found.extend(records);
        settle_status(&running, &mut found);
        found.into_iter().find(|check| check.check == STATUS).unwrap()
    };
    let attached = settled(vec![record("default/lan")]);
    assert_eq!((attached.mark, attached.fault), (Mark::Bad, Some(Fault::StatusMissing)));
    assert!(attached.finding.contains("not yet written"), "{attached:?}");
    assert!(!attached.remedy.unwrap().contains("elete"));
    // A record of another network proves nothing of this one.
    assert_eq!(settled(vec![record("default/other")]).fault, Some(Fault::Displaced));
}

#[test]
fn a_near_type_is_named_first() {
    let found = checks(&failing("network default/lan (net1): plugin mcvlan is missing: no such file in /opt/cni/bin"));
    assert!(found[0].finding.ends_with("did you mean \"macvlan\"?"), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|remedy| remedy.starts_with("Correct the type")), "{found:#?}");
    let known = checks(&failing("network default/lan (net1): plugin sriov is missing: no such file in /opt/cni/bin"));
    assert!(known[0].finding.ends_with("in /opt/cni/bin"), "{known:#?}");
}

#[test]
fn the_log_of_a_container_that_ends_is_the_next_step() {
    let waits = "container plexusd: CrashLoopBackOff: back-off 40s; it last ended with exit code 2 (Error)".to_owned();
    let crashed = SeenPod { waits: Some(waits), ..plexus(false) };
    let found = checks(&Facts { plexus: Seen(Ok(Some(crashed))), ..facts("lan") });
    let remedy = found[0].remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("kubectl -n kube-system logs plexus-x -c plexusd --previous"), "{found:#?}");
}

/// From a workstation: what the node's `doctor` found is before the error that the old plugin gave.
#[test]
fn an_old_plugin_is_before_what_it_does_not_understand() {
    let failed = failing("network default/lan (net1): plugin bridge: unknown key \"vlanTrunk\"");
    let mut found = checks(&failed);
    assert_eq!(found[0].fault, Some(Fault::NetworkBroken), "{found:#?}");
    let finding = "/opt/cni/bin/plexus has release 0.0.9, and the daemon has 0.1.0";
    add(&mut found, of_pod(vec![Check::bad("plugin", Fault::OldPlugin, finding)], &failed));
    let found = worst_first(found);
    assert_eq!((found[0].finding.as_str(), found[1].fault), (finding, Some(Fault::NetworkBroken)), "{found:#?}");
}

#[test]
fn a_daemon_set_without_pods_is_installed() {
    let refused = "Error creating: pods \"plexus-x\" is forbidden: violates PodSecurity \"baseline:latest\"";
    let set =
        SeenDaemonSet { namespace: "net".into(), name: "plexus".into(), warning: Some(event("FailedCreate", refused)) };
    let found = checks(&Facts { plexus: Seen(Ok(None)), daemon_set: Some(set), ..facts("lan") });
    assert!(found[0].finding.contains("violates PodSecurity"), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("pod-security.kubernetes.io")), "{found:#?}");
}

#[test]
fn a_pod_that_cannot_start_for_another_reason_has_that_cause() {
    let no_volume = "MountVolume.SetUp failed for volume \"v\" : configmap \"y\" not found";
    let normal = |reason: &str| SeenEvent { kind: "Normal".into(), ..event(reason, "x") };
    let of = |events: Vec<SeenEvent>| checks(&Facts { events: Seen(Ok(events)), ..facts("lan") });
    let found = of(vec![event("FailedScheduling", "no node"), normal("Scheduled"), event("FailedMount", no_volume)]);
    assert!(found[0].mark == Mark::Bad && found[0].finding == format!("FailedMount: {no_volume}"), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("not about a network")), "{found:#?}");
    assert!(found.iter().all(|check| !check.finding.contains("no failed attempt")), "{found:#?}");
    let known = of(vec![event("NetworkNotReady", "network is not ready: cni plugin not initialized")]);
    assert_eq!(known[0].fault, Some(Fault::PrimaryMissing), "{known:#?}");
    // What is over, and what another check tells.
    let over = vec![event("FailedMount", no_volume), normal("Pulling")];
    let created_since = vec![event("NoNetworkFound", "cannot find a network-attachment-definition (lan)")];
    for events in [over, created_since, vec![event("FailedScheduling", "no node"), normal("Scheduled")]] {
        let found = of(events);
        assert!(crate::cli::diagnosis::are_well(&found), "{found:#?}");
    }
    let sandbox = event("FailedCreatePodSandBox", &format!("{PREFIX}plexusd is not running"));
    let found = of(vec![event("FailedMount", no_volume), sandbox]);
    assert!(found.iter().all(|check| !check.finding.contains("FailedMount")), "{found:#?}");
}

#[test]
fn a_pod_that_lost_its_sandbox_has_the_cause_of_now_and_not_its_former_networks() {
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let lost = |phase: &str, lacks_sandbox| {
        let before =
            failing("network default/lan (net1): plugin macvlan: master eth9: there is no link eth9 on this node");
        let pod = SeenPod { phase: phase.into(), status: Some(status.into()), lacks_sandbox, ..before.pod.clone() };
        with_pod(before, pod)
    };
    for phase in ["Running", "Pending"] {
        let found = checks(&lost(phase, true));
        assert_eq!((found[0].mark, found[0].fault), (Mark::Bad, Some(Fault::MasterMissing)), "{found:#?}");
        assert!(found.iter().all(|check| !check.finding.contains("is attached")), "{found:#?}");
        assert!(crate::cli::diagnosis::are_well(&checks(&lost(phase, false))), "an earlier attempt is no cause");
    }
    let gone = Facts {
        definitions: vec![(NadRef::new("default", "lan").unwrap(), Look::Absent(None))],
        ..lost("Running", true)
    };
    assert_eq!(checks(&gone)[0].fault, Some(Fault::NetworkMissing));
}

#[test]
fn what_the_api_server_refuses_another_plugin_is_not_mended_by_plexus_roles() {
    for (kind, why) in [
        ("calico", "error getting ClusterInformation: connection is unauthorized: Unauthorized"),
        ("whereabouts", "ippools is forbidden: User \"system:serviceaccount:kube-system:whereabouts\" cannot list"),
    ] {
        let first = &checks(&failing(&format!("network default/lan (net1): plugin {kind}: {why}")))[0];
        assert_eq!((first.mark, first.fault), (Mark::Bad, Some(Fault::Other)), "{first:?}");
        assert!(first.remedy.as_ref().unwrap().contains(&format!("rights of the plugin {kind}")), "{first:?}");
    }
    for own in [
        "network default/lan: plexusd may not get networks: networks is forbidden: User \"plexus\"",
        "network default/lan (net1): plugin macvlan: plexus-ipam: pool lan: no address is free, and none was leased: addressblocks is forbidden: User \"plexus\" cannot create",
    ] {
        assert_eq!(checks(&failing(own))[0].fault, Some(Fault::TokenRefused), "{own}");
    }
}

/// The kubelet mounts volumes before it asks for a sandbox, and plain pods start without plexusd.
#[test]
fn plexus_in_trouble_is_no_cause_of_what_does_not_need_it() {
    let no_volume = "MountVolume.SetUp failed for volume \"v\" : configmap \"y\" not found";
    let crashed = "container plexusd: CrashLoopBackOff: back-off 40s; it last ended with exit code 2 (Error)";
    let crashed = || Seen(Ok(Some(SeenPod { waits: Some(crashed.to_owned()), ..plexus(false) })));
    let of_plexus = |found: &[Check]| found.iter().find(|check| check.check == "plexus pod").unwrap().mark;
    let events = Seen(Ok(vec![event("FailedMount", no_volume)]));
    let found = checks(&Facts { plexus: crashed(), events, ..facts("lan") });
    assert_eq!(found[0].finding, format!("FailedMount: {no_volume}"), "{found:#?}");
    assert_eq!(of_plexus(&found), Mark::Warning);
    let found = checks(&Facts { plexus: crashed(), ..facts("lan") });
    assert_eq!((of_plexus(&found), found[0].fault), (Mark::Bad, Some(Fault::DaemonDown)), "{found:#?}");
    let plain = Facts { plexus: crashed(), ..facts("lan") };
    let plain = with_pod(plain.clone(), SeenPod { networks: None, ..plain.pod });
    let found = checks(&plain);
    assert!(crate::cli::diagnosis::are_well(&found), "{found:#?}");
    assert_eq!(of_plexus(&found), Mark::Warning);
}

#[test]
fn a_pod_that_ended_is_told_as_such_with_its_reason() {
    let why = "Evicted: The node was low on resource: memory.";
    let before = facts("lan");
    let pod = SeenPod { phase: "Failed".into(), why_ended: Some(why.into()), ..before.pod.clone() };
    let down = SeenNode { name: "n1".into(), linux: true, ..SeenNode::default() };
    let ended = Facts { node: Seen(Ok(Some(down))), ..with_pod(before, pod) };
    assert_eq!(ended.ended().unwrap(), format!("the pod has ended (Failed: {why}): it has no network any more"));
    let found = checks(&ended);
    assert!(crate::cli::diagnosis::are_well(&found), "nothing stops what is over: {found:#?}");
    assert_eq!(facts("lan").ended(), None);
}

#[test]
fn a_pod_that_cannot_be_deleted_has_the_plugin_that_failed() {
    let killing = |quote: &str, rest: &str| {
        let desc = format!(
            "failed to destroy network for sandbox {quote}c1{quote}: plugin type={quote}plexus{quote} name={quote}cbr0{quote} failed (delete): {rest}"
        );
        format!(
            "error killing pod: failed to \"KillPodSandbox\" for \"u\" with KillPodSandboxError: \"rpc error: code = Unknown desc = {desc}\""
        )
    };
    let status = r#"[{"name":"cbr0","default":true,"dns":{}},{"name":"default/lan","interface":"net1","dns":{}}]"#;
    let answer = "network default/lan (net1): plugin example: the storage system does not answer";
    for quote in ["\"", "\\\""] {
        let before = running(Some(status));
        let deleting = SeenPod { deleting: true, ..before.pod.clone() };
        let events = Seen(Ok(vec![event("FailedKillPod", &killing(quote, answer))]));
        let found = checks(&Facts { events: events.clone(), ..with_pod(before, deleting) });
        assert_eq!((found[0].mark, found[0].fault), (Mark::Bad, Some(Fault::Debt)), "{found:#?}");
        assert_eq!(found[0].finding, format!("the pod cannot be deleted: {answer}"), "{found:#?}");
        assert_eq!(found[0].network.as_deref(), Some("default/lan"));
        assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("the kubelet repeats DEL by itself")));
        // A pod that nobody deletes is not stuck.
        let found = checks(&Facts { events, ..running(Some(status)) });
        assert!(crate::cli::diagnosis::are_well(&found), "{found:#?}");
    }
}

#[test]
fn a_node_that_gives_no_reason_is_told_as_such() {
    for waits in [None, Some(String::new())] {
        let down = SeenNode { name: "n1".into(), linux: true, waits, ..SeenNode::default() };
        let found = checks(&Facts { node: Seen(Ok(Some(down))), ..facts("lan") });
        assert_eq!(found[0].finding, "n1 is not ready: its conditions have no reason");
    }
}

#[test]
fn an_annotation_that_cannot_be_read_is_one_line_with_the_best_step() {
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","annotations":{"k8s.v1.cni.cncf.io/networks":"[{\"name\":\"lan\",\"mac\":\"zz\"}]"}},"spec":{"containers":[]}}"#;
    let slips = crate::cli::why::slips::slips([pod].into_iter());
    assert_eq!(slips.len(), 1, "{slips:#?}");
    let found = checks(&Facts { slips, ..facts(r#"[{"name":"lan","mac":"zz"}]"#) });
    let told: Vec<&Check> = found.iter().filter(|check| check.finding.contains("is not a hardware address")).collect();
    assert!(told.len() == 1 && told[0].mark == Mark::Bad, "{found:#?}");
    assert!(told[0].remedy.as_ref().is_some_and(|step| step.starts_with("Write six bytes")), "{told:#?}");
}

#[test]
fn a_missing_crd_is_the_cause_and_not_the_missing_network() {
    let nad = NadRef::new("default", "lan").unwrap();
    let waits = failing("network default/lan does not exist");
    let found = checks(&Facts { definitions: vec![(nad, Look::NoCrd)], ..waits });
    assert_eq!((found[0].mark, found[0].fault), (Mark::Bad, Some(Fault::CrdMissing)), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("plexusctl crd | kubectl apply")), "{found:#?}");
    assert!(found.iter().all(|check| check.fault != Some(Fault::NetworkMissing)), "{found:#?}");
}
