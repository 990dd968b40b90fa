//! Objects of the cluster, reduced to what a person asks about.

use crate::nad::{DEFAULT_NETWORK, NETWORK_STATUS, NETWORKS};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Event, Node, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What the API server's image of a static pod has: the UID that the kubelet gave to its manifest.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What the kubelet calls a container whose image it has not got.
const WITHOUT_IMAGE: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The UID by which kubelet, runtime and events know it: for a static pod that of its manifest.
    pub kubelet_uid: String,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// When it was created, in seconds of Unix time.
    pub created: Option<u64>,
    /// Whether it uses the node's network, so that no CNI plugin is called for it.
    pub host_network: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// The kubelet reports that it has no sandbox: it was not made yet, or is lost, as after a restart of the node.
    pub lacks_sandbox: bool,
    /// Annotation of the additional networks.
    pub networks: Option<String>,
    /// Annotation of another default network.
    pub default_network: Option<String>,
    /// Annotation with what is attached.
    pub status: Option<String>,
    /// Why it does not run, in Kubernetes' words: the scheduler's reason, or that of a container.
    pub waits: Option<String>,
    /// Why it has ended: the reason and the message of its status, as for an evicted one.
    pub why_ended: Option<String>,
    /// The image of each container.
    pub images: Vec<String>,
    /// How often containers were restarted.
    pub restarts: u32,
    /// The names of its containers, those that prepare it first.
    pub containers: Vec<String>,
    /// The containers that run.
    pub running: Vec<String>,
    /// Whether it is a pod of Plexus that uninstalls Plexus, as conf/components/uninstall has it.
    pub uninstalls: bool,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenEvent {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// How often it happened.
    pub count: u32,
    /// When it happened last, in seconds of Unix time.
    pub last: u64,
    /// `<namespace>/<name>` of the object that it is about.
    pub about: String,
    /// The UID of that object.
    pub uid: String,
}

