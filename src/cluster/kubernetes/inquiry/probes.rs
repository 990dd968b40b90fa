//! The pods of `plexusctl connectivity test`: what a person's tool makes in a cluster, and takes away again.

use super::{Inquiry, Unanswered};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// The longest log that is read: a probe prints 300 bytes for each other one.
const LONGEST_LOG: i64 = 4 << 20;

impl Inquiry {
    /// Creates the pod of `manifest` in `namespace`.
    ///
    /// # Errors
    /// `manifest` is not a pod; as of [`Inquiry::pods`].
    pub fn create_pod(&self, namespace: &str, manifest: Value) -> Result<(), Unanswered> {
        let what = format!("a probe pod in namespace {namespace}");
        let pod: Pod = serde_json::from_value(manifest)
            .map_err(|e| Unanswered::Refused { what: what.clone(), reason: e.to_string() })?;
        self.answer(&what, self.in_namespace(namespace).create(&PostParams::default(), &pod)).map(drop)
    }

    /// Gives the pod `namespace/name` the annotation `key`.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn annotate_pod(&self, namespace: &str, name: &str, key: &str, value: &str) -> Result<(), Unanswered> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
        let (api, params) = (self.in_namespace(namespace), PatchParams::default());
        let patched = api.patch(name, &params, &patch);
        self.answer(&format!("the annotation of pod {namespace}/{name}"), patched).map(drop)
    }

    /// What the container of the pod `namespace/name` has printed.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`]; the kubelet cannot be reached.
    pub fn printed_by(&self, namespace: &str, name: &str) -> Result<String, Unanswered> {
        let params = LogParams { limit_bytes: Some(LONGEST_LOG), ..LogParams::default() };
        self.answer(&format!("the log of pod {namespace}/{name}"), self.in_namespace(namespace).logs(name, &params))
    }

    /// Deletes the pod `namespace/name`; one that is gone is deleted.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn delete_pod(&self, namespace: &str, name: &str) -> Result<(), Unanswered> {
        let (api, params) = (self.in_namespace(namespace), DeleteParams::default());
        let what = format!("the deletion of pod {namespace}/{name}");
        let deleted = async {
            match api.delete(name, &params).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(drop),
            }
        };
        self.answer(&what, deleted)
    }

    fn in_namespace(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}
