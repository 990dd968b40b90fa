//! What a watch shows of objects without a namespace, reduced to what is read of them. It only shows: what is done rests
//! on a question.

use crate::cluster::addresses::{AddressBlock, AddressPool};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::pools::SeenPool;
use crate::cluster::kubernetes::watch::Watch;
use crate::ipam::Block;
use crate::ipam::usage::Lease;
use kube::Resource;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The objects of a kind by their names.
#[derive(Debug)]
pub struct Mirror<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    listing: BTreeMap<String, T>,
    /// None before the first list is complete.
    there: Option<BTreeMap<String, T>>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Mirror(Mutex::new(Known { listing: BTreeMap::new(), there: None }))
    }
}

impl<T: Clone> Mirror<T> {
    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is; none before the first list is complete.
    pub fn all(&self) -> Option<Vec<T>> {
        self.known().there.as_ref().map(|there| there.values().cloned().collect())
    }

    fn take<K: Resource>(&self, event: Event<K>, read: impl Fn(K) -> Option<T>) {
        let mut known = self.known();
        let name = |object: &K| object.meta().name.clone().unwrap_or_default();
        match event {
            Event::Init => known.listing.clear(),
            Event::InitApply(object) => {
                let name = name(&object);
                known.listing.extend(read(object).map(|read| (name, read)));
            }
            Event::InitDone => known.there = Some(std::mem::take(&mut known.listing)),
            Event::Apply(object) => {
                let (name, there) = (name(&object), known.there.get_or_insert_default());
                // What cannot be read is not there.
                there.remove(&name);
                there.extend(read(object).map(|read| (name, read)));
            }
            Event::Delete(object) => {
                known.there.get_or_insert_default().remove(&name(&object));
            }
        }
    }
}

/// A leased block, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBlock {
    /// Its pool.
    pub pool: String,
    /// The block and its node.
    pub lease: Lease,
}

impl Kubernetes {
    /// Keeps `mirror` as the pools are, for ever.
    pub async fn follow_pools(&self, mirror: &Mirror<SeenPool>) {
        self.follow_all::<AddressPool, _>(("address_pools", "AddressPools"), mirror, SeenPool::of).await;
    }

    /// Keeps `mirror` as the blocks are, for ever.
    pub async fn follow_blocks(&self, mirror: &Mirror<ShownBlock>) {
        let read = |block: AddressBlock| {
            let (spec, first) = (&block.spec, block.spec.first.parse().ok()?);
            let lease = Lease { block: Block { first, size: spec.size }, node: spec.node.clone() };
            Some(ShownBlock { pool: spec.pool.clone(), lease })
        };
        self.follow_all::<AddressBlock, _>(("address_blocks", "AddressBlocks"), mirror, read).await;
    }

    pub(super) async fn follow_all<K, T: Clone>(
        &self,
        (watch, name): (&'static str, &'static str),
        mirror: &Mirror<T>,
        read: impl Fn(K) -> Option<T>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let source = self.source(watch);
        let mut watch = Watch::<K>::new(&source, name, String::new());
        loop {
            if let Some(event) = watch.next().await {
                mirror.take(event, &read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Node;

    #[test]
    fn a_mirror_shows_what_is_there() {
        let mirror: Mirror<String> = Mirror::default();
        let node = |name: &str| {
            let mut node = Node::default();
            node.metadata.name = Some(name.to_owned());
            node
        };
        let take = |event| mirror.take(event, |node: Node| node.metadata.name.filter(|name| name != "odd"));
        take(Event::Init);
        take(Event::InitApply(node("a")));
        assert_eq!(mirror.all(), None);
        take(Event::InitDone);
        take(Event::Apply(node("b")));
        take(Event::Apply(node("odd")));
        assert_eq!(mirror.all().unwrap(), ["a", "b"]);
        take(Event::Delete(node("a")));
        assert_eq!(mirror.all().unwrap(), ["b"]);
        // The next list, after a watch that was interrupted.
        take(Event::Init);
        take(Event::InitApply(node("c")));
        assert_eq!(mirror.all().unwrap(), ["b"]);
        take(Event::InitDone);
        assert_eq!(mirror.all().unwrap(), ["c"]);
    }
}
