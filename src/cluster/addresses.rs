//! The resources of addresses that are unique in the cluster: what `crd/addresses` holds.

use crate::cluster::pool_status::PoolStatus;
use crate::ipam::epoch::Record;
use crate::ipam::holder::Owned;
use crate::ipam::overlap::Claimant;
use crate::ipam::reservation::{Reservation, Whose};
use crate::ipam::scarcity::{Mark, Wanted};
use crate::ipam::{Block, PoolName, PoolSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The label of a block with the name of its pool.
pub const POOL: &str = "ipam.plexus.dev/pool";
/// The label of a block with a number that stands for its node: a node's name may be too long for a label.
pub const NODE: &str = "ipam.plexus.dev/node";

/// An AddressPool: the specification is what the node computes with.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ipam.plexus.dev",
    version = "v1alpha1",
    kind = "AddressPool",
    no_spec,
    status = "PoolStatus",
    doc = "Addresses of one network, of which no two pods of the cluster have the same.",
    printcolumn = r#"{"name":"Ranges","type":"string","jsonPath":".spec.ranges[*].range"}"#,
    printcolumn = r#"{"name":"Leased","type":"string","jsonPath":".status.use"}"#,
    printcolumn = r#"{"name":"Blocks","type":"integer","jsonPath":".status.blocks"}"#,
    printcolumn = r#"{"name":"Nodes","type":"integer","jsonPath":".status.nodes"}"#,
    printcolumn = r#"{"name":"Overlaps","type":"string","jsonPath":".status.conditions[?(@.type=='Overlaps')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(rename = "AddressPool")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')", "message": "the name of a pool is a DNS label"},
]))]
pub struct PoolContent {
    /// The pool.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.blockSize == oldSelf.blockSize", "message": "blockSize cannot be changed"},
        {"rule": "self.blockSize.v4 in [1, 2, 4, 8, 16, 32, 64, 128, 256] && self.blockSize.v6 in [1, 2, 4, 8, 16, 32, 64, 128, 256]", "message": "blockSize is a power of two from 1 to 256"},
        {"rule": "self.warm.min <= self.warm.max", "message": "warm.min is not more than warm.max"},
    ]))]
    pub spec: PoolSpec,
}

/// What an AddressBlock says. The object is the lock: its name stands for its addresses, and it is created if absent.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ipam.plexus.dev",
    version = "v1alpha1",
    kind = "AddressBlock",
    doc = "Addresses of a pool that one node leases. Plexus creates and deletes these objects.",
    printcolumn = r#"{"name":"Pool","type":"string","jsonPath":".spec.pool"}"#,
    printcolumn = r#"{"name":"First","type":"string","jsonPath":".spec.first"}"#,
    printcolumn = r#"{"name":"Size","type":"integer","jsonPath":".spec.size"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.pool == oldSelf.pool && self.first == oldSelf.first && self.size == oldSelf.size && self.node == oldSelf.node", "message": "only the lease and the epoch of a block can be changed"},
]))]
pub struct AddressBlockSpec {
    /// The pool.
    #[schemars(length(max = 63))]
    pub pool: String,
    /// The first address.
    #[schemars(length(max = 45))]
    pub first: String,
    /// How many addresses it has.
    #[schemars(range(min = 1, max = 256))]
    pub size: u32,
    /// The node that may take addresses from it.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The UID of the AddressNode of that node when the block was leased.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub epoch: String,
    /// Which lease of the block this is.
    #[schemars(length(max = 100))]
    pub lease: String,
}

/// What an AddressNode says. Its UID is the epoch that blocks name, its name is that of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ipam.plexus.dev",
    version = "v1alpha1",
    kind = "AddressNode",
    doc = "A node that leases blocks of addresses. Plexus creates and deletes these objects.",
    printcolumn = r#"{"name":"Revoked","type":"string","jsonPath":".spec.revokedAt"}"#,
    printcolumn = r#"{"name":"Dead","type":"boolean","jsonPath":".spec.dead"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.dead || !oldSelf.dead", "message": "what is dead stays dead"},
    {"rule": "!self.dead || oldSelf.dead || self.revokedAt == oldSelf.revokedAt && oldSelf.revokedAt != ''", "message": "only a revoked node becomes dead"},
]))]
pub struct AddressNodeSpec {
    /// When the controller saw that the Node is gone. A daemon that lives takes this away.
    #[serde(rename = "revokedAt")]
    #[schemars(length(max = 40))]
    pub revoked_at: String,
    /// No address is given any more, and the blocks of this node are deleted. Set after the quarantine.
    pub dead: bool,
}

