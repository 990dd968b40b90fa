//! Objects of the API server, reduced while they are decoded to what we read of them. Managed fields,
//! often the larger half of an object, never get into memory.

use crate::cluster::crd::NetworkAttachmentDefinition;
use crate::nad::{Definition, NadRef};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A NetworkAttachmentDefinition.
#[derive(Clone, Debug, Deserialize)]
pub struct NadObject {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    /// Whatever it is: one object that is not as it should be must not hide all the others.
    #[serde(default)]
    spec: serde_json::Value,
}

/// The metadata of a pod; asked for as such, so that the rest is not even sent.
#[derive(Clone, Debug, Deserialize)]
pub struct PodHead {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
}

impl NadObject {
    /// Which one it is; none for a name that no object can have.
    pub fn reference(&self) -> Option<NadRef> {
        NadRef::new(self.metadata.namespace.as_deref()?, self.metadata.name.as_deref()?).ok()
    }

    /// Its `resourceVersion`.
    pub fn version(&self) -> Option<String> {
        self.metadata.resource_version.clone()
    }

    /// What it says.
    pub fn into_definition(mut self) -> Option<Definition> {
        let nad = self.reference()?;
        let config = match self.spec.get_mut("config").map(serde_json::Value::take) {
            Some(serde_json::Value::String(config)) => Some(config),
            _ => None,
        };
        Some(Definition::new(nad, config, |key| self.metadata.annotations.as_ref()?.get(key).map(String::as_str)))
    }
}

impl PodHead {
    /// Its UID.
    pub fn metadata_uid(&self) -> Option<&str> {
        self.metadata.uid.as_deref()
    }
}

/// What is read of an object's metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

pub(in crate::cluster) fn without_managed_fields<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ObjectMeta, D::Error> {
    let Head { name, namespace, uid, resource_version, annotations } = Head::deserialize(deserializer)?;
    Ok(ObjectMeta { name, namespace, uid, resource_version, annotations, ..ObjectMeta::default() })
}

/// The resource `$object` is decoded from is that of `$full`.
macro_rules! resource {
    ($object:ty, $full:ty, $scope:ty, metadata only: $metadata_only:literal) => {
        impl kube::Resource for $object {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <$full as kube::Resource>::kind(&())
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <$full as kube::Resource>::group(&())
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                <$full as kube::Resource>::version(&())
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <$full as kube::Resource>::plural(&())
            }

            fn metadata_api() -> bool {
                $metadata_only
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(in crate::cluster) use resource;

resource!(NadObject, NetworkAttachmentDefinition, NamespaceResourceScope, metadata only: false);
resource!(PodHead, Pod, NamespaceResourceScope, metadata only: true);

#[cfg(test)]
mod tests {
    use super::*;
    use kube::Resource;

    #[test]
    fn odd_objects_are_read() {
        let read = |spec: &str| {
            let metadata = r#"{"name":"a","namespace":"n","managedFields":[{"manager":7}],"annotations":{"k8s.v1.cni.cncf.io/resourceName":"x/y"}}"#;
            let object: NadObject =
                serde_json::from_str(&format!(r#"{{"kind":"x","metadata":{metadata}{spec}}}"#)).unwrap();
            assert!(object.meta().managed_fields.is_none());
            object.into_definition().unwrap()
        };
        assert_eq!(read("").config, None);
        assert_eq!(read(r#","spec":null"#).config, None);
        assert_eq!(read(r#","spec":{"config":{"type":"x"}}"#).config, None);
        let definition = read(r#","spec":{"config":"{}","more":[]}"#);
        assert_eq!((definition.config.as_deref(), definition.resource_name.as_deref()), (Some("{}"), Some("x/y")));
    }
}
