//! A cluster that is well, and one fault at a time.

use super::*;
use crate::cli::diagnosis::Mark;
use crate::cli::status::whereabouts::Whereabouts;
use crate::cluster::{SeenDaemonSet, SeenEvent, SeenNode, SeenPod, SeenPolicy};
use crate::nad::Definition;

fn plexus(node: &str, ready: bool) -> SeenPod {
    SeenPod {
        namespace: "kube-system".into(),
        name: format!("plexus-{node}"),
        node: Some(node.into()),
        ready,
        images: vec!["x/plexus:v1".into()],
        ..SeenPod::default()
    }
}

fn event(reason: &str, message: impl Into<String>) -> SeenEvent {
    SeenEvent { reason: reason.into(), message: message.into(), ..SeenEvent::default() }
}

fn probe(why: &str) -> SeenEvent {
    event("Unhealthy", format!("Readiness probe failed: not ready: {why}"))
}

fn node(name: &str) -> SeenNode {
    SeenNode { name: name.into(), ready: true, linux: true, ..SeenNode::default() }
}

fn policies(is_as_shipped: bool) -> Vec<SeenPolicy> {
    POLICIES.map(|name| SeenPolicy { name: name.to_owned(), is_as_shipped }).to_vec()
}

fn well() -> Facts {
    let nad = NadRef::new("default", "lan").unwrap();
    let config = r#"{"cniVersion":"1.0.0","type":"bridge"}"#.to_owned();
    Facts {
        nodes: vec![node("n2"), node("n1"), SeenNode { linux: false, ..node("windows") }],
        plexus: vec![plexus("n1", true), plexus("n2", true)],
        events: vec![Vec::new(), Vec::new()],
        definitions: Ok(vec![Definition::new(nad, Some(config), |_| None)]),
        address_pools: Ok(Vec::new()),
        whereabouts: Ok(Whereabouts::Away),
        policies: Ok(policies(true)),
        pods: Ok(Vec::new()),
        daemon_set: Ok(None),
        failures: Ok(Vec::new()),
        examinations: None,
    }
}

