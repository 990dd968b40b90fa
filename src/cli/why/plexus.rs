//! Plexus' pod on the node of a pod. Pure.

use crate::cli::diagnosis::{Fault, of_plexus, of_readiness, of_sandbox, pulling, unpulled};
use crate::cli::pods::label;
use crate::cluster::{SeenDaemonSet, SeenEvent, SeenPod};

/// What to do where a node does not get the image of Plexus.
const BRING_IMAGE: &str = "Bring the image to the node: docs/install/install.md has the ways; its name is in `images` of conf/base/kustomization.yaml (Helm: the value image).";

/// What keeps Plexus' pod from serving its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The cause.
    pub fault: Fault,
    /// The cause in words, without the names of node and pod.
    pub why: String,
    /// The next step.
    pub remedy: String,
}

impl Trouble {
    /// With the next step of `fault`.
    pub fn of(fault: Fault, why: impl Into<String>) -> Self {
        Trouble { fault, why: why.into(), remedy: fault.remedy().to_owned() }
    }

    /// The cause in a sentence of its own, about `pod`.
    pub fn finding(&self, pod: &SeenPod) -> String {
        match self.fault {
            // It names the node.
            Fault::Draining => self.why.clone(),
            _ => format!("{} on node {} is not ready: {}", label(pod), node(pod), self.why),
        }
    }

    fn remedied_by(self, remedy: impl Into<String>) -> Self {
        Trouble { remedy: remedy.into(), ..self }
    }
}

/// Why `set`, the DaemonSet of Plexus, has no pod: its last warning.
pub fn without_pods(set: &SeenDaemonSet) -> Trouble {
    let SeenDaemonSet { namespace, name, warning } = set;
    let why = warning.as_ref().map_or("no event that warns was seen", |event| event.message.trim());
    let describe = format!("kubectl -n {namespace} describe daemonset {name}");
    let remedy = match warning {
        Some(event) if event.message.contains("violates PodSecurity") => format!(
            "Allow its pods in that namespace: kubectl label --overwrite namespace {namespace} pod-security.kubernetes.io/enforce=privileged (docs/install/requirements.md)."
        ),
        Some(_) => format!("Correct what the message names; {describe} shows it in full."),
        None => format!("Look at its node selector and its events: {describe} shows them."),
    };
    Trouble::of(Fault::DaemonDown, format!("the DaemonSet {namespace}/{name} has no pod: {why}")).remedied_by(remedy)
}

fn node(pod: &SeenPod) -> &str {
    pod.node.as_deref().unwrap_or_default()
}

/// What keeps `pod`, which is Plexus' on a node, from serving the node; none where nothing does. `events` are its own.
pub fn trouble(pod: &SeenPod, events: &[SeenEvent]) -> Option<Trouble> {
    match (pod.uninstalls, pod.ready) {
        // Nobody has to wait for an uninstallation that is over.
        (true, true) => {
            let why = format!("Plexus is uninstalled from node {}", node(pod));
            Some(Trouble::of(Fault::Draining, why).remedied_by(Fault::after_uninstallation()))
        }
        (true, false) if pod.waits.is_none() => {
            let waits = "it waits for the pods with additional networks there";
            let why = format!("Plexus is being uninstalled from node {}: {waits}", node(pod));
            Some(Trouble::of(Fault::Draining, why))
        }
        (false, true) => None,
        (_, false) => Some(waiting(pod, events)),
    }
}

/// What a `pod` waits for that is not ready.
fn waiting(pod: &SeenPod, events: &[SeenEvent]) -> Trouble {
    if let Some(why) = unpulled(pod, events) {
        return Trouble::of(Fault::ImageMissing, why).remedied_by(BRING_IMAGE);
    }
    // A container that does not run is nearer to the cause than a probe of before.
    if let Some(waits) = &pod.waits {
        let trouble = Trouble::of(of_readiness(waits), waits.as_str());
        return match log(pod, waits).filter(|_| trouble.fault == Fault::DaemonDown) {
            Some(log) => trouble.remedied_by(format!("Correct what the container's log names: {log}.")),
            None => trouble,
        };
    }
    let describe = format!("kubectl -n {} describe pod {}", pod.namespace, pod.name);
    if let Some(image) = pulling(events) {
        let wait =
            format!("Wait until the node has pulled the image; if that takes too long, {describe} shows each attempt.");
        return Trouble::of(Fault::DaemonDown, format!("it waits until the image {image} is pulled")).remedied_by(wait);
    }
    if let Some((fault, why)) = probe(events).map(of_plexus) {
        return Trouble::of(fault, why);
    }
    if let Some(container) = preparing(pod) {
        let look =
            format!("Its log has what it waits for: kubectl -n {} logs {} -c {container}.", pod.namespace, pod.name);
        return Trouble::of(Fault::DaemonDown, format!("its container {container} has not ended yet"))
            .remedied_by(look);
    }
    if !pod.running.is_empty() {
        return Trouble::of(Fault::DaemonDown, "its containers have started, and are not ready yet");
    }
    match events.last().filter(|event| event.reason == SeenEvent::SANDBOX_FAILED || event.reason == "FailedMount") {
        Some(event) => {
            let why = format!("its containers cannot be created: {}", of_sandbox(&event.message).answer);
            Trouble::of(Fault::DaemonDown, why)
                .remedied_by(format!("Correct what the message names; {describe} shows it in full."))
        }
        None => Trouble::of(Fault::DaemonDown, "its containers are being created (ContainerCreating)")
            .remedied_by(format!("Wait until the node has created them; if it does not, {describe} has the reason.")),
    }
}

/// The command that shows why a container ends again and again.
fn log(pod: &SeenPod, waits: &str) -> Option<String> {
    let (container, _) =
        waits.strip_prefix("container ").filter(|_| waits.contains("it last ended"))?.split_once(':')?;
    Some(format!("kubectl -n {} logs {} -c {container} --previous", pod.namespace, pod.name))
}

/// The container that prepares `pod` now.
fn preparing(pod: &SeenPod) -> Option<&String> {
    // They are before those of which there is an image.
    let preparing = pod.containers.len().saturating_sub(pod.images.len());
    pod.containers[..preparing].iter().find(|name| pod.running.contains(name))
}

/// The message of the last failed readiness probe.
fn probe(events: &[SeenEvent]) -> Option<&str> {
    let failed = |event: &&SeenEvent| event.reason == "Unhealthy" && event.message.contains("not ready");
    events.iter().rev().find(failed).map(|event| event.message.as_str())
}
