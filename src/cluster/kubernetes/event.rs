//! One event a pod, what `kubectl describe` shows of its networks; and one of a node that does not call us.

use crate::api::Publication;
use crate::cluster::kubernetes::requests::Requests;
use crate::cluster::kubernetes::told::Told;
use crate::cni::{json, spelling};
use crate::nad::{NadRef, NetworkStatus, PodRef};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long the one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Requests at one time: an event is never as urgent as a status.
const AT_ONCE: usize = 2;
/// Events that wait; more are left out.
const MOST_WAITING: usize = 500;
/// The API server takes at most so many bytes.
const LONGEST_NOTE: usize = 1024;

/// That networks were added to a pod; none for a plain pod.
pub(in crate::cluster) fn added(node: &str, publication: &Publication, uid: &str) -> Option<Event> {
    let entries: Vec<NetworkStatus> = json::parse(&publication.network_status).ok()?;
    entries
        .iter()
        .any(|entry| !entry.default)
        .then(|| event(node, &publication.pod, uid, "Normal", "AddedInterface", &note(&entries)))
}

/// That a pod starts without networks that it asks for; none where it has all.
pub(in crate::cluster) fn left_out(node: &str, publication: &Publication, uid: &str) -> Option<Event> {
    let networks = publication.left_out.join(", ");
    let note = format!(
        "Plexus is being uninstalled from this node: the pod starts without {networks}. `plexusctl uninstall --cancel` on the node ends the uninstallation"
    );
    (!networks.is_empty()).then(|| event(node, &publication.pod, uid, "Warning", "NetworksLeftOut", &note))
}

/// That a pod does not start, because it selects the network `nad`, which does not exist; `meant` is the one that probably is
/// meant. Reason and first words are those of Multus, for tools that look for them.
pub(in crate::cluster) fn not_found(node: &str, pod: &PodRef, nad: &NadRef, meant: Option<&NadRef>) -> Event {
    let (name, namespace, hint) = (nad.name(), nad.namespace(), spelling::hint(meant));
    let note = format!("cannot find a network-attachment-definition ({name}) in namespace ({namespace}){hint}");
    event(node, pod, pod.uid().unwrap_or_default(), "Warning", "NoNetworkFound", &note)
}

/// That a pod does not get its network status.
pub(in crate::cluster) fn refused(node: &str, publication: &Publication, uid: &str, reason: &str) -> Event {
    let note = format!("the network status was refused: {reason}");
    event(node, &publication.pod, uid, "Warning", "NetworkStatusRefused", &note)
}

/// `Add eth0 [10.1.1.2] from cbr0, net1 [10.2.2.3] from default/macvlan`, the words of Multus for all at once.
fn note(entries: &[NetworkStatus]) -> String {
    let one = |entry: &NetworkStatus| {
        let ips: Vec<String> = entry.ips.iter().map(ToString::to_string).collect();
        format!("{} [{}] from {}", entry.interface, ips.join(" "), entry.name)
    };
    format!("Add {}{}", entries.iter().map(one).collect::<Vec<_>>().join(", "), default_route(entries))
}

/// Which networks have the pod's default route; nothing where it is the default network's, as it is without us.
fn default_route(entries: &[NetworkStatus]) -> String {
    let having = || entries.iter().filter(|entry| !entry.gateway.is_empty());
    if having().all(|entry| entry.default) {
        return String::new();
    }
    let families = |entry: &NetworkStatus| {
        let has = |is_v4: bool| entry.gateway.iter().any(|gateway| gateway.is_ipv4() == is_v4);
        match (has(true), has(false)) {
            (true, false) => " (IPv4)",
            (false, true) => " (IPv6)",
            _ => "",
        }
    };
    let several = having().count() > 1;
    let one = |entry: &NetworkStatus| format!("{}{}", entry.interface, if several { families(entry) } else { "" });
    format!("; default route over {}", having().map(one).collect::<Vec<_>>().join(", "))
}

