//! What is known of the cluster, in memory.

use super::pod::KnownPod;
use crate::api::cached::{CachedNetwork, CachedPod};
use crate::nad::{Definition, NadRef, PodRef};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A pod by namespace and name.
pub type PodName = (String, String);

/// The longest configuration that is kept. Who makes networks says how long they are, on every node of the cluster.
const MAX_KEPT: usize = 64 << 10;
/// All configurations that are kept together; the limit of the daemon's container is four times as much.
const MAX_BYTES: usize = 16 << 20;

/// The definitions of the cluster and the pods of this node. One source fills it, every question reads it.
#[derive(Debug)]
pub struct Cache {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    definitions: BTreeMap<NadRef, Kept>,
    /// Of the configurations that are kept.
    bytes: usize,
    pods: HashMap<PodName, Arc<KnownPod>>,
    definitions_synced: bool,
    pods_synced: bool,
    confirmed: bool,
    /// Why the definitions are not known yet.
    trouble: String,
}

/// So many names are compared with one that does not exist.
const MOST_COMPARED: usize = 1000;

/// A definition that is there.
#[derive(Debug)]
enum Kept {
    Whole(Arc<Definition>, Version),
    /// It is asked for each time it is needed.
    TooLong(Version),
}

/// The number of an object's `resourceVersion`; 0 if it has none, as in a manifest.
type Version = u64;

// A cluster may have many thousands of NADs, and the daemon has 64 MiB for all that it knows.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<(NadRef, Kept)>() <= 72 && size_of::<Definition>() <= 104);

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Kept::Whole(definition, _) => definition.config.as_ref().map_or(0, String::len),
            Kept::TooLong(_) => 0,
        }
    }

    fn definition(&self) -> Option<&Arc<Definition>> {
        match self {
            Kept::Whole(definition, _) => Some(definition),
            Kept::TooLong(_) => None,
        }
    }

    fn version(&mut self) -> &mut Version {
        match self {
            Kept::Whole(_, version) | Kept::TooLong(version) => version,
        }
    }
}

impl Known {
    fn put(&mut self, nad: NadRef, kept: Kept) {
        self.bytes += kept.bytes();
        self.bytes -= self.definitions.insert(nad, kept).map_or(0, |before| before.bytes());
    }

    fn remove(&mut self, nad: &NadRef) {
        self.bytes -= self.definitions.remove(nad).map_or(0, |before| before.bytes());
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache { known: Mutex::default(), changed: watch::channel(()).0 }
    }
}

impl Cache {
    /// Whether there is a definition `nad`, also where it is not kept.
    pub fn has_definition(&self, nad: &NadRef) -> bool {
        self.known().definitions.contains_key(nad)
    }

    /// The definition `nad`, if it is known and kept.
    pub fn definition(&self, nad: &NadRef) -> Option<Arc<Definition>> {
        self.known().definitions.get(nad).and_then(Kept::definition).cloned()
    }

    /// Whether `nad` is known to be there, and too long to be kept.
    pub fn is_too_long(&self, nad: &NadRef) -> bool {
        matches!(self.known().definitions.get(nad), Some(Kept::TooLong(_)))
    }

    /// Whether `definition` is short enough to be kept, in memory or as a copy.
    pub fn is_short(definition: &Definition) -> bool {
        definition.config.as_ref().map_or(0, String::len) <= MAX_KEPT
    }

    /// Why the definitions cannot be listed; empty where nothing is wrong.
    pub fn trouble(&self) -> String {
        self.known().trouble.clone()
    }

    /// Notes why the definitions cannot be listed.
    pub fn set_trouble(&self, why: &str) {
        let mut known = self.known();
        if known.trouble != why {
            why.clone_into(&mut known.trouble);
            drop(known);
            self.changed.send_replace(());
        }
    }

    /// How many bytes of configurations are kept.
    pub fn bytes(&self) -> usize {
        self.known().bytes
    }

    /// The pod of that namespace and name, if it is known; its UID is for the caller to compare.
    pub fn pod(&self, pod: &PodRef) -> Option<Arc<KnownPod>> {
        self.known().pods.get(&(pod.namespace().to_owned(), pod.name().to_owned())).cloned()
    }

    /// The definitions in their order, and which of them are not kept.
    pub fn networks(&self, most: usize) -> Vec<CachedNetwork> {
        let network = |(nad, kept): (&NadRef, &Kept)| CachedNetwork {
            nad: nad.clone(),
            resource_version: match kept {
                Kept::Whole(_, 0) | Kept::TooLong(0) => None,
                Kept::Whole(_, version) | Kept::TooLong(version) => Some(version.to_string()),
            },
            bytes: kept.definition().map(|_| kept.bytes()),
            resource_name: kept.definition().and_then(|definition| definition.resource_name.clone()),
        };
        self.known().definitions.iter().take(most).map(network).collect()
    }