/// What an AddressShortage says. Its name is that of the pool, which may be one that sections of whereabouts imply; or that of
/// one block.
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ipam.plexus.dev",
    version = "v1alpha1",
    kind = "AddressShortage",
    doc = "A pod waits for an address of the pool, or of the block, of this name: nodes return what they keep beyond their need. Plexus creates and deletes these objects.",
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct AddressShortageSpec {
    /// The node that asked last.
    #[schemars(length(max = 253))]
    pub node: String,
    /// Another word each time that a node asks.
    #[schemars(length(max = 100))]
    pub word: String,
}

/// What an AddressReservation says: addresses that are kept for one interface of a pod. It is a hint; blocks are the lock.
#[derive(Clone, Debug, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ipam.plexus.dev",
    version = "v1alpha1",
    kind = "AddressReservation",
    doc = "Addresses that are kept for a pod of this name, on every node. Plexus creates and deletes these objects.",
    printcolumn = r#"{"name":"Pool","type":"string","jsonPath":".spec.pool"}"#,
    printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".spec.addresses[*]"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".spec.namespace"}"#,
    printcolumn = r#"{"name":"Pod","type":"string","jsonPath":".spec.pod"}"#,
    printcolumn = r#"{"name":"Interface","type":"string","jsonPath":".spec.interface"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.pool == oldSelf.pool && self.__namespace__ == oldSelf.__namespace__ && self.pod == oldSelf.pod && self.interface == oldSelf.interface && self.addresses == oldSelf.addresses", "message": "only the node of a reservation can be changed"},
]))]
pub struct AddressReservationSpec {
    /// The pool.
    #[schemars(length(max = 63))]
    pub pool: String,
    /// The namespace of the pod.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// The name of the pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// The interface in the pod.
    #[schemars(length(max = 15))]
    pub interface: String,
    /// The addresses: one of each family of the pool.
    #[schemars(length(min = 1, max = 2), inner(length(max = 45)))]
    pub addresses: Vec<String>,
    /// The node that had the pod last.
    #[schemars(length(max = 253))]
    pub node: String,
}

/// The name of the object of `block`: no other block of any pool has it.
pub fn block_name(pool: &PoolName, block: &Block) -> String {
    format!("{pool}.{}", block.hex())
}

/// The value of the label [`NODE`] for `node` (FNV-1a): it only selects, and the specification has the name.
pub fn node_label(node: &str) -> String {
    format!("{:016x}", number(node))
}

/// A number for `text`, in which no cryptographic property is needed.
pub fn number(text: &str) -> u64 {
    crate::ipam::name::number_of(text)
}

impl AddressBlock {
    /// The object of `block` of `pool`, leased by `node` in `epoch`.
    pub fn of(pool: &PoolName, block: &Block, (node, epoch): (&str, &str), lease: &str) -> Self {
        let spec = AddressBlockSpec {
            pool: pool.to_string(),
            first: block.first.to_string(),
            size: block.size,
            node: node.to_owned(),
            epoch: epoch.to_owned(),
            lease: lease.to_owned(),
        };
        let mut object = AddressBlock::new(&block_name(pool, block), spec);
        let labels = [(POOL.to_owned(), pool.to_string()), (NODE.to_owned(), node_label(node))];
        object.metadata.labels = Some(labels.into());
        object
    }

    /// What the object says in `epoch`, where it is one that a daemon has made.
    pub fn owned(&self, epoch: &str) -> Option<Owned> {
        let pool = PoolName::new(self.spec.pool.clone()).ok()?;
        let block = Block { first: self.spec.first.parse::<IpAddr>().ok()?, size: self.spec.size };
        let is_named = self.metadata.name.as_deref() == Some(block_name(&pool, &block).as_str());
        let version = self.metadata.resource_version.clone()?;
        let is_current = self.spec.epoch == epoch;
        is_named.then(|| Owned { block, lease: self.spec.lease.clone(), version, is_current })
    }
}

/// What is kept of an AddressBlock of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnBlock {
    pool: String,
    epoch: String,
    owned: Owned,
}

impl OwnBlock {
    /// Of `block`, where it is one that a daemon has made.
    pub fn of(block: &AddressBlock) -> Option<Self> {
        let AddressBlockSpec { pool, epoch, .. } = &block.spec;
        Some(OwnBlock { pool: pool.clone(), epoch: epoch.clone(), owned: block.owned(epoch)? })
    }