#[test]
fn a_cluster_that_is_well_has_no_fault() {
    let checks = checks(&well());
    assert!(checks.iter().all(|check| check.mark == Mark::Good), "{checks:#?}");
    let rows = rows::rows(&well());
    assert_eq!(rows.iter().map(|row| row.node.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
    assert!(rows::table(&rows).render(false).contains("v1"));
}

#[test]
fn a_network_whose_pool_gives_no_address_is_named() {
    let config = r#"{"cniVersion":"1.0.0","type":"sriov","ipam":{"type":"plexus-ipam","pool":"lam"}}"#;
    let nad = Definition::new(NadRef::new("default", "lan").unwrap(), Some(config.into()), |_| None);
    let first =
        |address_pools| checks(&Facts { definitions: Ok(vec![nad.clone()]), address_pools, ..well() })[0].clone();
    let pool = |range: &str| {
        let ranges = vec![crate::ipam::pool::Range { range: range.into(), ..Default::default() }];
        let spec = crate::ipam::PoolSpec { ranges, ..Default::default() };
        Ok(vec![crate::ipam::overlap::Claimant { name: "lam".into(), created: 0, spec }])
    };
    let missing = first(Ok(Vec::new()));
    assert_eq!((missing.mark, missing.fault), (Mark::Bad, Some(Fault::AddressPool)));
    assert!(missing.finding.contains("default/lan: AddressPool lam does not exist"), "{missing:?}");
    let step = missing.remedy.as_deref();
    assert_eq!(step, Some("Create the AddressPool, or correct the key pool of the network."));
    assert!(first(pool("10.0.0.1/24")).finding.contains("host bits"));
    assert_eq!(first(pool("10.0.0.0/24")).mark, Mark::Good);
    assert_eq!(first(Err("the AddressPools: no answer".into())).mark, Mark::Unseen);
    let unknown = first(Err("the AddressPools: its CRD is not installed".into()));
    assert_eq!((unknown.mark, unknown.fault), (Mark::Bad, Some(Fault::CrdMissing)));
    assert!(unknown.remedy.as_ref().is_some_and(|step| step.contains("-k crd/addresses")), "{unknown:?}");
}

#[test]
fn a_running_whereabouts_is_told_where_networks_have_its_sections() {
    let config = r#"{"cniVersion":"1.0.0","type":"sriov","ipam":{"type":"whereabouts","range":"10.0.0.0/24"}}"#;
    let nad = Definition::new(NadRef::new("default", "lan").unwrap(), Some(config.into()), |_| None);
    let seen = |whereabouts| {
        let checks = checks(&Facts { definitions: Ok(vec![nad.clone()]), whereabouts, ..well() });
        checks.into_iter().find(|check| check.check == "whereabouts")
    };
    assert!(seen(Ok(Whereabouts::Away)).is_none());
    let alone = seen(Ok(Whereabouts::Alone)).unwrap();
    assert!(
        alone.mark == Mark::Good && alone.finding.contains("1 network has addresses of whereabouts (default/lan)"),
        "{alone:?}"
    );
    let replaced = seen(Ok(Whereabouts::Replaced)).unwrap();
    assert_eq!((replaced.mark, replaced.fault), (Mark::Bad, Some(Fault::Whereabouts)));
    assert!(replaced.remedy.unwrap().ends_with("docs/how-to/from-whereabouts.md."));
    let hidden = seen(Err("the resources of whereabouts: x is forbidden: User \"y\"".into())).unwrap();
    assert!(hidden.mark == Mark::Unseen && hidden.remedy.is_some(), "{hidden:?}");
}

#[test]
fn each_fault_is_named_first() {
    let broken = Definition::new(NadRef::new("default", "bad").unwrap(), Some("{".into()), |_| None);
    let waiting = SeenPod { networks: Some("lan".into()), phase: "Pending".into(), ..plexus("n1", false) };
    let not_ready = |why: &str| Facts {
        plexus: vec![plexus("n1", true), plexus("n2", false)],
        events: vec![Vec::new(), vec![probe(why)]],
        ..well()
    };
    let down = SeenNode { ready: false, waits: Some("Kubelet stopped posting node status.".into()), ..node("n2") };
    let gone = SeenPod { uninstalls: true, ..plexus("n2", true) };
    let leaving = SeenPod { uninstalls: true, ..plexus("n2", false) };
    let with = |pod: SeenPod| Facts { plexus: vec![plexus("n1", true), pod], ..well() };
    let remedy = |pod: &SeenPod| {
        let facts = Facts { plexus: vec![plexus("n1", true), pod.clone()], ..well() };
        checks(&facts)[0].remedy.clone().unwrap()
    };
    assert!(remedy(&leaving).starts_with("Wait for its end") && remedy(&gone).starts_with("Delete the objects"));
    let table = [
        (Facts { nodes: vec![node("n1"), down], ..with(plexus("n2", false)) }, Fault::NodeNotReady),
        (with(gone), Fault::Draining),
        (with(leaving), Fault::Draining),
        (Facts { nodes: Vec::new(), ..well() }, Fault::NoNode),
        (Facts { plexus: Vec::new(), events: Vec::new(), ..well() }, Fault::NotInstalled),
        (Facts { plexus: vec![plexus("n1", true)], events: vec![Vec::new()], ..well() }, Fault::DaemonDown),
        (not_ready("installation: the runtime takes 05-cilium.conflist"), Fault::Displaced),
        (not_ready("definitions: plexusd may not get, list and watch them"), Fault::TokenRefused),
        (Facts { policies: Ok(Vec::new()), ..well() }, Fault::PolicyMissing),
        (Facts { definitions: Ok(vec![broken]), ..well() }, Fault::NetworkBroken),
        (Facts { pods: Ok(vec![waiting]), ..well() }, Fault::StatusMissing),
    ];
    for (facts, fault) in table {
        assert_eq!(checks(&facts)[0].fault, Some(fault), "{facts:#?}");
    }
    // Nothing is to be guarded where no daemon is.
    let left = Facts { plexus: Vec::new(), events: Vec::new(), policies: Ok(Vec::new()), ..well() };
    assert!(checks(&left).iter().all(|check| check.check != "policies"), "{:#?}", checks(&left));
    // Another release has other policies: whether they are weaker than its own is not known here.
    let weak = || Facts { policies: Ok(policies(false)), ..well() };
    assert_eq!(checks(&weak())[0].fault, Some(Fault::PolicyMissing));
    let of = |image: &str| {
        let pods = ["n1", "n2"].map(|node| SeenPod { images: vec![image.into()], ..plexus(node, true) });
        checks(&Facts { plexus: pods.to_vec(), ..weak() }).into_iter().find(|check| check.check == "policies").unwrap()
    };
    let other = of("x/plexus:v0.0.9");
    assert!(other.mark == Mark::Unseen && other.finding.contains("of another release (v0.0.9"), "{other:?}");
    for own in [format!("x/plexus:v{RELEASE}"), "x/plexus:latest".to_owned(), "x/plexus:v1".to_owned()] {
        assert_eq!(of(&own).mark, Mark::Bad, "{own}");
    }
    let blind = Facts { policies: Err("forbidden".into()), ..well() };
    assert_eq!(checks(&blind)[0].mark, Mark::Unseen);
}

/// Each step of a pod of Plexus that does not run yet has its words, and what to do.
#[test]
fn what_a_pod_of_plexus_waits_for_is_told() {
    let first = |pod: SeenPod, events: Vec<SeenEvent>| {
        let plexus = vec![plexus("n1", true), pod];
        let facts = Facts { plexus, events: vec![Vec::new(), events], ..well() };
        checks(&facts)[0].clone()
    };
    let waits = |why: &str| SeenPod { waits: Some(why.into()), ..plexus("n2", false) };
    let created = || plexus("n2", false);
    let unpulled = "container install: the image x/plexus:v1 cannot be pulled: ErrImagePull: x/plexus:v1: not found";
    let crashed = "container plexusd: CrashLoopBackOff: back-off; it last ended with exit code 2 (Error): no such file";
    let containers = ["install", "plexusd"].map(str::to_owned).to_vec();
    let installs = SeenPod { running: vec!["install".into()], containers, ..created() };
    let runs = SeenPod { running: vec!["plexusd".into()], ..created() };
    let no_volume = "MountVolume.SetUp failed for volume \"token\": configmap \"kube-root-ca.crt\" not found";
    let table = [
        (first(waits(unpulled), vec![]), Fault::ImageMissing, unpulled, "Bring the image to the node"),
        (
            first(created(), vec![event("Pulling", "Pulling image \"x/plexus:v1\"")]),
            Fault::DaemonDown,
            "it waits until the image x/plexus:v1 is pulled",
            "Wait until the node has pulled",
        ),
        (first(created(), vec![]), Fault::DaemonDown, "ContainerCreating", "Wait until the node has created them"),
        (first(created(), vec![event("FailedMount", no_volume)]), Fault::DaemonDown, no_volume, "Correct what"),
        (
            first(installs, vec![]),
            Fault::DaemonDown,
            "its container install has not ended yet",
            "kubectl -n kube-system logs plexus-n2 -c install",
        ),
        (first(runs, vec![]), Fault::DaemonDown, "have started, and are not ready", "Look at the Plexus pod"),
        (first(waits(crashed), vec![]), Fault::DaemonDown, crashed, "logs plexus-n2 -c plexusd --previous"),
    ];
    let unscheduled = waits("it has no node: 0/2 nodes are available: 1 Insufficient memory");
    let found = first(SeenPod { node: None, ..unscheduled }, vec![]);
    assert!(found.fault == Some(Fault::NoNode) && found.finding.ends_with("Insufficient memory"), "{found:#?}");
    for (found, fault, finding, remedy) in table {
        assert!(found.mark == Mark::Bad && found.fault == Some(fault), "{found:#?}");
        assert!(found.finding.starts_with("node n2: ") && found.finding.contains(finding), "{found:#?}");
        assert!(found.remedy.as_ref().is_some_and(|said| said.contains(remedy)), "{found:#?}");
    }
}

#[test]
fn a_plugin_of_another_release_is_named_beside_the_versions() {
    let examined = |plugin: &str| {
        let document = format!(r#"{{"plugin":"{plugin}","daemon":"0.1.0","checks":[]}}"#);
        let examined = crate::cni::json::parse(&document).map_err(|e| e.to_string());
        let facts = Facts { examinations: Some([("n1".to_owned(), examined)].into()), ..well() };
        checks(&facts).into_iter().find(|check| check.check == "versions").unwrap()
    };
    assert_eq!(examined("0.1.0").mark, Mark::Good);
    let other = examined("0.0.0");
    assert!(other.mark == Mark::Bad && other.finding.contains("node n1 has the plugin of release 0.0.0"), "{other:?}");
}

/// Also where no pod lacks a network, and no node was asked.
#[test]
fn a_node_with_an_older_release_than_this_program_is_named() {
    let of = |versions: [&str; 2]| -> Vec<(Mark, String)> {
        let image = |version: &str| vec![format!("x/plexus:{version}")];
        let pods = ["n1", "n2"].into_iter().zip(versions);
        let plexus = pods.map(|(node, version)| SeenPod { images: image(version), ..plexus(node, true) }).collect();
        let found = checks(&Facts { plexus, ..well() }).into_iter().filter(|check| check.check == "versions");
        found.map(|check| (check.mark, check.finding)).collect()
    };
    let older = |node: &str| {
        let finding = format!("node {node} has the plugin of v0.0.9, which is older than this program ({RELEASE})");
        (Mark::Warning, finding)
    };
    assert_eq!(of(["v0.0.9"; 2]), [older("n1"), older("n2")]);
    assert!(of([RELEASE, "v0.0.9"]).contains(&older("n2")));
    for other in [RELEASE, "v99.0.0", "latest"] {
        assert_eq!(of([other; 2]), [(Mark::Good, format!("every Plexus pod runs {other}"))]);
    }
}

/// A network that the old plugin cannot read is no cause of its own.
#[test]
fn an_old_plugin_is_named_once_and_first() {
    let old = r#"{"plugin":"0.0.9","daemon":"0.1.0","checks":[
        {"mark":"bad","check":"plugin","fault":"old-plugin","finding":"it has release 0.0.9","remedy":"Restart it."}]}"#;
    let examined = crate::cni::json::parse(old).map_err(|e| e.to_string());
    let broken = Definition::new(NadRef::new("default", "bad").unwrap(), Some("{".into()), |_| None);
    let facts =
        Facts { examinations: Some([("n1".to_owned(), examined)].into()), definitions: Ok(vec![broken]), ..well() };
    let found = checks(&facts);
    assert_eq!(found[0].finding, "node n1 has the plugin of release 0.0.9, and the daemon of 0.1.0", "{found:#?}");
    assert_eq!(found.iter().filter(|check| check.fault == Some(Fault::OldPlugin)).count(), 1, "{found:#?}");
    assert!(found[0].remedy.as_ref().unwrap().starts_with("Restart the Plexus pod"), "{found:#?}");
}

#[test]
fn what_is_cut_is_counted_in_all_and_a_row_stays_short() {
    let waiting = SeenPod { networks: Some("lan".into()), phase: "Pending".into(), ..plexus("n1", false) };
    let many = Facts { pods: Ok(vec![waiting; 12]), ..well() };
    assert!(checks(&many).iter().any(|check| check.finding == "12 pods in all lack a network"), "{:#?}", checks(&many));
    let probe = probe(&format!("definitions: {}", "plexusd may not list them ".repeat(30)));
    let long = Facts {
        plexus: vec![plexus("n1", false), plexus("n2", true)],
        events: vec![vec![probe], Vec::new()],
        ..well()
    };
    let table = rows::table(&rows::rows(&long)).render(false);
    assert!(table.lines().all(|line| line.chars().count() < 200), "{table}");
}

#[test]
fn a_cluster_without_the_crd_is_not_well() {
    let definitions = Err("the NetworkAttachmentDefinitions: its CRD is not installed".into());
    let found = checks(&Facts { definitions, ..well() });
    assert!(found[0].mark == Mark::Bad && found[0].check == "networks", "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("plexusctl crd | kubectl apply")), "{found:#?}");
    let silent = checks(&Facts { definitions: Err("no answer".into()), ..well() });
    assert_eq!(silent[0].mark, Mark::Unseen);
}

#[test]
fn a_daemon_set_without_pods_is_installed() {
    let first = |daemon_set| {
        let facts = Facts { plexus: Vec::new(), events: Vec::new(), daemon_set, ..well() };
        checks(&facts)[0].clone()
    };
    let with = |warning| Ok(Some(SeenDaemonSet { namespace: "net".into(), name: "plexus".into(), warning }));
    let refused = r#"pods "plexus-x" is forbidden: violates PodSecurity "baseline:latest": host namespaces"#;
    let refused = first(with(Some(event("FailedCreate", refused))));
    assert!(refused.mark == Mark::Bad && refused.fault == Some(Fault::DaemonDown), "{refused:?}");
    assert!(refused.finding.starts_with("the DaemonSet net/plexus has no pod: "), "{refused:?}");
    assert!(refused.finding.contains("violates PodSecurity") && !refused.finding.contains("not installed"));
    let step = "kubectl label --overwrite namespace net pod-security.kubernetes.io/enforce=privileged";
    assert!(refused.remedy.as_ref().is_some_and(|remedy| remedy.contains(step)), "{refused:?}");
    let quota = first(with(Some(event("FailedCreate", "exceeded quota: pods"))));
    assert!(quota.finding.ends_with("exceeded quota: pods") && !quota.remedy.unwrap().contains("label"));
    let silent = first(with(None));
    assert!(silent.remedy.unwrap().contains("kubectl -n net describe daemonset plexus"));
    let unseen = first(Err("the DaemonSets: no answer".into()));
    assert!(!unseen.finding.contains("is not installed") && unseen.finding.contains("no answer"), "{unseen:?}");
    assert_eq!(first(Ok(None)).fault, Some(Fault::NotInstalled));
}

#[test]
fn pods_whose_sandbox_failed_are_not_well() {
    let pod = |name: &str| SeenPod {
        namespace: "default".into(),
        name: name.into(),
        kubelet_uid: format!("uid-{name}"),
        node: Some("n1".into()),
        networks: Some("lan".into()),
        phase: "Pending".into(),
        ..SeenPod::default()
    };
    let failure = |name: &str| SeenEvent {
        uid: format!("uid-{name}"),
        ..event(
            "FailedCreatePodSandBox",
            "rpc error: code = Unknown desc = plugin type=\"plexus\" name=\"cbr0\" failed (add): network default/lan (net1): there is no link eth9",
        )
    };
    let of = |pods: Vec<SeenPod>, failures| {
        let found = checks(&Facts { pods: Ok(pods), failures, ..well() });
        found.into_iter().filter(|check| check.check == "pods").collect::<Vec<_>>()
    };
    let found = of(vec![pod("web"), pod("new")], Ok(vec![failure("web")]));
    assert!(found[0].mark == Mark::Bad && found[0].fault == Some(Fault::MasterMissing), "{found:#?}");
    assert!(found[0].finding.starts_with("pod default/web does not start: network default/lan (net1)"), "{found:#?}");
    assert!(found[0].remedy.as_ref().is_some_and(|step| step.contains("plexusctl why default/web")), "{found:#?}");
    assert!(found[1].mark == Mark::Warning && found[1].finding.contains("default/new lacks"), "{found:#?}");
    // Without networks of its own, too.
    let plain = SeenPod { networks: None, ..pod("web") };
    assert_eq!(of(vec![plain], Ok(vec![failure("web")]))[0].mark, Mark::Bad);
    let names: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    let all = of(names.iter().map(|name| pod(name)).collect(), Ok(names.iter().map(|name| failure(name)).collect()));
    assert!(all.iter().any(|check| check.finding == "12 pods do not start; the first 3 are named here"), "{all:#?}");
    // What has failed before, and what failed of an earlier pod with the name.
    let runs = SeenPod { phase: "Running".into(), ready: true, networks: None, ..pod("web") };
    let pulls = SeenPod { waits: Some("container c: ErrImagePull".into()), networks: None, ..pod("web") };
    let again = SeenPod { kubelet_uid: "other".into(), networks: None, ..pod("web") };
    let found = of(vec![runs, pulls, again], Ok(vec![failure("web")]));
    assert!(found.iter().all(|check| check.mark == Mark::Good), "{found:#?}");
    let blind = of(vec![pod("web")], Err("the events: x is forbidden: User \"y\"".into()));
    assert!(blind.iter().any(|check| check.mark == Mark::Unseen), "{blind:#?}");
}
