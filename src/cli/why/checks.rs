//! From what was seen to what is wrong, the most probable cause first. Pure.

use crate::cli::diagnosis::{CONSEQUENCE, Check, Fault, Mark, cause_of, network_of, unpulled, worst_first};
use crate::cli::output::counted::counted_with;
use crate::cli::pods::label;
use crate::cli::pods::networks::{PodNetwork, Standing};
use crate::cli::why::facts::{Facts, Look};
use crate::cli::why::{events, network, plexus};
use crate::cluster::SeenNode;
use crate::nad::NETWORKS;

/// The check of the network-status.
pub const STATUS: &str = CONSEQUENCE;
/// The check of Plexus' pod.
const PLEXUS_POD: &str = "plexus pod";
/// The check of a record of the node.
pub const RECORD: &str = "record";
/// The next step where only the network-status is not written.
const UNWRITTEN: &str = "See that plexusd runs on that node and may patch pods (`plexusctl status`): it then writes the network-status. The pod can stay.";

/// Everything that was checked, the most probable cause first.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    scheduled(facts, &mut checks);
    // What the API server has now, before an event of what it had.
    for (nad, look) in &facts.definitions {
        let name = nad.to_string();
        checks.push(network::check(&name, look, facts.is_attached(&name)));
    }
    for (nad, pool) in &facts.closed_pools {
        let name = nad.to_string();
        checks.push(network::without_pool(&name, pool, facts.is_attached(&name)));
    }
    if let Some((nad, look)) = &facts.default_network {
        checks.push(of_default_network(&nad.to_string(), look, facts));
    }
    let mut of_events = Vec::new();
    events::check(facts, &mut of_events);
    of_events.iter_mut().for_each(|event| explain(event, &facts.slips));
    let mut plexus = Vec::new();
    of_plexus(facts, &mut plexus);
    // Why plexusd does not run is before that it does not.
    let is_down = of_events.iter().any(|event: &Check| event.fault == Some(Fault::DaemonDown));
    if is_down && plexus.iter().any(|check| check.mark == Mark::Bad) {
        checks.append(&mut plexus);
    }
    add(&mut checks, slips(facts, &of_events));
    annotation(facts, &mut checks);
    add(&mut checks, of_events);
    add(&mut checks, refused(facts));
    node(facts, &mut checks);
    checks.append(&mut plexus);
    status(facts, &mut checks);
    settle_ended(facts, &mut checks);
    worst_first(checks)
}

/// What is wrong around a pod that has ended stops nothing any more.
pub fn settle_ended(facts: &Facts, checks: &mut [Check]) {
    let has_ended = facts.ended().is_some();
    checks.iter_mut().filter(|check| has_ended && check.mark == Mark::Bad).for_each(|check| check.mark = Mark::Warning);
}

/// Adds `more`, what one source found. What is wrong with a network is told by the first source that names it: two say the
/// same in other words. A warning hides nothing that is bad.
pub fn add(checks: &mut Vec<Check>, more: Vec<Check>) {
    let before = checks.len();
    for check in more {
        let is_told = |other: &Check| {
            let hides = other.mark == Mark::Bad || (other.is_finding() && check.mark != Mark::Bad);
            hides && other.about_network() == check.about_network()
        };
        let is_of_network = check.is_finding() && check.about_network().is_some();
        if !(is_of_network && checks[..before].iter().any(is_told)) {
            checks.push(check);
        }
    }
}

/// The NAD in the place of the default network. Without a namespace it is in one that the settings of the node name.
fn of_default_network(name: &str, look: &Look, facts: &Facts) -> Check {
    let is_whole = facts.pod.default_network.as_ref().is_some_and(|annotation| annotation.contains('/'));
    match look {
        Look::Absent(_) if !is_whole => {
            let check = network::check(name, look, true);
            let unless = " (the setting defaultNadNamespace may name another namespace)";
            Check { finding: check.finding + unless, ..check }
        }
        _ => network::check(name, look, !facts.is_open()),
    }
}