    /// The network of its namespace that is probably meant by `nad`, which does not exist. The names of other namespaces are
    /// not for every author of a pod.
    pub fn meant(&self, nad: &NadRef) -> Option<NadRef> {
        let known = self.known();
        let others = known.definitions.keys().filter(|other| other.namespace() == nad.namespace());
        nad.nearest(others.take(MOST_COMPARED)).cloned()
    }

    /// The pods by their names.
    pub fn pods(&self, most: usize) -> Vec<CachedPod> {
        let pod = |((namespace, name), pod): (&PodName, &Arc<KnownPod>)| CachedPod {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: pod.uid().map(str::to_owned),
            selects: pod.annotations().map(|ours| ours.values().any(|text| !text.trim().is_empty())),
        };
        let mut pods: Vec<CachedPod> = self.known().pods.iter().map(pod).collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        pods.truncate(most);
        pods
    }

    /// How many definitions and pods are known.
    pub fn sizes(&self) -> (usize, usize) {
        let known = self.known();
        (known.definitions.len(), known.pods.len())
    }

    /// Whether every definition has been seen once.
    pub fn definitions_synced(&self) -> bool {
        self.known().definitions_synced
    }

    /// Whether every pod of this node has been seen once.
    pub fn pods_synced(&self) -> bool {
        self.known().pods_synced
    }

    /// Whether the definitions are those of the cluster as far as can be told now.
    pub fn confirmed(&self) -> bool {
        self.known().confirmed
    }

