//! From what was seen to what is wrong, the most probable cause first. Pure.

use crate::cli::diagnosis::{Check, Fault, cause_of, of_plexus, of_runtime, worst_first};
use crate::cli::natives::DEFAULTS;
use crate::cli::pods::label;
use crate::cli::pods::networks::Standing;
use crate::cli::why::facts::{Facts, Look};
use crate::cluster::SeenEvent;
use crate::engine::Settings;
use crate::engine::planning::networks;
use crate::engine::planning::refusals::recursion;
use crate::nad::{Definition, NETWORKS};

/// Everything that was checked, the most probable cause first.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    annotation(facts, &mut checks);
    scheduled(facts, &mut checks);
    events(facts, &mut checks);
    for (nad, look) in &facts.definitions {
        checks.push(network(&nad.to_string(), look));
    }
    plexus(facts, &mut checks);
    node(facts, &mut checks);
    status(facts, &mut checks);
    worst_first(checks)
}

/// Whether a network of the pod, or the pod itself, still waits for something.
fn is_open(facts: &Facts) -> bool {
    let waits = |state| facts.networks.in_state(state).next().is_some();
    waits(Standing::Waiting) || waits(Standing::Missing) || facts.pod.phase == "Pending"
}

fn annotation(facts: &Facts, checks: &mut Vec<Check>) {
    let pod = &facts.pod;
    if let Some(why) = &facts.networks.unreadable {
        checks.push(Check::bad("annotation", Fault::Annotation, format!("{NETWORKS}: {why}")));
        return;
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
    let Some(why) = &facts.pod.waits else { return };
    if facts.pod.node.is_none() {
        checks.push(Check::bad("scheduling", Fault::NoNode, why.as_str()));
    } else {
        // A container that fails: its networks are attached.
        checks.push(
            Check::warning("containers", Fault::Other, why.as_str())
                .remedied_by("Look at the container's log: kubectl logs shows it."),
        );
    }
}

/// The last event of `reason`.
fn last<'a>(events: &'a [SeenEvent], reason: &str) -> Option<&'a SeenEvent> {
    events.iter().rev().find(|event| event.reason == reason)
}

fn events(facts: &Facts, checks: &mut Vec<Check>) {
    let events = match &facts.events.0 {
        Ok(events) => events,
        Err(why) => return checks.push(Check::unseen("events", why.as_str())),
    };
    if let Some(event) = last(events, "NetworksLeftOut") {
        checks.push(Check::bad("events", Fault::Draining, event.message.as_str()));
    }
    if let Some(event) = last(events, "NetworkStatusRefused") {
        let fault = match cause_of(&event.message) {
            Fault::Other => Fault::StatusMissing,
            fault => fault,
        };
        let check = Check::bad("events", fault, event.message.as_str());
        checks.push(
            check.remedied_by("Look for the policy or webhook that the message names, and allow the network-status."),
        );
    }
    match last(events, "FailedCreatePodSandBox") {
        // A pod that is ready has a sandbox: what it lacks has another cause.
        Some(event) if is_open(facts) && !facts.pod.ready => {
            let message = of_runtime(&event.message);
            checks.push(Check::bad("events", cause_of(message), message));
        }
        Some(event) => {
            let finding = format!("an earlier attempt failed: {}", of_runtime(&event.message));
            checks.push(Check::good("events", finding));
        }
        None if checks.iter().all(|check| check.check != "events") => {
            checks.push(Check::good("events", "no failed attempt to create the sandbox is known"));
        }
        None => {}
    }
}

fn network(name: &str, look: &Look) -> Check {
    match look {
        Look::Absent => Check::bad(
            "network",
            Fault::NetworkMissing,
            format!("the NetworkAttachmentDefinition {name} does not exist"),
        ),
        Look::Unseen(why) => Check::unseen("network", why.as_str()),
        Look::Found(definition) => match broken(definition) {
            Some(why) => Check::bad("network", Fault::NetworkBroken, format!("network {name}: {why}")),
            None => Check::good("network", described(name, definition)),
        },
    }
}

