//! Manifests as `plan` and `lint` read them: networks, pods and templates of pods, each with its place in a file.

pub mod network;
pub mod object;
pub mod pod;
pub mod read;
pub mod source;

use crate::cluster::manifests::tree::Node;
use network::Network;
use object::Object;
use pod::Pod;
use source::{Place, Source};

/// Everything that was given.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The texts.
    pub sources: Vec<Source>,
    /// Every object in them.
    pub all: Vec<Object>,
    /// The networks among them.
    pub networks: Vec<Network>,
    /// The pods and templates among them.
    pub pods: Vec<Pod>,
    /// The files and directories that cannot be read.
    pub unread: Vec<Unread>,
    /// They are all objects of a cluster, with what its controllers and runtimes write into them.
    pub is_cluster: bool,
    /// They are those of this namespace alone: nothing is known of the others.
    pub only_namespace: Option<String>,
    /// The AddressPools of the cluster could not be listed.
    pub pools_are_unknown: bool,
}

/// A file, a directory or an object of a cluster that cannot be read. It has a source, and no object.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The first place that is not understood.
    pub place: Place,
    /// Why, without the place.
    pub why: String,
}

impl Objects {
    /// The network that is called so.
    pub fn network(&self, nad: &crate::nad::NadRef) -> Option<&Network> {
        self.networks.iter().find(|network| network.nad == *nad)
    }

    /// Whether the network called so is not there, as far as these objects show.
    pub fn is_missing(&self, nad: &crate::nad::NadRef) -> bool {
        let is_seen = self.only_namespace.as_deref().is_none_or(|namespace| namespace == nad.namespace());
        is_seen && self.network(nad).is_none()
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        let is_unread = |number: usize| self.unread.iter().any(|one| one.place.source == number);
        self.sources.iter().enumerate().filter(|(number, source)| source.is_file && !is_unread(*number)).count()
    }

    /// The AddressPools.
    pub fn pools(&self) -> impl Iterator<Item = &Object> {
        self.all.iter().filter(|object| object.is_pool())
    }

    /// The Services that name an additional network.
    pub fn services(&self) -> impl Iterator<Item = (usize, &Object, &Node)> {
        let named = |(number, object): (usize, _)| Some((number, object, Object::network_of_service(object)?));
        self.all.iter().enumerate().filter_map(named)
    }

    /// How many objects are of no kind that a rule is about, and have no pods: no command looks at them.
    pub fn others(&self) -> usize {
        let has_pods = |number: usize| self.pods.iter().any(|pod| pod.object == number);
        let is_looked_at = |(number, object): &(usize, &Object)| {
            let is_of_rule = object.is_network() || object.is_pool() || object.network_of_service().is_some();
            is_of_rule || has_pods(*number)
        };
        self.all.iter().enumerate().filter(|one| !is_looked_at(one)).count()
    }

    /// The object of `pod`.
    pub fn object_of(&self, pod: &Pod) -> &Object {
        &self.all[pod.object]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_another_namespace_nothing_is_missing_where_one_was_read() {
        let nad = |namespace| crate::nad::NadRef::new(namespace, "a").unwrap();
        let one = Objects { only_namespace: Some("apps".to_owned()), ..Objects::default() };
        assert!(one.is_missing(&nad("apps")) && !one.is_missing(&nad("storage")));
        assert!(Objects::default().is_missing(&nad("storage")));
    }
}
