//! The image of a probe pod that a node does not get. Pure.

use crate::cli::diagnosis::unpulled;
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
    unpulled(pod, events).filter(|why| is_late || FINAL.iter().any(|word| why.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(waits: &str) -> SeenPod {
        SeenPod { phase: "Pending".into(), waits: Some(waits.into()), ..SeenPod::default() }
    }

    #[test]
    fn a_refusal_of_the_registry_is_final_at_once() {
        let waits = "container probe: the image nosuch cannot be pulled: ErrImagePull: failed to pull and unpack image \"docker.io/library/nosuch:latest\": pull access denied, repository does not exist";
        assert_eq!(refused(&pod(waits), &[], false).as_deref(), Some(waits));
        for reason in ["InvalidImageName: couldn't parse image name", "ErrImageNeverPull: it is not present"] {
            let waits = pod(&format!("container probe: the image nosuch cannot be pulled: {reason}"));
            assert!(refused(&waits, &[], false).is_some(), "{reason}");
        }
        assert_eq!(refused(&pod("container probe: CrashLoopBackOff"), &[], true), None);
    }

    #[test]
    fn a_registry_that_does_not_answer_is_asked_twice() {
        let waits = "container probe: the image x cannot be pulled: ErrImagePull: dial tcp: lookup registry.example: i/o timeout";
        assert_eq!(refused(&pod(waits), &[], false), None);
        assert_eq!(refused(&pod(waits), &[], true).as_deref(), Some(waits));
        let between =
            pod("container probe: the image x cannot be pulled: ImagePullBackOff: Back-off pulling image \"x\"");
        assert_eq!(refused(&between, &[], false), None);
        let reason = "Failed to pull image \"x\": x: not found";
        let event = SeenEvent { reason: "Failed".into(), message: reason.into(), ..SeenEvent::default() };
        assert!(refused(&between, &[event], false).is_some_and(|why| why.ends_with("pulled: x: not found")));
    }
}
