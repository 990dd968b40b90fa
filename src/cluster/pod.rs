//! What is kept of a pod: who it is, and the annotations that are ours to read.

use crate::nad::{DEFAULT_NETWORK, NETWORKS};
use std::collections::BTreeMap;

/// On the API object of a static pod: the hash of the file it was read from, which is the UID that
/// runtimes know the pod by.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// The annotations that hold it.
const FILE_HASHES: [&str; 2] = [MIRROR, "kubernetes.io/config.hash"];

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPod {
    /// None for a manifest that does not say it: such a pod is whichever is asked for.
    uid: Option<Box<str>>,
    file_hashes: Vec<Box<str>>,
    annotations: BTreeMap<String, String>,
}

impl KnownPod {
    /// The pod with `uid`, and what its annotations say, looked up by `annotation`.
    pub fn new<'a>(uid: Option<&str>, annotation: impl Fn(&str) -> Option<&'a str>) -> Self {
        let ours = |key: &&str| annotation(key).map(|value| ((*key).to_owned(), value.to_owned()));
        KnownPod {
            uid: uid.filter(|uid| !uid.is_empty()).map(Into::into),
            file_hashes: FILE_HASHES.iter().filter_map(|key| annotation(key)).map(Into::into).collect(),
            annotations: [NETWORKS, DEFAULT_NETWORK].iter().filter_map(ours).collect(),
        }
    }

    /// Whether this is the pod that a runtime knows by `asked`: another pod of the same name is an older one.
    pub fn is(&self, asked: &str) -> bool {
        self.uid.as_deref().is_none_or(|uid| uid == asked) || self.is_mirror_of(asked)
    }

    /// Whether this is the API object of the static pod that a runtime knows by `asked`.
    pub fn is_mirror_of(&self, asked: &str) -> bool {
        self.file_hashes.iter().any(|hash| hash.as_ref() == asked)
    }

    /// The UID of the API object.
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// The annotations that are ours to read.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_by_its_uid_or_its_file() {
        let none = |_: &str| None;
        let mirror = |key: &str| Some("hash").filter(|_| key == "kubernetes.io/config.mirror");
        let table = [
            (KnownPod::new(Some("a"), none), "a", true),
            (KnownPod::new(Some("a"), none), "b", false),
            (KnownPod::new(None, none), "b", true),
            (KnownPod::new(Some("a"), mirror), "hash", true),
            (KnownPod::new(Some("a"), mirror), "a", true),
            (KnownPod::new(Some("a"), mirror), "b", false),
        ];
        for (pod, asked, expected) in table {
            assert_eq!(pod.is(asked), expected, "{pod:?} {asked}");
        }
    }

    #[test]
    fn only_our_annotations_are_kept() {
        let pod = KnownPod::new(Some("a"), |key| Some("x").filter(|_| !key.starts_with("kubernetes.io/")));
        assert_eq!(pod.annotations().keys().collect::<Vec<_>>(), [NETWORKS, DEFAULT_NETWORK]);
    }
}
