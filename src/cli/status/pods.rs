//! Pods that do not start, or lack a network. Pure.

use crate::cli::diagnosis::{Check, Fault, of_sandbox};
use crate::cli::output::counted::{counted, counted_with};
use crate::cli::pods::label;
use crate::cli::pods::networks::{PodNetworks, Standing};
use crate::cli::status::facts::Facts;
use crate::cluster::{SeenEvent, SeenPod};
use std::collections::BTreeMap;

/// So many pods are named.
const MOST: usize = 3;
/// What nobody knows the networks of.
const UNREADABLE: &str = "has an annotation that cannot be read";

/// Whether `pod` has a node, and no container yet: the sandbox may have failed.
pub fn waits_for_sandbox(pod: &SeenPod) -> bool {
    // After a restart of its node a pod that runs needs a new one.
    let is_without = pod.phase == "Pending" || (pod.phase == "Running" && pod.lacks_sandbox);
    let is_open = is_without && pod.node.is_some() && !pod.ready && !pod.deleting && !pod.host_network;
    // A container that waits for its image, or runs, has a sandbox.
    is_open && pod.waits.is_none() && pod.running.is_empty()
}

/// Adds what is wrong with the pods of the cluster.
pub fn check(facts: &Facts, checks: &mut Vec<Check>) {
    let pods = match &facts.pods {
        Err(why) => return checks.push(Check::unseen("pods", why.as_str())),
        Ok(pods) => pods,
    };
    // The last one of each pod.
    let failures: BTreeMap<&str, &SeenEvent> =
        facts.failures.iter().flatten().map(|event| (event.uid.as_str(), event)).collect();
    let (mut several, mut failed, mut open) = (0, Vec::new(), Vec::new());
    for pod in pods {
        let networks = PodNetworks::of(pod);
        several += usize::from(networks.are_several(pod));
        let waits = |state| networks.in_state(state).next().is_some();
        let failure = failures.get(pod.kubelet_uid.as_str()).filter(|_| waits_for_sandbox(pod));
        if let Some(failure) = failure {
            failed.push((label(pod), *failure));
        } else if networks.unreadable.is_some() {
            open.push((label(pod), UNREADABLE));
        } else if waits(Standing::Missing) || waits(Standing::Waiting) {
            open.push((label(pod), "lacks a network"));
        }
    }
    do_not_start(&failed, checks);
    lack_networks(&open, checks);
    if let Err(why) = &facts.failures {
        checks.push(Check::unseen("pods", why.as_str()));
    }
    if failed.is_empty() && open.is_empty() {
        checks.push(Check::good(
            "pods",
            format!("{} additional networks, and no pod lacks one", counted_with(several, "pod", "has")),
        ));
    }
}

/// Pods whose last sandbox failed.
fn do_not_start(failed: &[(String, &SeenEvent)], checks: &mut Vec<Check>) {
    for (name, event) in failed.iter().take(MOST) {
        let sandbox = of_sandbox(&event.message);
        let finding = format!("pod {name} does not start: {}", sandbox.finding());
        checks.push(Check::bad("pods", sandbox.fault, finding).remedied_by(format!("Run `plexusctl why {name}`.")));
    }
    if failed.len() > MOST {
        let finding = format!("{} do not start; the first {MOST} are named here", counted(failed.len(), "pod"));
        let list = "kubectl get events -A --field-selector reason=FailedCreatePodSandBox lists the reasons.";
        checks.push(Check::bad("pods", of_sandbox(&failed[0].1.message).fault, finding).remedied_by(list));
    }
}

/// Pods that may be starting.
fn lack_networks(open: &[(String, &str)], checks: &mut Vec<Check>) {
    for (name, what) in open.iter().take(MOST) {
        let check = Check::warning("pods", Fault::StatusMissing, format!("pod {name} {what}"));
        checks.push(check.remedied_by(format!("Run `plexusctl why {name}`.")));
    }
    if open.len() > MOST {
        let is_unreadable = open.iter().any(|(_, what)| *what == UNREADABLE);
        let or = if is_unreadable { ", or their annotation cannot be read" } else { "" };
        let finding = format!("{} in all lack a network{or}", counted(open.len(), "pod"));
        let check = Check::warning("pods", Fault::StatusMissing, finding);
        checks.push(check.remedied_by("`plexusctl get -A` lists them as waiting, missing or unreadable."));
    }
}
