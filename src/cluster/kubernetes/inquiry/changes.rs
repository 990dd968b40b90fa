//! When networks were changed last.

use super::objects::seconds;
use super::{Inquiry, Scope, Unanswered};
use crate::cluster::crd::NetworkAttachmentDefinition;
use crate::nad::NadRef;
use kube::Api;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use std::collections::BTreeMap;

/// Only what is asked for is sent: the metadata.
type Head = PartialObjectMeta<NetworkAttachmentDefinition>;

impl Inquiry {
    /// When each NAD of the namespace of `scope`, or of all, was changed last, in seconds of Unix time.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn changes_of(&self, scope: &Scope) -> Result<BTreeMap<NadRef, u64>, Unanswered> {
        let api: Api<Head> = self.of(scope);
        let heads = self.list(&api, ListParams::default(), "the NetworkAttachmentDefinitions")?;
        Ok(heads.iter().filter_map(change).collect())
    }

    /// When `nad` was changed last; none where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn change(&self, nad: &NadRef) -> Result<Option<u64>, Unanswered> {
        let api: Api<Head> = Api::namespaced(self.client.clone(), nad.namespace());
        let head = self.answer(&format!("network {nad}"), api.get_opt(nad.name()))?;
        Ok(head.as_ref().and_then(change).map(|(_, time)| time))
    }
}

/// By the times of its managed fields: the API server writes them.
fn change(head: &Head) -> Option<(NadRef, u64)> {
    let metadata = &head.metadata;
    let nad = NadRef::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?).ok()?;
    let managed = metadata.managed_fields.iter().flatten().filter_map(|field| field.time.as_ref());
    let time = managed.chain(&metadata.creation_timestamp).map(seconds).max()?;
    Some((nad, time))
}