/// What is wrong with the node.
pub(in crate::cluster) fn on_node(node: &str, reason: &str, why: &str) -> Event {
    let regarding = ObjectReference {
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        // As the kubelet's own: `kubectl describe node` looks for the name here.
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    of_object(node, "default", regarding, "Warning", reason, why)
}

/// What an event about addresses is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `AddressPool` or `AddressNode`.
    pub kind: &'static str,
    /// The name of the object.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// What the controller of addresses, called `instance`, has done or seen.
pub(in crate::cluster) fn of_addresses(
    instance: &str,
    subject: &Subject,
    kind: &str,
    reason: &str,
    note: &str,
) -> Event {
    let regarding = ObjectReference {
        api_version: Some("ipam.plexus.dev/v1alpha1".to_owned()),
        kind: Some(subject.kind.to_owned()),
        name: Some(subject.name.clone()),
        uid: Some(subject.uid.clone()),
        ..ObjectReference::default()
    };
    Event { action: Some("Reclaim".to_owned()), ..of_object(instance, "default", regarding, kind, reason, note) }
}

fn event(node: &str, pod: &PodRef, uid: &str, kind: &str, reason: &str, note: &str) -> Event {
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name().to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    of_object(node, pod.namespace(), regarding, kind, reason, note)
}

fn of_object(node: &str, namespace: &str, regarding: ObjectReference, kind: &str, reason: &str, note: &str) -> Event {
    let note = visible(note);
    Event {
        metadata: ObjectMeta {
            name: Some(name(regarding.name.as_deref().unwrap_or_default())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        regarding: Some(regarding),
        type_: Some(kind.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some("Attach".to_owned()),
        note: Some(cut(&note, "")),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some("plexus".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}

/// As much of `note` as there is room for before `end`.
fn cut(note: &str, end: &str) -> String {
    let fits = |at: &usize| note.is_char_boundary(*at);
    let room = LONGEST_NOTE.saturating_sub(end.len()).min(note.len());
    let length = (0..=room).rev().find(fits).unwrap_or(0);
    format!("{}{end}", &note[..length])
}

/// `text` in one line, without what a terminal would act on or hide: whoever reads events sees what is there. The
/// cluster's policy for our events asks for it.
fn visible(text: &str) -> String {
    // Format characters (Unicode's Cf), of which those that turn the direction of text are the harmful ones.
    let is_format = |c: char| {
        matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'..='\u{e007f}')
    };
    text.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect()
}

/// The object's name and the time, as every component names its events.
fn name(pod: &str) -> String {
    // Names are ASCII; a longer one leaves no room for the time.
    let pod = pod.get(..200).unwrap_or(pod).trim_end_matches(['.', '-']);
    format!("{pod}.{:x}", Timestamp::now().as_nanosecond())
}

/// An event that is still to be told, and made when it is: whoever waits for a status does not wait for its event.
pub struct Notice(Box<dyn FnOnce() -> Option<Event> + Send>);

impl Notice {
    pub(in crate::cluster) fn new(event: Event) -> Self {
        Notice::later(|| Some(event))
    }

    /// What `make` makes of it, if anything.
    pub(in crate::cluster) fn later(make: impl FnOnce() -> Option<Event> + Send + 'static) -> Self {
        Notice(Box::new(make))
    }
}

impl Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice").finish_non_exhaustive()
    }
}

/// Tells events beside everything else, each once: it fails nothing and delays nothing.
#[derive(Debug)]
pub(in crate::cluster) struct Announcer {
    requests: Requests,
    waiting: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    told: Mutex<Told>,
}

impl Announcer {
    pub fn new(requests: Requests) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Announcer { requests, waiting: places(MOST_WAITING), turns: places(AT_ONCE), told: Mutex::default() }
    }

    /// `event`, unless it was told a moment ago; with the number of those that were not told.
    fn untold(&self, mut event: Event) -> Option<Event> {
        let object = event.regarding.as_ref().and_then(|object| object.uid.as_deref()).unwrap_or_default();
        let (reason, note) = (event.reason.as_deref().unwrap_or_default(), event.note.as_deref().unwrap_or_default());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.judge(object, reason, note, Instant::now())? {
            0 => {}
            more => event.note = Some(cut(note, &format!(" ({more} more times)"))),
        }
        Some(event)
    }

    pub(in crate::cluster) fn announce(&self, client: Client, Notice(make): Notice) {
        let Some(event) = make().and_then(|event| self.untold(event)) else { return };
        let Ok(waiting) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return tracing::debug!("too many events are waiting: dropped one");
        };
        let (turns, requests) = (Arc::clone(&self.turns), self.requests.clone());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            let api: Api<Event> = Api::namespaced(client, event.metadata.namespace.as_deref().unwrap_or_default());
            let sent = tokio::time::timeout(REQUEST_LIMIT, api.create(&PostParams::default(), &event)).await;
            requests.made("create", matches!(sent, Ok(Ok(_))));
            if let Ok(Err(e)) = sent {
                tracing::debug!(reason = crate::cluster::error::reason(&e), "cannot write an event");
            }
            drop(waiting);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::ContainerId;

    /// An API server that never answers.
    struct Silent;

    impl tower::Service<hyper::Request<kube::client::Body>> for Silent {
        type Response = hyper::Response<kube::client::Body>;
        type Error = std::io::Error;
        type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: hyper::Request<kube::client::Body>) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn events_that_wait_are_bounded() {
        let announcer = Announcer::new(Requests::default());
        let client = Client::new(Silent, "default");
        let waiting = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = waiting();
        for n in 0..3 * MOST_WAITING {
            announcer.announce(client.clone(), Notice::new(on_node(&format!("n{n}"), "Draining", "x")));
        }
        assert_eq!(waiting() - before, MOST_WAITING);
        // Another node: the same event does not wait beside itself.
        let (announcer, before) = (Announcer::new(Requests::default()), waiting());
        for _ in 0..3 {
            announcer.announce(client.clone(), Notice::new(on_node("n", "Draining", "x")));
        }
        assert_eq!(waiting() - before, 1);
    }

    #[test]
    fn a_note_with_a_count_is_not_too_long() {
        assert_eq!(cut("a", " (2 more times)"), "a (2 more times)");
        let long = cut(&"é".repeat(2000), " (2 more times)");
        assert!(long.len() <= LONGEST_NOTE && long.ends_with("é (2 more times)"));
    }

    #[test]
    fn only_additional_networks_are_told() {
        let publication = |network_status: &str| Publication {
            container_id: ContainerId::new("c").unwrap(),
            pod: PodRef::new("ns", "p", None).unwrap(),
            network_status: network_status.to_owned(),
            left_out: Vec::new(),
        };
        let default = r#"{"name":"cbr0","interface":"eth0","ips":["10.1.1.2","fd00::2"],"default":true,"dns":{}}"#;
        assert!(added("n", &publication(&format!("[{default}]")), "u").is_none());
        let event =
            added("n", &publication(&format!(r#"[{default},{{"name":"ns/nad","interface":"net1"}}]"#)), "u").unwrap();
        assert_eq!(event.note.as_deref(), Some("Add eth0 [10.1.1.2 fd00::2] from cbr0, net1 [] from ns/nad"));
        let net1 = |gateway: &str| format!(r#"{{"name":"ns/nad","interface":"net1","gateway":{gateway}}}"#);
        let told = |status: String| added("n", &publication(&status), "u").unwrap().note.unwrap();
        let note = told(format!(r#"[{default},{}]"#, net1(r#"["10.2.2.1","fd02::1"]"#)));
        assert!(note.ends_with(", net1 [] from ns/nad; default route over net1"), "{note}");
        let mixed = default.replace(r#""dns""#, r#""gateway":["fd00::1"],"dns""#);
        let note = told(format!(r#"[{mixed},{}]"#, net1(r#"["10.2.2.1"]"#)));
        assert!(note.ends_with("; default route over eth0 (IPv6), net1 (IPv4)"), "{note}");
        let mut draining = publication("[]");
        assert!(left_out("n", &draining, "u").is_none());
        draining.left_out = vec!["ns/a".to_owned(), "ns/b".to_owned()];
        let event = left_out("n", &draining, "u").unwrap();
        assert_eq!((event.reason.as_deref(), event.type_.as_deref()), (Some("NetworksLeftOut"), Some("Warning")));
        assert!(event.note.is_some_and(|note| note.contains("without ns/a, ns/b.")));
        let long = refused("n", &publication("[]"), "u", &"é".repeat(2000));
        assert!(long.note.is_some_and(|note| note.len() <= LONGEST_NOTE));
        let told = refused("n", &publication("[]"), "u", "a\u{1b}[31m\nb\u{202e}c\u{9b}é");
        assert!(told.note.is_some_and(|note| note.ends_with(": a [31m b c é")));
    }
}
