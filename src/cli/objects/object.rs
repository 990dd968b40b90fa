//! An object of Kubernetes, whatever its kind.

use super::source::Place;
use crate::cluster::manifests::tree::Node;

/// The API group of networks, and their kind.
pub const GROUP: &str = "k8s.cni.cncf.io";
/// See above.
pub const KIND: &str = "NetworkAttachmentDefinition";
/// The API group of pools of addresses, and their kind.
pub const POOLS: &str = "ipam.plexus.dev";
/// See above.
pub const POOL: &str = "AddressPool";

/// On a Service: the additional network whose addresses its endpoints are to have.
const SERVICE_NETWORK: &str = "k8s.v1.cni.cncf.io/service-network";

/// An object of Kubernetes.
#[derive(Clone, Debug)]
pub struct Object {
    /// Which source it is in.
    pub source: usize,
    /// The whole of it.
    pub root: Node,
    /// Its kind.
    pub kind: String,
    /// Its API group; empty for the first one.
    pub group: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Object {
    /// Whether it is a NetworkAttachmentDefinition.
    pub fn is_network(&self) -> bool {
        self.group == GROUP && self.kind == KIND
    }

    /// Whether it is an AddressPool.
    pub fn is_pool(&self) -> bool {
        self.group == POOLS && self.kind == POOL
    }

    /// The additional network that a Service names by the convention of multus-service; none of another object.
    pub fn network_of_service(&self) -> Option<&Node> {
        let is_service = self.group.is_empty() && self.kind == "Service";
        self.root.below(&["metadata", "annotations", SERVICE_NETWORK]).filter(|_| is_service)
    }

    /// The place of `node`, which is a part of it.
    pub fn place(&self, node: &Node) -> Place {
        Place { source: self.source, at: node.at }
    }

    /// `Kind namespace/name`; a pool has no namespace.
    pub fn label(&self) -> String {
        if self.is_pool() {
            return format!("{} {}", self.kind, self.name);
        }
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}
