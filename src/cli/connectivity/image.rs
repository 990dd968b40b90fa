//! The image of a probe pod that a node does not get. Pure.

use crate::cli::diagnosis::{Fault, cause_of};
use crate::cluster::{SeenEvent, SeenPod};

/// Words of the kubelet and of registries after which each further attempt has the same end.
const FINAL: [&str; 9] = [
    "InvalidImageName",
    "ErrImageNeverPull",
    "not found",
    "does not exist",
    "denied",
    "authorization failed",
    "manifest unknown",
    "no match for platform",
    "invalid reference",
];

/// Why the node has no image for `pod`; none while another attempt may get it. `events` are the pod's. After a while,
/// with `is_late`, nothing is waited for.
pub fn refused(pod: &SeenPod, events: &[SeenEvent], is_late: bool) -> Option<String> {
    let of_container = pod.waits.as_deref().filter(|why| cause_of(why) == Fault::ImageMissing)?;
    let failed = |event: &&SeenEvent| event.reason == "Failed" && cause_of(&event.message) == Fault::ImageMissing;
    // Between two attempts the container only has the name of the image.
    let of_events = events.iter().rfind(|event| failed(event) && event.message.contains("pull image"));
    let has_reason = of_container.contains("ErrImagePull");
    let why = of_events.filter(|_| !has_reason).map_or(of_container, |event| event.message.as_str());
    let is_final = is_late || FINAL.iter().any(|word| why.contains(word));
    is_final.then(|| why.trim().to_owned())
}

/// What the kubelet pulls, if its last event is about that.
pub fn pulling(events: &[SeenEvent]) -> Option<&str> {
    events.last().filter(|event| event.reason == "Pulling").map(|event| event.message.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(waits: &str) -> SeenPod {
        SeenPod { phase: "Pending".into(), waits: Some(waits.into()), ..SeenPod::default() }
    }

    fn event(reason: &str, message: &str) -> SeenEvent {
        SeenEvent { reason: reason.into(), message: message.into(), ..SeenEvent::default() }
    }

    #[test]
    fn a_refusal_of_the_registry_is_final_at_once() {
        let waits = "container probe: ErrImagePull: failed to pull and unpack image \"docker.io/library/nosuch:latest\": pull access denied, repository does not exist";
        assert_eq!(refused(&pod(waits), &[], false).as_deref(), Some(waits));
        for reason in ["InvalidImageName: couldn't parse image name", "ErrImageNeverPull: it is not present"] {
            assert!(refused(&pod(&format!("container probe: {reason}")), &[], false).is_some(), "{reason}");
        }
        assert_eq!(refused(&pod("container probe: CrashLoopBackOff"), &[], true), None);
    }

    #[test]
    fn a_registry_that_does_not_answer_is_asked_twice() {
        let waits = "container probe: ErrImagePull: dial tcp: lookup registry.example: i/o timeout";
        assert_eq!(refused(&pod(waits), &[], false), None);
        assert_eq!(refused(&pod(waits), &[], true).as_deref(), Some(waits));
    }

    #[test]
    fn between_two_attempts_the_event_has_the_reason() {
        let waits = pod("container probe: ImagePullBackOff: Back-off pulling image \"nosuch\"");
        assert_eq!(refused(&waits, &[], false), None);
        let events = [
            event("Failed", "Failed to pull image \"nosuch\": nosuch: not found"),
            event("Failed", "Error: ErrImagePull"),
            event("BackOff", "Back-off pulling image \"nosuch\""),
        ];
        assert_eq!(refused(&waits, &events, false), Some(events[0].message.clone()));
    }

    #[test]
    fn a_pull_that_takes_too_long_is_named() {
        let events = [event("Scheduled", "x"), event("Pulling", "Pulling image \"far/away\"")];
        assert_eq!(pulling(&events), Some("Pulling image \"far/away\""));
        assert_eq!(pulling(&events[..1]), None);
    }
}