    /// What it is for `pool` of its node, which is in `epoch`; none where it is of another pool.
    pub fn in_pool(&self, pool: &PoolName, epoch: &str) -> Option<Owned> {
        let owned = || Owned { is_current: self.epoch == epoch, ..self.owned.clone() };
        (self.pool == pool.as_str()).then(owned)
    }
}

impl AddressPool {
    /// The pool as it is compared with others. One without a time of creation is the youngest.
    pub fn claimant(&self) -> Option<Claimant> {
        let created = self.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        Some(Claimant { name: self.metadata.name.clone()?, created, spec: self.spec.spec.clone() })
    }
}

impl AddressReservation {
    /// The object of `one` in `pool`.
    pub fn of(pool: &PoolName, one: &Reservation) -> Self {
        let Whose { namespace, pod, interface } = one.whose.clone();
        let addresses = one.addresses.iter().map(ToString::to_string).collect();
        let spec = AddressReservationSpec {
            pool: pool.to_string(),
            namespace,
            pod,
            interface,
            addresses,
            node: one.node.clone(),
        };
        let mut object = AddressReservation::new(&one.whose.object(pool), spec);
        let labels = [(POOL.to_owned(), pool.to_string()), (NODE.to_owned(), node_label(&one.node))];
        object.metadata.labels = Some(labels.into());
        object
    }

    /// What the object says, where it is one that a daemon has made.
    pub fn reservation(&self) -> Option<Reservation> {
        let AddressReservationSpec { namespace, pod, interface, addresses, node, .. } = self.spec.clone();
        let addresses = addresses.iter().map(|address| address.parse()).collect::<Result<_, _>>().ok()?;
        Some(Reservation { whose: Whose { namespace, pod, interface }, addresses, node })
    }
}

impl AddressShortage {
    /// What is wanted, and the mark of it.
    pub fn mark(&self) -> Option<(Wanted, Mark)> {
        let wanted = Wanted::parse(self.metadata.name.as_deref()?)?;
        let (word, version) = (self.spec.word.clone(), self.metadata.resource_version.clone()?);
        // It becomes a word of a file.
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        is_word.then_some((wanted, Mark { word, version }))
    }
}

impl AddressNode {
    /// What the object says.
    pub fn record(&self) -> Option<Record> {
        let (epoch, version) = (self.metadata.uid.clone()?, self.metadata.resource_version.clone()?);
        let AddressNodeSpec { revoked_at, dead: is_dead } = self.spec.clone();
        Some(Record { epoch, version, revoked_at, is_dead })
    }
}

/// The CustomResourceDefinition of [`AddressPool`]: what the API server judges a pool by.
pub fn pool_definition() -> CustomResourceDefinition {
    AddressPool::crd()
}

/// The CustomResourceDefinitions as YAML, as they are checked in under `crd/addresses`.
pub fn crd_yaml() -> String {
    // A tree of maps and texts always serialises.
    let kinds = [
        AddressPool::crd(),
        AddressBlock::crd(),
        AddressNode::crd(),
        AddressShortage::crd(),
        AddressReservation::crd(),
    ];
    let texts = kinds.map(|crd| serde_saphyr::to_string(&crd).unwrap_or_default());
    let text = format!("# Generated from src/cluster/addresses.rs by a test (UPDATE=1).\n{}", texts.join("---\n"));
    // API servers warn of formats that they do not know; the schema has the limits.
    let is_known = |line: &&str| !line.trim_start().starts_with("format: uint");
    text.lines().filter(is_known).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_types_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crd/addresses/address-pools.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, crd_yaml()).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(file == crd_yaml(), "{path} is not what the types say: run this test with UPDATE=1\n{}", crd_yaml());
    }

    #[test]
    fn a_block_has_one_name_and_a_name_one_block() {
        let pool = PoolName::new("lan").unwrap();
        let name = |first: &str| block_name(&pool, &Block { first: first.parse().unwrap(), size: 16 });
        assert_eq!(name("10.1.0.16"), "lan.0a010010");
        assert_eq!(name("::a01:10"), "lan.0000000000000000000000000a010010");
        let block = Block { first: "10.1.0.16".parse().unwrap(), size: 16 };
        let mut object = AddressBlock::of(&pool, &block, ("w1", "e"), "a-1");
        object.metadata.resource_version = Some("7".to_owned());
        let owned = object.owned("e").unwrap();
        assert!(owned.is_current && !object.owned("").unwrap().is_current);
        assert_eq!((owned.block, owned.lease.as_str(), owned.version.as_str()), (block, "a-1", "7"));
        object.spec.first = "10.1.0.32".to_owned();
        assert_eq!(object.owned("e"), None, "its name does not stand for these addresses");
    }
}
