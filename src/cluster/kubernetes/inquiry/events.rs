//! Events: of one pod, of all pods, and of the DaemonSet whose pods are missing.

use super::{DAEMON_LABELS, Inquiry, Scope, SeenEvent, SeenPod, Unanswered};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;

/// The DaemonSet of Plexus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenDaemonSet {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The last event about it that warns; none is known without the right to list events.
    pub warning: Option<SeenEvent>,
}

impl Inquiry {
    /// The events about `pod`, the oldest first; not those of an earlier pod with its name.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn events(&self, pod: &SeenPod) -> Result<Vec<SeenEvent>, Unanswered> {
        let scope = Scope { namespace: Some(pod.namespace.clone()), ..Scope::default() };
        let SeenPod { name, kubelet_uid: uid, .. } = pod;
        let fields = format!("involvedObject.kind=Pod,involvedObject.name={name},involvedObject.uid={uid}");
        self.events_where(&scope, &fields, &format!("the events of pod {name}"))
    }

    /// The events of all pods with `reason`, the oldest first.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn events_with(&self, reason: &str) -> Result<Vec<SeenEvent>, Unanswered> {
        let fields = format!("involvedObject.kind=Pod,reason={reason}");
        self.events_where(&Scope::default(), &fields, &format!("the events {reason}"))
    }

    /// The DaemonSet of Plexus; of several the one that a warning is about. None where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn daemon_set(&self) -> Result<Option<SeenDaemonSet>, Unanswered> {
        let scope = Scope { namespace: Some(self.daemon_namespace()), ..Scope::default() };
        let own = ListParams::default().labels(DAEMON_LABELS);
        let sets: Vec<DaemonSet> = self.list(&self.of::<DaemonSet>(&scope), own, "the DaemonSets")?;
        let mut found: Vec<SeenDaemonSet> = sets.into_iter().map(|set| self.with_warning(&scope, set)).collect();
        // Stable: without warnings the first by name.
        found.sort_by_key(|set| set.warning.is_none());
        Ok(found.into_iter().next())
    }

    fn with_warning(&self, scope: &Scope, set: DaemonSet) -> SeenDaemonSet {
        let metadata = set.metadata;
        let (name, uid) = (metadata.name.unwrap_or_default(), metadata.uid.unwrap_or_default());
        let fields = format!("involvedObject.kind=DaemonSet,involvedObject.name={name},involvedObject.uid={uid}");
        let events = self.events_where(scope, &fields, &format!("the events of DaemonSet {name}")).unwrap_or_default();
        let warning = events.into_iter().rfind(|event| event.kind == "Warning");
        SeenDaemonSet { namespace: metadata.namespace.unwrap_or_default(), name, warning }
    }

    /// The events of `scope` with `fields`, the oldest first.
    fn events_where(&self, scope: &Scope, fields: &str, what: &str) -> Result<Vec<SeenEvent>, Unanswered> {
        let events: Api<Event> = self.of(scope);
        let found = self.list(&events, ListParams::default().fields(fields), what)?;
        let mut found: Vec<SeenEvent> = found.into_iter().map(SeenEvent::from).collect();
        found.sort_by_key(|event| event.last);
        Ok(found)
    }
}
