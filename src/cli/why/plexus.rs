//! Plexus' pod on the node of a pod. Pure.

use crate::cli::diagnosis::{Fault, of_plexus, of_readiness};
use crate::cli::pods::label;
use crate::cluster::{SeenEvent, SeenPod};

/// What keeps `pod`, which is Plexus' on the node `node`, from serving the node; none where nothing does. `probe` is the
/// message of its failed readiness probe.
pub fn trouble(pod: &SeenPod, node: &str, probe: Option<&str>) -> Option<(Fault, String)> {
    if pod.uninstalls {
        let how = if pod.ready {
            format!("Plexus is uninstalled from node {node}")
        } else {
            format!(
                "Plexus is being uninstalled from node {node}: it waits for the pods with additional networks there"
            )
        };
        return Some((Fault::Draining, how));
    }
    if pod.ready {
        return None;
    }
    // A container that does not run is nearer to the cause than a probe of before.
    let (fault, why) = match (pod.waits.as_deref(), probe) {
        (Some(waits), _) => (of_readiness(waits), waits),
        (None, Some(probe)) => of_plexus(probe),
        (None, None) => (Fault::DaemonDown, "its containers start, and no event has a reason"),
    };
    Some((fault, format!("{} on node {node} is not ready: {why}", label(pod))))
}

/// The next step for `pod`, where that is not the one of its fault: nobody has to wait for an uninstallation that is over.
pub fn remedy(pod: &SeenPod) -> Option<&'static str> {
    (pod.uninstalls && pod.ready).then(Fault::after_uninstallation)
}

/// The message of the last failed readiness probe.
pub fn probe(events: &[SeenEvent]) -> Option<&str> {
    let failed = |event: &&SeenEvent| event.reason == "Unhealthy" && event.message.contains("not ready");
    events.iter().rev().find(failed).map(|event| event.message.as_str())
}
