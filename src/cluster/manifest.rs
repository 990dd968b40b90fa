//! Ordinary manifests, as far as they concern us.

use super::cache::PodName;
use super::pod::KnownPod;
use crate::nad::{Definition, NadRef};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a file of manifests holds that concerns us.
#[derive(Debug, Default)]
pub struct Objects {
    /// Its network attachment definitions.
    pub definitions: Vec<Arc<Definition>>,
    /// Its pods.
    pub pods: Vec<(PodName, KnownPod)>,
}

/// Any Kubernetes object; what is not read here is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    /// Of objects that do not concern us it may be anything.
    spec: serde_json::Value,
    items: Option<Vec<Manifest>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    uid: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Why a file is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read at all.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// It is neither YAML nor JSON, or an object has members of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// An object has a name that no object can have.
    #[error("{kind} {reference}")]
    Name {
        /// The object's kind.
        kind: String,
        /// What is wrong with its name.
        reference: crate::nad::reference::InvalidReference,
    },
}

/// Reads the documents in `text`, YAML or JSON; kinds that do not concern us are passed over.
///
/// # Errors
/// One document is not understood: a file counts as a whole or not at all.
pub fn read(text: &str) -> Result<Objects, ManifestError> {
    let syntax =
        |e: serde_saphyr::Error| ManifestError::Syntax(e.to_string().lines().next().unwrap_or_default().to_owned());
    let manifests: Vec<Option<Manifest>> = serde_saphyr::from_multiple(text).map_err(syntax)?;
    let mut objects = Objects::default();
    for manifest in manifests.into_iter().flatten() {
        objects.take(manifest)?;
    }
    Ok(objects)
}

impl Objects {
    fn take(&mut self, manifest: Manifest) -> Result<(), ManifestError> {
        let group = manifest.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, manifest.kind.as_str()) {
            ("k8s.cni.cncf.io", "NetworkAttachmentDefinition") => {
                self.definitions.push(Arc::new(manifest.into_definition()?))
            }
            ("", "Pod") => self.pods.push(manifest.into_pod()?),
            (_, kind) if kind.ends_with("List") => {
                for item in manifest.items.unwrap_or_default() {
                    self.take(item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Manifest {
    fn into_definition(self) -> Result<Definition, ManifestError> {
        let nad = self.reference()?;
        let config = self.spec.get("config").and_then(|config| config.as_str()).map(str::to_owned);
        Ok(Definition::new(nad, config, |key| self.metadata.annotation(key)))
    }

    fn into_pod(self) -> Result<(PodName, KnownPod), ManifestError> {
        let name = self.reference()?;
        let pod = KnownPod::new(self.metadata.uid.as_deref(), |key| self.metadata.annotation(key));
        Ok(((name.namespace().to_owned(), name.name().to_owned()), pod))
    }

    fn reference(&self) -> Result<NadRef, ManifestError> {
        let namespace =
            self.metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        NadRef::new(namespace, &self.metadata.name)
            .map_err(|reference| ManifestError::Name { kind: self.kind.clone(), reference })
    }
}

impl Metadata {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_strangers() {
        let objects = read(
            r#"
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: a, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/y}}
spec:
  config: '{"type":"bridge"}'
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: k8s.cni.cncf.io/v1, kind: NetworkAttachmentDefinition, metadata: {name: b, namespace: other}}
- {apiVersion: v1, kind: Pod, metadata: {name: p, uid: u, annotations: {k8s.v1.cni.cncf.io/networks: a}}, spec: {containers: [{name: x}]}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {config: [1]}}
"#,
        )
        .unwrap();
        let names: Vec<_> = objects.definitions.iter().map(|d| d.nad.to_string()).collect();
        assert_eq!(names, ["default/a", "other/b"]);
        assert_eq!(objects.definitions[0].config.as_deref(), Some(r#"{"type":"bridge"}"#));
        assert_eq!(objects.definitions[0].resource_name.as_deref(), Some("x.com/y"));
        assert_eq!(objects.definitions[1].config, None);
        assert_eq!(objects.pods.len(), 1);
        assert!(objects.pods[0].1.is("u"));
    }

    #[test]
    fn json_and_mistakes() {
        let json = r#"{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"a"},"spec":{"config":"{\"a\": \"b\"}"}}"#;
        assert_eq!(read(json).unwrap().definitions[0].config.as_deref(), Some(r#"{"a": "b"}"#));
        assert!(read("").unwrap().definitions.is_empty());
        for bad in ["a: [", "apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}", "kind: 3\nmetadata: []"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
