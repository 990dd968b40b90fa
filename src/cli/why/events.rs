//! What the events of the pod tell. Pure.

use crate::cli::diagnosis::{Check, Fault, cause_of, network_of, of_removal, of_sandbox, with_near_type};
use crate::cli::why::facts::Facts;
use crate::cluster::SeenEvent;

/// Events of a pod whose sandbox and volumes are there.
const GOES_ON: [&str; 4] = ["Pulling", "Pulled", "Created", "Started"];
/// Warnings that other checks tell; a pod that has a node was scheduled since.
const TOLD: [&str; 4] = ["NetworksLeftOut", "NetworkStatusRefused", "NoNetworkFound", "FailedScheduling"];

/// Warnings about volumes: the kubelet asks for a sandbox after they are mounted.
const VOLUMES: [&str; 3] = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"];

/// The last event of `reason`.
fn last<'a>(events: &'a [SeenEvent], reason: &str) -> Option<&'a SeenEvent> {
    events.iter().rev().find(|event| event.reason == reason)
}

/// What the events tell.
pub fn check(facts: &Facts, checks: &mut Vec<Check>) {
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
    if let Some(event) = last(events, "FailedKillPod").filter(|_| facts.pod.deleting) {
        checks.push(undeleted(&event.message));
    }
    match last(events, SeenEvent::SANDBOX_FAILED) {
        // A pod that is ready has a sandbox: what it lacks has another cause.
        Some(event) if facts.is_open() && !facts.pod.ready => {
            let sandbox = of_sandbox(&event.message);
            // That is a line already.
            let is_told = facts.networks.unreadable.is_some() && sandbox.fault == Fault::Annotation;
            if !is_told {
                let check = Check::bad("events", sandbox.fault, sandbox.finding()).remedied_by(sandbox.remedy());
                let check = with_near_type(check);
                checks.push(Check { network: network_of(sandbox.answer).map(str::to_owned), ..check });
            }
        }
        Some(event) => {
            let finding = format!("an earlier attempt failed: {}", of_sandbox(&event.message).finding());
            checks.push(Check::good("events", finding));
        }
        None => match obstacle(facts, events) {
            Some(check) => checks.push(check),
            None if checks.iter().all(|check| check.check != "events") => {
                checks.push(Check::good("events", "no failed attempt to create the sandbox is known"));
            }
            None => {}
        },
    }
}

/// The sandbox of a pod that is being deleted cannot be removed.
fn undeleted(message: &str) -> Check {
    let answer = of_removal(message);
    let fault = match cause_of(&answer) {
        Fault::Other => Fault::Debt,
        fault => fault,
    };
    let check = Check::bad("events", fault, format!("the pod cannot be deleted: {answer}"));
    let step = "Remove the cause that the message names: the kubelet repeats DEL by itself.";
    Check { network: network_of(&answer).map(str::to_owned), ..check.remedied_by(step) }
}

/// Whether the kubelet reports a volume that keeps the pod from its sandbox.
pub fn waits_for_volume(facts: &Facts) -> bool {
    let Ok(events) = &facts.events.0 else { return false };
    let is_volume = |check: &Check| VOLUMES.iter().any(|reason| check.finding.starts_with(reason));
    last(events, SeenEvent::SANDBOX_FAILED).is_none() && obstacle(facts, events).is_some_and(|one| is_volume(&one))
}

/// The last warning about a pod that waits for its containers, where no other check tells it and nothing went on since.
fn obstacle(facts: &Facts, events: &[SeenEvent]) -> Option<Check> {
    let pod = &facts.pod;
    let waits = pod.phase == "Pending" && pod.node.is_some() && pod.waits.is_none() && !pod.ready;
    let since = events.iter().rev().take_while(|event| !GOES_ON.contains(&event.reason.as_str()));
    let is_new = |event: &&SeenEvent| event.kind == "Warning" && !TOLD.contains(&event.reason.as_str());
    let event = since.filter(|_| waits).find(is_new)?;
    let check = Check::bad("events", cause_of(&event.message), format!("{}: {}", event.reason, event.message.trim()));
    Some(match check.fault {
        Some(Fault::Other) => check.remedied_by("Correct what the message names: it is not about a network of Plexus."),
        _ => check,
    })
}