    /// Waits at most `within` until `look` finds something.
    pub async fn wait<T>(&self, within: Duration, look: impl Fn(&Cache) -> Option<T>) -> Option<T> {
        let mut changes = self.changes();
        let found = async {
            loop {
                if let Some(found) = look(self) {
                    return found;
                }
                // The sender lives in the cache: this cannot fail, and if it did the time would run out.
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, found).await.ok()
    }

    /// Tells of every change after this call.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Adds or replaces a definition; an equal one stays the same object.
    pub(super) fn put_definition(&self, definition: Arc<Definition>) {
        self.change(|known| {
            if known.definitions.get(&definition.nad).and_then(Kept::definition) != Some(&definition) {
                known.put(definition.nad.clone(), Kept::Whole(definition, 0));
            }
        });
    }

    /// The same of one that can be asked for again: too long a one is only known to be there.
    pub(super) fn offer_definition(&self, definition: Arc<Definition>) {
        let bytes = definition.config.as_ref().map_or(0, String::len);
        let others = {
            let known = self.known();
            known.bytes - known.definitions.get(&definition.nad).map_or(0, Kept::bytes)
        };
        if Cache::is_short(&definition) && others + bytes <= MAX_BYTES {
            return self.put_definition(definition);
        }
        tracing::debug!(nad = %definition.nad, bytes, "a NAD is too long for the cache: it is read when a pod needs it");
        self.change(|known| known.put(definition.nad.clone(), Kept::TooLong(0)));
    }

    /// Notes which version of the object `nad` is known. Only a person asks for it, so nobody who waits is told.
    pub(super) fn note_version(&self, nad: &NadRef, version: &str) {
        if let (Ok(version), Some(kept)) = (version.parse(), self.known().definitions.get_mut(nad)) {
            *kept.version() = version;
        }
    }

    /// Forgets a definition.
    pub(super) fn remove_definition(&self, nad: &NadRef) {
        self.change(|known| known.remove(nad));
    }

    /// Every definition has been seen: those not in `seen` are gone.
    pub(super) fn definitions_are(&self, seen: &HashSet<NadRef>) {
        self.definitions_are_at_least(seen, true);
    }

    /// As [`Cache::definitions_are`]; where they are not `all`, a definition that is not in `seen` may still exist.
    pub(super) fn definitions_are_at_least(&self, seen: &HashSet<NadRef>, all: bool) {
        self.change(|known| {
            known.definitions.retain(|nad, _| seen.contains(nad));
            known.bytes = known.definitions.values().map(Kept::bytes).sum();
            known.definitions_synced = true;
            known.confirmed = all;
        });
    }

    /// Says whether the definitions are known to be current.
    pub(super) fn set_confirmed(&self, confirmed: bool) {
        self.change(|known| known.confirmed = confirmed);
    }

    /// Adds or replaces a pod.
    pub(super) fn put_pod(&self, name: PodName, pod: KnownPod) {
        self.change(|known| drop(known.pods.insert(name, Arc::new(pod))));
    }

    /// Forgets the pod `name` if it is the one with `uid`: the next one of that name may be known already.
    pub(super) fn remove_pod(&self, name: &PodName, uid: Option<&str>) {
        self.change(|known| {
            if known.pods.get(name).is_some_and(|pod| uid.is_none() || pod.uid() == uid) {
                known.pods.remove(name);
            }
        });
    }

    /// Every pod has been seen: those not in `seen` are gone.
    pub(super) fn pods_are(&self, seen: &HashSet<PodName>) {
        self.change(|known| {
            known.pods.retain(|name, _| seen.contains(name));
            known.pods_synced = true;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.changed.send_replace(());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No change can end half way: what a panicking thread leaves is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str) -> Arc<Definition> {
        Arc::new(Definition::new(NadRef::new("default", name).unwrap(), None, |_| None))
    }

    #[test]
    fn what_is_not_listed_is_gone() {
        let cache = Cache::default();
        cache.put_definition(definition("a"));
        cache.put_definition(definition("b"));
        assert!(!cache.definitions_synced());
        cache.definitions_are(&HashSet::from([definition("b").nad.clone()]));
        assert!(cache.definitions_synced() && cache.definition(&definition("a").nad).is_none());
        assert_eq!(cache.sizes(), (1, 0));
    }

    #[test]
    fn a_network_is_meant_in_its_own_namespace_only() {
        let cache = Cache::default();
        cache.put_definition(definition("lan"));
        let meant = |namespace: &str, name: &str| cache.meant(&NadRef::new(namespace, name).unwrap());
        assert_eq!(meant("default", "lam"), Some(definition("lan").nad.clone()));
        assert_eq!(meant("defaults", "lan"), None, "of another namespace");
        assert_eq!(meant("default", "storage"), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = Cache::default();
        let of = |name: &str, bytes: usize| {
            let nad = NadRef::new("default", name).unwrap();
            Arc::new(Definition::new(nad, Some("x".repeat(bytes)), |_| None))
        };
        cache.offer_definition(of("long", MAX_KEPT + 1));
        let long = of("long", 1).nad.clone();
        assert!(cache.is_too_long(&long) && cache.definition(&long).is_none());
        assert_eq!((cache.sizes().0, cache.bytes()), (1, 0));
        // It is mended, and broken again.
        cache.offer_definition(of("long", 10));
        assert!(!cache.is_too_long(&long) && cache.definition(&long).is_some());
        assert_eq!(cache.bytes(), 10);
        (0..1000).for_each(|n| cache.offer_definition(of(&format!("n{n}"), MAX_KEPT)));
        assert!(cache.bytes() <= MAX_BYTES && cache.sizes().0 == 1001);
        assert!(cache.is_too_long(&of("n999", 0).nad) && cache.definition(&of("n0", 0).nad).is_some());
        cache.remove_definition(&of("n0", 0).nad);
        cache.offer_definition(of("n999", MAX_KEPT));
        assert!(!cache.is_too_long(&of("n999", 0).nad));
        cache.definitions_are(&HashSet::from([long]));
        assert_eq!((cache.sizes().0, cache.bytes()), (1, 10));
    }

    #[test]
    fn the_end_of_an_old_pod_does_not_hide_the_new_one() {
        let cache = Cache::default();
        let name = ("default".to_owned(), "web-0".to_owned());
        cache.put_pod(name.clone(), KnownPod::new(Some("new"), |_| None));
        cache.remove_pod(&name, Some("old"));
        assert_eq!(cache.sizes(), (0, 1));
        cache.remove_pod(&name, Some("new"));
        assert_eq!(cache.sizes(), (0, 0));
    }

    #[test]
    fn the_version_of_an_object_is_shown_and_tells_nobody() {
        let cache = Cache::default();
        cache.offer_definition(definition("a"));
        let changes = cache.changes();
        cache.note_version(&definition("a").nad, "4711");
        assert!(!changes.has_changed().unwrap());
        let version = || cache.networks(1)[0].resource_version.clone();
        assert_eq!(version().as_deref(), Some("4711"));
        // The same content in a newer object, and one without a version.
        cache.offer_definition(definition("a"));
        cache.note_version(&definition("a").nad, "4712");
        assert_eq!(version().as_deref(), Some("4712"));
        cache.offer_definition(Arc::new(Definition::new(definition("a").nad.clone(), Some("{}".into()), |_| None)));
        assert_eq!(version(), None);
    }
}
