//! The cluster as a directory of manifests: for a machine without Kubernetes, for the demo and for tests.

pub mod manifest;
pub(super) mod publish;
pub(super) mod source;
pub mod tree;
pub(in crate::cluster) mod yaml;
