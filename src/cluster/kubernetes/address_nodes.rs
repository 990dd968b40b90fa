//! The AddressNode of this node, at the API server: what says whether the node was removed.

use crate::cluster::addresses::{AddressNode, AddressNodeSpec};
use crate::cluster::error::Error;
use crate::cluster::kubernetes::blocks::{GRANT, Outcome};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::ipam::epoch::Record;
use kube::api::PostParams;
use kube::{Api, Client};

/// How a write ended that names a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done.
    Done,
    /// The object has another version, or is there already, or is gone.
    Other,
    /// The cluster has no such resource: its definition was not applied.
    NoResource,
}

impl Kubernetes {
    /// The record of `node`; none where there is none. The answer is as new as the question.
    pub async fn address_node(&self, node: &str) -> Result<Option<Record>, Error> {
        let found = self.ask::<AddressNode, _, _>("get", format!("AddressNode {node}"), |client| {
            let api: Api<AddressNode> = Api::all(client);
            async move { api.get_opt(node).await }
        });
        let found = found.await.map_err(|e| e.mended_by(GRANT))?;
        Ok(found.as_ref().and_then(AddressNode::record))
    }

    /// Creates the record of this node, which must not exist.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn create_address_node(&self) -> Result<Written, String> {
        let object = &AddressNode::new(&self.node, AddressNodeSpec::default());
        let create = |client: Client| {
            let api: Api<AddressNode> = Api::all(client);
            async move { api.create(&PostParams::default(), object).await }
        };
        match self.within("create", create).await {
            Err(Outcome::Absent(_)) => Ok(Written::NoResource),
            answer => written(answer),
        }
    }

    /// Writes `spec` to the record of `node`, which must be `record`.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn write_address_node(
        &self,
        node: &str,
        record: &Record,
        spec: AddressNodeSpec,
    ) -> Result<Written, String> {
        let mut object = AddressNode::new(node, spec);
        object.metadata.uid = Some(record.epoch.clone());
        object.metadata.resource_version = Some(record.version.clone());
        let object = &object;
        let replace = |client: Client| {
            let api: Api<AddressNode> = Api::all(client);
            async move { api.replace(node, &PostParams::default(), object).await }
        };
        written(self.within("update", replace).await)
    }
}

pub(super) fn written<T>(answer: Result<T, Outcome>) -> Result<Written, String> {
    match answer {
        Ok(_) => Ok(Written::Done),
        Err(Outcome::Conflict | Outcome::Absent(_)) => Ok(Written::Other),
        Err(Outcome::Refused(why) | Outcome::Unanswered(why)) => Err(why),
    }
}