/// What `lint` finds. An error that ADD refuses stops a pod that waits; where an `event` has the failure of the network, that is
/// nearer to the cause.
fn slips(facts: &Facts, events: &[Check]) -> Vec<Check> {
    let is_told = |slip: &Check| {
        let is_same = |event: &Check| event.mark == Mark::Bad && event.network == slip.network;
        slip.mark == Mark::Bad && slip.network.is_some() && events.iter().any(is_same)
    };
    let stops = |slip: &Check| {
        let refused = facts.refused.as_deref().filter(|_| facts.is_open());
        refused.is_some_and(|why| slip.network.is_none() || network_of(why) == slip.network.as_deref())
    };
    let own = facts.slips.iter().filter(|slip| !tells_of_annotation(slip, facts) && !is_told(slip));
    own.map(|slip| Check { mark: if stops(slip) { slip.mark } else { Mark::Warning }, ..slip.clone() }).collect()
}

/// What ADD would refuse on every node, for a pod that waits.
fn refused(facts: &Facts) -> Vec<Check> {
    let why = facts.refused.as_ref().filter(|_| facts.is_open() && facts.networks.unreadable.is_none());
    let check = |why: &String| {
        let fault = match cause_of(why) {
            Fault::Other => Fault::NetworkBroken,
            fault => fault,
        };
        Check { network: network_of(why).map(str::to_owned), ..Check::bad("network", fault, why.as_str()) }
    };
    why.map(check).into_iter().collect()
}

/// A plugin refused what `lint` calls an error: it has the step for this value.
fn explain(event: &mut Check, slips: &[Check]) {
    let is_unexplained = event.fault == Some(Fault::Other) && event.network.is_some();
    let is_reason = |slip: &&Check| slip.mark == Mark::Bad && slip.network == event.network;
    if let Some(slip) = slips.iter().find(is_reason).filter(|_| is_unexplained) {
        (event.fault, event.remedy) = (slip.fault, slip.remedy.clone());
    }
}

/// Whether `slip` is the reason why the annotation cannot be read: the check of the annotation has it.
fn tells_of_annotation(slip: &Check, facts: &Facts) -> bool {
    facts.networks.unreadable.as_ref() == Some(&slip.finding)
}

fn annotation(facts: &Facts, checks: &mut Vec<Check>) {
    let pod = &facts.pod;
    if facts.networks.unreadable.is_some() {
        let finding = facts.networks.problem().unwrap_or_default();
        let check = Check::bad("annotation", Fault::Annotation, finding);
        // It has the step for this value.
        let step =
            facts.slips.iter().find(|slip| tells_of_annotation(slip, facts)).and_then(|slip| slip.remedy.clone());
        return checks.push(Check { remedy: step.or(check.remedy), ..check });
    }
    let selected = facts.networks.selected.len();
    if pod.host_network && selected > 0 {
        let finding = format!("{} has hostNetwork: true, and no CNI plugin is called for it", label(pod));
        checks.push(Check::bad("annotation", Fault::HostNetwork, finding));
    } else if selected == 0 {
        checks.push(
            Check::warning("annotation", Fault::Annotation, format!("{} selects no network", label(pod))).remedied_by(
                format!("Write the annotation {NETWORKS} to the pod's template, not to the Deployment itself."),
            ),
        );
    } else {
        let names: Vec<String> = facts.networks.selected.iter().map(|one| one.nad.to_string()).collect();
        checks.push(Check::good("annotation", format!("it selects {}", names.join(", "))));
    }
}

fn scheduled(facts: &Facts, checks: &mut Vec<Check>) {
    let why = match (&facts.pod.waits, &facts.pod.node) {
        (Some(why), _) => why,
        (None, None) => {
            let finding = "it has no node, and no scheduler has reported the reason";
            return checks.push(Check::bad("scheduling", Fault::NoNode, finding));
        }
        (None, Some(_)) => return,
    };
    if facts.pod.node.is_none() {
        checks.push(Check::bad("scheduling", Fault::NoNode, why.as_str()));
    } else if let Some(why) = unpulled(&facts.pod, facts.events.0.as_deref().unwrap_or_default()) {
        checks.push(Check::bad("containers", Fault::ImageMissing, why));
    } else {
        // A container that fails: its networks are attached.
        let step = match why.contains("CreateContainer") {
            true => "Correct what the message names: no container was started. kubectl describe pod has more.",
            false => "Look at the container's log: kubectl logs shows it.",
        };
        checks.push(Check::warning("containers", Fault::Other, why.as_str()).remedied_by(step));
    }
}

