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
    /// None where they are too long to be kept.
    annotations: Option<BTreeMap<String, String>>,
}

/// Annotations that are longer are asked for each time: a node has hundreds of pods, and each may have 256 KiB.
const MAX_KEPT: usize = 16 << 10;

impl KnownPod {
    /// The pod with `uid`, and what its annotations say, looked up by `annotation`.
    pub fn new<'a>(uid: Option<&str>, annotation: impl Fn(&str) -> Option<&'a str>) -> Self {
        let ours = |key: &&str| annotation(key).map(|value| ((*key).to_owned(), value.to_owned()));
        KnownPod {
            uid: uid.filter(|uid| !uid.is_empty()).map(Into::into),
            file_hashes: FILE_HASHES.iter().filter_map(|key| annotation(key)).map(Into::into).collect(),
            annotations: Some([NETWORKS, DEFAULT_NETWORK].iter().filter_map(ours).collect()),
        }
    }

    /// The same without annotations that are too long to be kept.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        self.annotations = self.annotations.filter(|ours| ours.values().map(String::len).sum::<usize>() <= MAX_KEPT);
        self
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

    /// The annotations that are ours to read; none where they were too long to be kept.
    pub fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.annotations.as_ref()
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
        assert_eq!(pod.annotations().unwrap().keys().collect::<Vec<_>>(), [NETWORKS, DEFAULT_NETWORK]);
        assert!(pod.bounded().annotations().is_some());
        let long = "x".repeat(MAX_KEPT);
        let pod = KnownPod::new(Some("a"), |key| Some(long.as_str()).filter(|_| !key.starts_with("kubernetes.io/")));
        assert!(pod.is("a") && pod.bounded().annotations().is_none());
    }
}
