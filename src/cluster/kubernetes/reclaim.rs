//! What the controller of addresses asks and writes: records and blocks of all nodes, and whether a Node is gone.

use crate::cluster::addresses::{AddressBlock, AddressNode, AddressPool, NODE, node_label};
use crate::cluster::error::Error;
use crate::cluster::kubernetes::address_nodes::{Written, written};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::nodes::is_out_of_service;
use crate::ipam::epoch::{Record, Terms};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Objects of a page: an answer is in memory as a whole.
const PAGE: u32 = 500;

/// A block as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedBlock {
    /// The name of the object.
    pub name: String,
    /// Its UID and its version: what is deleted is this one.
    pub version: (String, String),
    /// The pool.
    pub pool: String,
    /// The node that leases it.
    pub node: String,
    /// The epoch; empty of a block that a former release leased.
    pub epoch: String,
    /// Whether its label stands for that node, so that a list of the blocks of the node has it.
    pub is_labelled: bool,
}

impl LeasedBlock {
    fn of(block: AddressBlock) -> Option<Self> {
        let metadata = block.metadata;
        let version = (metadata.uid?, metadata.resource_version?);
        let (pool, node, epoch) = (block.spec.pool, block.spec.node, block.spec.epoch);
        let is_labelled = metadata.labels.is_some_and(|labels| labels.get(NODE) == Some(&node_label(&node)));
        Some(LeasedBlock { name: metadata.name?, version, pool, node, epoch, is_labelled })
    }
}

impl Kubernetes {
    /// The record of every node that leases blocks.
    pub async fn address_nodes(&self) -> Result<BTreeMap<String, Record>, Error> {
        let nodes = self.pages::<AddressNode>(ListParams::default(), "AddressNodes").await?;
        let named = |node: AddressNode| Some((node.metadata.name.clone()?, node.record()?));
        Ok(nodes.into_iter().filter_map(named).collect())
    }

    /// The blocks whose label names `node`, or those of all nodes, whatever their label names.
    pub async fn leased_blocks(&self, node: Option<&str>) -> Result<Vec<LeasedBlock>, Error> {
        let params = ListParams::default();
        let params = match node {
            Some(node) => params.labels(&format!("{NODE}={}", node_label(node))),
            None => params,
        };
        let blocks = self.pages::<AddressBlock>(params, "blocks of addresses").await?;
        let wanted = |block: &LeasedBlock| node.is_none_or(|node| block.node == node);
        Ok(blocks.into_iter().filter_map(LeasedBlock::of).filter(wanted).collect())
    }

    /// When each pool frees the blocks of a removed node.
    pub async fn pool_terms(&self) -> Result<BTreeMap<String, Terms>, Error> {
        let pools = self.pages::<AddressPool>(ListParams::default(), "address pools").await?;
        Ok(pools.into_iter().filter_map(|pool| Some((pool.metadata.name?, pool.spec.spec.terms()))).collect())
    }

    /// Every object; the first page is as new as the question.
    async fn pages<K>(&self, params: ListParams, what: &str) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let (mut all, mut params) = (Vec::new(), params.limit(PAGE));
        loop {
            let page = &params;
            let list = |client: Client| {
                let api: Api<K> = Api::all(client);
                async move { api.list(page).await }
            };
            let answer = self.ask::<K, _, _>("list", what.to_owned(), list).await?;
            all.extend(answer.items);
            match answer.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(all),
            }
        }
    }

    /// Whether there is no Node `name`, or a person said that its machine is off. The answer is as new as the question.
    pub async fn is_node_gone(&self, name: &str) -> Result<bool, Error> {
        let found = self.ask::<Node, _, _>("get", format!("Node {name}"), |client| {
            let api: Api<Node> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        Ok(found.await?.is_none_or(|node| is_out_of_service(&node)))
    }

    /// Deletes `block`, if it is as it was seen.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn free_block(&self, block: &LeasedBlock) -> Result<Written, String> {
        self.delete_exactly::<AddressBlock>(&block.name, &block.version).await
    }

    /// Deletes the record of `node`, if it is `record`.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn delete_address_node(&self, node: &str, record: &Record) -> Result<Written, String> {
        self.delete_exactly::<AddressNode>(node, &(record.epoch.clone(), record.version.clone())).await
    }

    pub(super) async fn delete_exactly<K>(
        &self,
        name: &str,
        (uid, version): &(String, String),
    ) -> Result<Written, String>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let preconditions = Preconditions { resource_version: Some(version.clone()), uid: Some(uid.clone()) };
        let params = &DeleteParams::default().preconditions(preconditions);
        let delete = |client: Client| {
            let api: Api<K> = Api::all(client);
            async move { api.delete(name, params).await.map(drop) }
        };
        written(self.within("delete", delete).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::{Block, PoolName};

    #[test]
    fn a_block_without_the_label_of_its_node_is_recognised() {
        let block = Block { first: [10, 0, 0, 0].into(), size: 16 };
        let seen = |change: &dyn Fn(&mut AddressBlock)| {
            let mut object = AddressBlock::of(&PoolName::new("lan").unwrap(), &block, ("n1", "e"), "l");
            (object.metadata.uid, object.metadata.resource_version) = (Some("u".to_owned()), Some("1".to_owned()));
            change(&mut object);
            LeasedBlock::of(object).unwrap().is_labelled
        };
        assert!(seen(&|_| ()));
        assert!(!seen(&|object| object.metadata.labels = None));
        assert!(!seen(&|object| drop(object.metadata.labels.as_mut().unwrap().remove(NODE))));
        assert!(!seen(&|object| object.spec.node = "n2".to_owned()));
    }
}