/// Whether Plexus in trouble stops the pod now. Volumes are mounted before any sandbox, and a pod with the default network alone
/// starts without plexusd, but not without a default network.
fn needs_plexus(facts: &Facts, fault: Fault) -> bool {
    let has_own = !facts.networks.selected.is_empty() || facts.pod.default_network.is_some();
    let is_served = has_own || facts.networks.unreadable.is_some() || fault == Fault::PrimaryMissing;
    facts.is_open() && is_served && !events::waits_for_volume(facts)
}

fn of_plexus(facts: &Facts, checks: &mut Vec<Check>) {
    let Some(node) = facts.pod.node.as_deref() else { return };
    // The check of the node has the reason.
    if !matches!(&facts.node.0, Err(_) | Ok(Some(SeenNode { linux: true, .. }))) {
        return;
    }
    let check = PLEXUS_POD;
    let plexus = match &facts.plexus.0 {
        Err(why) => return checks.push(Check::unseen(check, why.as_str())),
        Ok(plexus) => plexus,
    };
    let severe = |fault, finding: String| {
        let check = if needs_plexus(facts, fault) { Check::bad } else { Check::warning };
        check(PLEXUS_POD, fault, finding)
    };
    let Some(plexus) = plexus else {
        if let Some(trouble) = facts.daemon_set.as_ref().map(plexus::without_pods) {
            return checks.push(severe(trouble.fault, trouble.why).remedied_by(trouble.remedy));
        }
        if facts.is_installed_nowhere {
            let finding = "the cluster has no Plexus pod: Plexus is not installed, or was uninstalled";
            let remedy = "To use additional networks, install Plexus: docs/install/install.md has the commands.";
            return checks.push(severe(Fault::NotInstalled, finding.to_owned()).remedied_by(remedy));
        }
        return checks.push(severe(Fault::DaemonDown, format!("node {node} has no Plexus pod")));
    };
    checks.push(match plexus::trouble(plexus, &facts.plexus_events) {
        Some(trouble) => severe(trouble.fault, trouble.finding(plexus)).remedied_by(trouble.remedy),
        None => Check::good(check, format!("{} on node {node} is ready", label(plexus))),
    });
}

fn node(facts: &Facts, checks: &mut Vec<Check>) {
    match &facts.node.0 {
        Err(why) => checks.push(Check::unseen("node", why.as_str())),
        Ok(None) => {
            let Some(name) = &facts.pod.node else { return };
            // The kubelet may still run what is attached there.
            let check = if facts.is_open() { Check::bad } else { Check::warning };
            let remedy = "Delete the pod, and correct spec.nodeName in its template if that names the node.";
            checks.push(check("node", Fault::NoNode, format!("the cluster has no node {name}")).remedied_by(remedy));
        }
        Ok(Some(node)) if !node.linux => {
            let check =
                Check::bad("node", Fault::NoNode, format!("node {} runs Windows, and Plexus runs on Linux", node.name));
            checks.push(check.remedied_by("Give the pod's template the nodeSelector kubernetes.io/os: linux."));
        }
        Ok(Some(node)) if node.ready => {
            checks.push(Check::good("node", format!("{} is ready; runtime {}", node.name, node.runtime)));
        }
        Ok(Some(node)) => {
            let why = node.why_not_ready();
            let fault = match cause_of(why) {
                Fault::Other => Fault::NodeNotReady,
                fault => fault,
            };
            checks.push(Check::bad("node", fault, format!("{} is not ready: {why}", node.name)));
        }
    }
}