impl SeenEvent {
    /// The kubelet's reason where the sandbox of a pod could not be made.
    pub const SANDBOX_FAILED: &str = "FailedCreatePodSandBox";
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenNode {
    /// Its name.
    pub name: String,
    /// Whether the kubelet reports it as ready.
    pub ready: bool,
    /// Why it is not.
    pub waits: Option<String>,
    /// The container runtime and its version.
    pub runtime: String,
    /// Whether pods of the DaemonSet can run there: it runs Linux, or does not tell.
    pub linux: bool,
}

impl SeenNode {
    /// Why it is not ready, in words.
    pub fn why_not_ready(&self) -> &str {
        self.waits.as_deref().filter(|why| !why.is_empty()).unwrap_or("its conditions have no reason")
    }
}

pub(super) fn seconds(time: &Time) -> u64 {
    u64::try_from(time.0.as_second()).unwrap_or_default()
}

impl From<Pod> for SeenPod {
    fn from(pod: Pod) -> Self {
        let (metadata, spec, status) = (pod.metadata, pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let annotations = metadata.annotations.unwrap_or_default();
        let annotation = |key: &str| annotations.get(key).filter(|value| !value.trim().is_empty()).cloned();
        SeenPod {
            networks: annotation(NETWORKS),
            default_network: annotation(DEFAULT_NETWORK),
            status: annotation(NETWORK_STATUS),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            kubelet_uid: annotation(MIRROR).or_else(|| metadata.uid.clone()).unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(seconds),
            deleting: metadata.deletion_timestamp.is_some(),
            node: spec.node_name,
            host_network: spec.host_network.unwrap_or_default(),
            containers: spec
                .init_containers
                .iter()
                .flatten()
                .chain(&spec.containers)
                .map(|one| one.name.clone())
                .collect(),
            uninstalls: spec.containers.iter().any(uninstalls),
            images: spec.containers.into_iter().filter_map(|container| container.image).collect(),
            ready: condition(&status, "Ready").is_some_and(|(holds, _)| holds),
            lacks_sandbox: condition(&status, "PodReadyToStartContainers").is_some_and(|(holds, _)| !holds),
            waits: waits(&status),
            restarts: containers(&status).map(|one| u32::try_from(one.restart_count).unwrap_or_default()).sum(),
            running: containers(&status).filter(|one| is_running(one)).map(|one| one.name.clone()).collect(),
            why_ended: why_ended(&status),
            phase: status.phase.unwrap_or_default(),
        }
    }
}

fn why_ended(status: &PodStatus) -> Option<String> {
    let parts: Vec<&str> = [&status.reason, &status.message].into_iter().flatten().map(|part| part.trim()).collect();
    Some(parts.join(": ")).filter(|why| !why.is_empty())
}

fn uninstalls(container: &Container) -> bool {
    let words: Vec<&str> = container.command.iter().chain(&container.args).flatten().map(String::as_str).collect();
    words.first().is_some_and(|program| program.ends_with("plexusctl")) && words.get(1) == Some(&"uninstall")
}

fn is_running(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten()
}

/// Whether the condition holds, and its message.
fn condition(status: &PodStatus, kind: &str) -> Option<(bool, String)> {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    Some((found.status == "True", found.message.clone().or(found.reason.clone()).unwrap_or_default()))
}

fn waits(status: &PodStatus) -> Option<String> {
    if let Some((false, why)) = condition(status, "PodScheduled") {
        return Some(if why.is_empty() { "it has no node yet".to_owned() } else { format!("it has no node: {why}") });
    }
    containers(status).find_map(|container| {
        let state = container.state.as_ref()?;
        let (reason, message) = match (&state.waiting, &state.terminated) {
            (Some(waiting), _) => (waiting.reason.clone(), waiting.message.clone()),
            (_, Some(ended)) if ended.exit_code != 0 => {
                (ended.reason.clone(), ended.message.as_deref().and_then(reason_in).map(str::to_owned))
            }
            _ => return None,
        };
        // While the sandbox is made, the events have the reason.
        let reason = reason.filter(|reason| reason != "ContainerCreating" && reason != "PodInitializing")?;
        let message = message.map_or_else(String::new, |message| format!(": {}", message.trim_end()));
        let before = last_end(container).map_or_else(String::new, |before| format!("; {before}"));
        let image = if WITHOUT_IMAGE.contains(&reason.as_str()) {
            format!("the image {} cannot be pulled: ", container.image)
        } else {
            String::new()
        };
        Some(format!("container {}: {image}{reason}{message}{before}", container.name))
    })
}

/// The line of `message` with the reason. It may be the end of a log, whose last line is nearest to the end; a refused
/// command line ends with a hint instead.
fn reason_in(message: &str) -> Option<&str> {
    let lines = || message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().filter_map(|line| line.strip_prefix("error: ")).next_back().or_else(|| lines().next_back())
}

/// How a container that waits ended the last time; none if it did not, or ended well.
fn last_end(container: &ContainerStatus) -> Option<String> {
    let is_waiting = container.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let ended =
        container.last_state.as_ref()?.terminated.as_ref().filter(|ended| is_waiting && ended.exit_code != 0)?;
    let reason = ended.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let last = ended.message.as_deref().and_then(reason_in);
    let last = last.map_or_else(String::new, |line| format!(": {line}"));
    Some(format!("it last ended with exit code {}{reason}{last}", ended.exit_code))
}

impl From<Event> for SeenEvent {
    fn from(event: Event) -> Self {
        let series = event.series.unwrap_or_default();
        let time = series.last_observed_time.or(event.event_time).map(|time| Time(time.0));
        let last = event.last_timestamp.or(time).or(event.first_timestamp).or(event.metadata.creation_timestamp);
        let object = event.involved_object;
        SeenEvent {
            about: format!("{}/{}", object.namespace.unwrap_or_default(), object.name.unwrap_or_default()),
            uid: object.uid.unwrap_or_default(),
            kind: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
            count: series.count.or(event.count).and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            last: last.as_ref().map(seconds).unwrap_or_default(),
        }
    }
}

impl From<Node> for SeenNode {
    fn from(node: Node) -> Self {
        let status = node.status.unwrap_or_default();
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let is_ready = ready.is_some_and(|condition| condition.status == "True");
        let info = status.node_info.unwrap_or_default();
        SeenNode {
            name: node.metadata.name.unwrap_or_default(),
            ready: is_ready,
            waits: ready
                .filter(|_| !is_ready)
                .map(|condition| condition.message.clone().or(condition.reason.clone()).unwrap_or_default()),
            runtime: info.container_runtime_version,
            linux: info.operating_system.is_empty() || info.operating_system == "linux",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::json;

    #[test]
    fn a_container_without_its_image_names_it() {
        let status = |reason: &str, message: &str| {
            let text = format!(
                r#"{{"initContainerStatuses":[{{"name":"install","image":"x/plexus:v1","imageID":"","ready":false,"restartCount":0,"state":{{"waiting":{{"reason":"{reason}"{message}}}}}}}]}}"#
            );
            waits(&json::parse::<PodStatus>(&text).unwrap())
        };
        let told = status("ErrImagePull", r#","message":"x/plexus:v1: not found""#);
        let expected =
            "container install: the image x/plexus:v1 cannot be pulled: ErrImagePull: x/plexus:v1: not found";
        assert_eq!(told.as_deref(), Some(expected));
        for reason in &WITHOUT_IMAGE[1..] {
            assert!(status(reason, "").unwrap().ends_with(&format!("cannot be pulled: {reason}")), "{reason}");
        }
        assert_eq!(status("CrashLoopBackOff", "").as_deref(), Some("container install: CrashLoopBackOff"));
        assert_eq!(status("ContainerCreating", ""), None);
    }

    #[test]
    fn a_container_that_ends_again_and_again_tells_how_it_ended() {
        let status = |container: &str| {
            let text = format!(
                r#"{{"containerStatuses":[{{"name":"plexusd","image":"x","imageID":"x","ready":false,"restartCount":4,{container}}}]}}"#
            );
            waits(&json::parse::<PodStatus>(&text).unwrap())
        };
        let waiting = r#""state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 40s"}}"#;
        let ended = |message: &str| {
            format!(r#"{waiting},"lastState":{{"terminated":{{"exitCode":1,"reason":"Error","message":{message}}}}}"#)
        };
        assert_eq!(
            status(&ended(r#""starting\nthe kubeconfig /k does not exist\n""#)).as_deref(),
            Some(
                "container plexusd: CrashLoopBackOff: back-off 40s; it last ended with exit code 1 (Error): the kubeconfig /k does not exist"
            )
        );
        // clap ends with a hint, and begins with the reason.
        let usage =
            r#""error: invalid value 'nonsense' for '--metrics-address'\n\nFor more information, try '--help'.\n""#;
        let told = status(&ended(usage)).unwrap();
        assert!(told.ends_with("(Error): invalid value 'nonsense' for '--metrics-address'"), "{told}");
        let now = r#""state":{"terminated":{"exitCode":1,"reason":"Error","message":"a\nit describes the keys \n"}}"#;
        assert_eq!(status(now).as_deref(), Some("container plexusd: Error: it describes the keys"));
        assert!(status(&ended("null")).unwrap().ends_with("; it last ended with exit code 1 (Error)"));
        assert!(status(waiting).unwrap().ends_with("back-off 40s"));
    }
}