fn described(name: &str, definition: &Definition) -> String {
    match parsed(definition) {
        Some(Ok(network)) => format!("{name} is readable; plugins: {}", network.kinds()),
        _ => format!("{name} has no configuration: a file on the node with its name gives it"),
    }
}

fn parsed(definition: &Definition) -> Option<Result<crate::cni::NetworkConfig, String>> {
    definition.config.as_ref()?;
    let settings = Settings::parse(DEFAULTS).ok()?;
    Some(networks::of_definition(&settings, definition))
}

/// Why a NAD cannot be used anywhere. What only a node knows is not looked at.
pub fn broken(definition: &Definition) -> Option<String> {
    match parsed(definition)? {
        Err(why) => Some(why),
        Ok(network) => recursion::names_itself(&network)
            .map(|kind| format!("it delegates to {kind}, which would call Plexus again")),
    }
}

fn plexus(facts: &Facts, checks: &mut Vec<Check>) {
    let Some(node) = facts.pod.node.as_deref() else { return };
    let check = "plexus pod";
    let plexus = match &facts.plexus.0 {
        Err(why) => return checks.push(Check::unseen(check, why.as_str())),
        Ok(plexus) => plexus,
    };
    let severe = |fault, finding: String| {
        if is_open(facts) { Check::bad(check, fault, finding) } else { Check::warning(check, fault, finding) }
    };
    let Some(plexus) = plexus else {
        return checks.push(severe(Fault::DaemonDown, format!("node {node} has no Plexus pod")));
    };
    if plexus.ready {
        return checks.push(Check::good(check, format!("{} on node {node} is ready", label(plexus))));
    }
    let probe = last(&facts.plexus_events, "Unhealthy").filter(|event| event.message.contains("not ready"));
    let said = probe.map(|event| of_plexus(&event.message));
    let (fault, why) = said.unwrap_or_else(|| {
        let why = plexus.waits.as_deref().unwrap_or("its events have no reason");
        (Fault::DaemonDown, why)
    });
    checks.push(severe(fault, format!("{} on node {node} is not ready: {why}", label(plexus))));
}

fn node(facts: &Facts, checks: &mut Vec<Check>) {
    match &facts.node.0 {
        Err(why) => checks.push(Check::unseen("node", why.as_str())),
        Ok(None) => {}
        Ok(Some(node)) if node.ready => {
            checks.push(Check::good("node", format!("{} is ready; runtime {}", node.name, node.runtime)));
        }
        Ok(Some(node)) => {
            let why = node.waits.clone().unwrap_or_default();
            let fault = match cause_of(&why) {
                Fault::Other => Fault::NodeNotReady,
                fault => fault,
            };
            checks.push(Check::bad("node", fault, format!("{} is not ready: {why}", node.name)));
        }
    }
}

fn status(facts: &Facts, checks: &mut Vec<Check>) {
    if let Some(why) = &facts.networks.unreadable_status {
        let finding = format!("the network-status cannot be read: {why}");
        return checks.push(Check::bad("status", Fault::StatusMissing, finding));
    }
    let missing: Vec<&str> =
        facts.networks.in_state(Standing::Missing).map(|network| network.network.as_str()).collect();
    let waiting = facts.networks.in_state(Standing::Waiting).count();
    match (&facts.pod.status, missing.as_slice()) {
        (None, [_, ..]) => {
            let finding =
                "the pod runs without a network-status: the runtime may have called another plugin than Plexus";
            let remedy = "Run `plexusctl doctor` on the node: it shows which CNI configuration is first (with Cilium, set cni.exclusive=false). Then delete the pod.";
            checks.push(Check::bad("status", Fault::Displaced, finding).remedied_by(remedy));
        }
        (Some(_), [_, ..]) => {
            let finding = format!(
                "the network-status does not have {}: the annotation may have changed after the pod started",
                missing.join(", ")
            );
            checks.push(Check::bad("status", Fault::StatusMissing, finding));
        }
        (_, []) if waiting > 0 => {
            checks.push(Check::unseen("status", format!("no network-status yet: {waiting} networks wait")));
        }
        (_, []) => {
            let attached = facts.networks.in_state(Standing::Attached).count();
            checks.push(Check::good("status", format!("{attached} networks are attached")));
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