fn status(facts: &Facts, checks: &mut Vec<Check>) {
    if let Some(finding) = facts.networks.problem().filter(|_| facts.networks.unreadable.is_none()) {
        return checks.push(Check::bad("status", Fault::StatusMissing, finding));
    }
    let missing: Vec<&PodNetwork> = facts.networks.in_state(Standing::Missing).collect();
    let waiting = facts.networks.in_state(Standing::Waiting).count();
    if facts.networks.unreadable.is_some() {
        return checks.push(Check::unseen("status", "the annotation cannot be read: nobody knows what the pod lacks"));
    }
    let is_uninstalled = facts.is_installed_nowhere || matches!(&facts.plexus.0, Ok(Some(plexus)) if plexus.uninstalls);
    match (&facts.pod.status, missing.as_slice()) {
        (None, [_, ..]) if is_uninstalled => {
            let finding = "the pod runs without its additional networks, as every pod that starts during an uninstallation or after it";
            let remedy = "Install Plexus again if the pod needs them, then delete the pod so that it is created again.";
            checks.push(Check::bad("status", Fault::StatusMissing, finding).remedied_by(remedy));
        }
        (None, [_, ..]) if checks.iter().any(|check| check.check == PLEXUS_POD && check.mark == Mark::Bad) => {
            let finding = "the pod runs without a network-status: plexusd on its node, which writes it, is not ready";
            checks.push(Check::bad("status", Fault::StatusMissing, finding).remedied_by(UNWRITTEN));
        }
        (None, [_, ..]) => {
            let finding = "the pod runs without a network-status: either the runtime called another plugin than Plexus, or plexusd has not written it yet";
            let remedy = "Run `plexusctl doctor` on the node: it shows which CNI configuration is first (with Cilium, set cni.exclusive=false). Then delete the pod.";
            checks.push(Check::bad("status", Fault::Displaced, finding).remedied_by(remedy));
        }
        (Some(_), [_, ..]) => {
            let finding = format!(
                "the network-status does not have {}: the annotation or the network-status was changed after the pod started",
                missing.iter().map(|one| named(one, facts)).collect::<Vec<_>>().join(", ")
            );
            checks.push(Check::bad("status", Fault::StatusMissing, finding));
        }
        (_, []) if waiting > 0 => {
            checks.push(Check::unseen(
                "status",
                format!("no network-status yet: {}", counted_with(waiting, "network", "waits")),
            ));
        }
        (_, []) if facts.networks.in_state(Standing::Ended).next().is_some() => {
            checks.push(Check::good(STATUS, facts.ended().unwrap_or_default()));
        }
        (_, []) if facts.lost_sandbox() => {
            let finding = "the network-status is of a former sandbox: the kubelet reports that the pod has none now";
            checks.push(Check::unseen("status", finding));
        }
        (_, []) => {
            let attached = facts.networks.in_state(Standing::Attached).count();
            checks.push(Check::good(STATUS, format!("{} attached", counted_with(attached, "network", "is"))));
        }
    }
}

/// What the node's records contain as attached lacks only its network-status: deleting the pod would mend nothing.
pub fn settle_status(facts: &Facts, checks: &mut [Check]) {
    let recorded = |missing: &PodNetwork| {
        let is_record = |check: &Check| check.check == RECORD && check.mark == Mark::Good;
        checks.iter().any(|check| is_record(check) && check.network.as_ref() == Some(&missing.network))
    };
    if facts.pod.status.is_some() || !facts.networks.in_state(Standing::Missing).all(recorded) {
        return;
    }
    for check in checks.iter_mut().filter(|check| check.check == STATUS && check.mark == Mark::Bad) {
        let finding = "the networks are attached by the node's record; the network-status is not yet written";
        *check = Check::bad(STATUS, Fault::StatusMissing, finding).remedied_by(UNWRITTEN);
    }
}

/// A network that the network-status lacks, and the interface that it has there instead of the requested one.
fn named(missing: &PodNetwork, facts: &Facts) -> String {
    let name = &missing.network;
    let Some(asked) = &missing.interface else { return name.clone() };
    match facts
        .networks
        .in_state(Standing::Attached)
        .find(|one| one.network == *name)
        .and_then(|one| one.interface.as_ref())
    {
        Some(other) => format!("{name} as {asked} (it is attached as {other})"),
        None => format!("{name} as {asked}"),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
