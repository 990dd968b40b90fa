//! Objects as the API server has them, as JSON: for the code that also reads manifests in files.

use super::{Inquiry, Unanswered};
use crate::nad::NadRef;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};

impl Inquiry {
    /// The pod `namespace/name`; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn pod_manifest(&self, namespace: &str, name: &str) -> Result<Option<String>, Unanswered> {
        let kind = (GroupVersionKind::gvk("", "v1", "Pod"), "pods");
        self.manifest(&kind, namespace, name, &format!("pod {namespace}/{name}"))
    }

    /// The NAD `nad`; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn network_manifest(&self, nad: &NadRef) -> Result<Option<String>, Unanswered> {
        let kind = GroupVersionKind::gvk("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition");
        let kind = (kind, "network-attachment-definitions");
        self.manifest(&kind, nad.namespace(), nad.name(), &format!("network {nad}"))
    }

    fn manifest(
        &self,
        (kind, plural): &(GroupVersionKind, &str),
        namespace: &str,
        name: &str,
        what: &str,
    ) -> Result<Option<String>, Unanswered> {
        let resource = ApiResource::from_gvk_with_plural(kind, plural);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let found = self.answer(what, api.get_opt(name))?;
        Ok(found.map(|mut object| {
            // A pod is judged by what it has itself, whoever made it.
            object.metadata.owner_references = None;
            object.metadata.managed_fields = None;
            // What was read serialises.
            serde_json::to_string(&object).unwrap_or_default()
        }))
    }
}
