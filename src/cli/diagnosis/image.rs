//! The image that a pod waits for. Pure.

use crate::cli::diagnosis::{Fault, cause_of};
use crate::cluster::{SeenEvent, SeenPod};

/// What [`SeenPod::waits`] has between the container with its image and the reason.
const UNPULLED: &str = " cannot be pulled: ";

/// Why the node has no image for `pod`; none where `pod` does not wait for one. `events` are the pod's.
pub fn unpulled(pod: &SeenPod, events: &[SeenEvent]) -> Option<String> {
    let of_container = pod.waits.as_deref().filter(|why| cause_of(why) == Fault::ImageMissing)?;
    if !of_container.contains("ImagePullBackOff") || of_container.contains("ErrImagePull") {
        return Some(of_container.to_owned());
    }
    // Between two attempts an older kubelet only has the name of the image.
    let failed = |event: &&SeenEvent| event.reason == "Failed" && event.message.starts_with("Failed to pull image");
    let reason = events.iter().rfind(failed).map(|event| {
        let message = event.message.trim();
        message.split_once("\": ").map_or(message, |(_, reason)| reason)
    });
    let subject = of_container.split_once(UNPULLED).map(|(subject, _)| subject);
    Some(match subject.zip(reason) {
        Some((subject, reason)) => format!("{subject}{UNPULLED}{reason}"),
        None => of_container.to_owned(),
    })
}

/// The image that the kubelet pulls, if its last event is about that.
pub fn pulling(events: &[SeenEvent]) -> Option<&str> {
    let message = events.last().filter(|event| event.reason == "Pulling")?.message.trim();
    Some(message.strip_prefix("Pulling image ").unwrap_or(message).trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str) -> SeenEvent {
        SeenEvent { reason: reason.into(), message: message.into(), ..SeenEvent::default() }
    }

    #[test]
    fn between_two_attempts_the_event_has_the_reason() {
        let waits = |reason: &str| SeenPod {
            waits: Some(format!("container probe: the image nosuch cannot be pulled: {reason}")),
            ..SeenPod::default()
        };
        let told = |reason: &str, events: &[SeenEvent]| unpulled(&waits(reason), events);
        let events = [
            event("Failed", "Failed to pull image \"nosuch\": failed to resolve \"nosuch\": not found"),
            event("Failed", "Error: ErrImagePull"),
            event("BackOff", "Back-off pulling image \"nosuch\""),
        ];
        let back_off = "ImagePullBackOff: Back-off pulling image \"nosuch\"";
        assert_eq!(told(back_off, &[]), waits(back_off).waits);
        assert_eq!(told(back_off, &events), waits("failed to resolve \"nosuch\": not found").waits);
        // A kubelet of today repeats the reason.
        let now = format!("{back_off}: ErrImagePull: denied");
        assert_eq!(told(&now, &events), waits(&now).waits);
        let crashed = SeenPod { waits: Some("container c: CrashLoopBackOff".into()), ..SeenPod::default() };
        assert_eq!(unpulled(&crashed, &events), None);
    }

    #[test]
    fn what_is_pulled_is_named_until_another_event() {
        let events = [event("Scheduled", "x"), event("Pulling", "Pulling image \"far/away\""), event("Pulled", "x")];
        assert_eq!(pulling(&events[..2]), Some("far/away"));
        assert_eq!(pulling(&events), None);
        assert_eq!(pulling(&events[..1]), None);
    }
}
