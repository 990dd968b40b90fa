//! Names of cluster objects.

use crate::cni::spelling;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The longest name of a namespace.
const MAX_LABEL: usize = 63;

/// A name that no Kubernetes object can have (NPWG-NAD-06).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid name: lower-case letters, digits, '-' and '.' only")]
pub struct InvalidReference(pub String);

/// A network attachment definition by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(try_from = "Parts")]
pub struct NadRef {
    /// The namespace.
    namespace: String,
    /// The name.
    name: String,
}

/// A reference as it arrives, from the daemon or from a file.
#[derive(Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
struct Parts {
    namespace: String,
    name: String,
}

impl TryFrom<Parts> for NadRef {
    type Error = InvalidReference;
    fn try_from(parts: Parts) -> Result<Self, InvalidReference> {
        NadRef::new(&parts.namespace, &parts.name)
    }
}

impl NadRef {
    /// Validates both parts; they become file names and are sent to the API server.
    ///
    /// # Errors
    /// Either part is no DNS-1123 name.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidReference> {
        for part in [namespace, name] {
            if !is_dns_name(part) {
                return Err(InvalidReference(part.to_owned()));
            }
        }
        Ok(NadRef { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl NadRef {
    /// Of `others` the network that is probably meant by this one, which does not exist. Its name is near, too: next to a
    /// long namespace all short names were.
    pub fn nearest<'a>(&self, others: impl IntoIterator<Item = &'a NadRef>) -> Option<&'a NadRef> {
        let near = others.into_iter().filter(|other| spelling::is_near(&self.name, &other.name));
        let others: Vec<(String, &NadRef)> = near.map(|other| (other.to_string(), other)).collect();
        let meant = spelling::nearest(&self.to_string(), others.iter().map(|(name, _)| name.as_str()))?;
        others.iter().find(|(name, _)| name == meant).map(|(_, other)| *other)
    }
}

impl fmt::Display for NadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What no pod can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{namespace}/{name} is not a name that a pod can have")]
pub struct InvalidPod {
    namespace: String,
    name: String,
}

/// A pod, as the runtime names it in `CNI_ARGS` (CNI-ARG-07). Its name can be one: it becomes a part of file names and
/// of requests' paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "PodParts")]
pub struct PodRef {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}

/// A pod as it arrives, from a record, from the plugin or from a file.
#[derive(Deserialize)]
struct PodParts {
    namespace: String,
    name: String,
    #[serde(default)]
    uid: Option<String>,
}

impl TryFrom<PodParts> for PodRef {
    type Error = InvalidPod;
    fn try_from(parts: PodParts) -> Result<Self, InvalidPod> {
        PodRef::new(&parts.namespace, &parts.name, parts.uid.as_deref())
    }
}

impl PodRef {
    /// Validates the names.
    ///
    /// # Errors
    /// The namespace is no DNS-1123 label, or the name no DNS-1123 name.
    pub fn new(namespace: &str, name: &str, uid: Option<&str>) -> Result<Self, InvalidPod> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        if is_dns_label(&namespace) && is_dns_name(&name) {
            Ok(PodRef { namespace, name, uid: uid.map(str::to_owned) })
        } else {
            Err(InvalidPod { namespace, name })
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its UID; older runtimes do not say it. For a static pod it is the hash of its file.
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Reads an optional pod; one that cannot exist is none. What a former release has written stays readable.
    ///
    /// # Errors
    /// It is no object with two names.
    pub fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let parts = Option::<PodParts>::deserialize(deserializer)?;
        Ok(parts.and_then(|parts| PodRef::try_from(parts).ok()))
    }
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name of an object: parts of lower-case letters, digits and inner hyphens, joined by dots. Kubernetes limits the
/// whole, not a part (apimachinery, `IsDNS1123Subdomain`): pods of static manifests and of workflows have long ones.
fn is_dns_name(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('.').all(is_part)
}

/// A name without dots.
pub(super) fn is_one_part(text: &str) -> bool {
    text.len() <= MAX_NAME && is_part(text)
}

/// One DNS-1123 label, as namespaces have it.
pub(crate) fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

fn is_part(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names() {
        // NPWG-NAD-06
        assert!(NadRef::new("default", "a.b-c").is_ok());
        // The API server takes these, and pods of static manifests have such names.
        for long in ["n".repeat(64), "n".repeat(253), format!("{}.a", "n".repeat(200))] {
            assert!(NadRef::new("default", &long).is_ok() && PodRef::new("default", &long, None).is_ok(), "{long}");
            assert!(PodRef::new(&long, "p", None).is_err(), "{long}");
        }
        assert!(PodRef::new("default", &"n".repeat(254), None).is_err());
        for bad in ["Net_A", "", "-a", "a-", "a/b", "..", "a..b", "a_b"] {
            assert!(NadRef::new("default", bad).is_err(), "{bad}");
            assert!(NadRef::new(bad, "a").is_err(), "{bad}");
        }
        let read = |text: &str| serde_json::from_str::<NadRef>(text);
        assert!(read(r#"{"namespace":"a","name":"b","future":1}"#).is_ok());
        assert!(read(r#"{"namespace":"..","name":"x/../y"}"#).unwrap_err().to_string().contains("not a valid name"));
    }

    #[test]
    fn a_pod_has_a_name_that_it_can_have() {
        let long = "x".repeat(64);
        for (namespace, name) in [("default", "a"), ("kube-system", "a.b-c.0"), ("a1", &"x.".repeat(100)[..199])] {
            let pod = PodRef::new(namespace, name, Some("u")).unwrap();
            assert_eq!((pod.namespace(), pod.name(), pod.uid()), (namespace, name, Some("u")));
            let text = serde_json::to_string(&pod).unwrap();
            assert_eq!(serde_json::from_str::<PodRef>(&text).unwrap(), pod);
        }
        for (namespace, name) in [
            ("", "a"),
            ("a", ""),
            ("a.b", "c"),
            (&long, "a"),
            ("a", "B"),
            ("a", "b_c"),
            ("a", "../x"),
            ("a/b", "c"),
            ("a", "b?x"),
        ] {
            let refused = PodRef::new(namespace, name, None).unwrap_err().to_string();
            assert_eq!(refused, format!("{namespace}/{name} is not a name that a pod can have"));
            let text = serde_json::json!({"namespace": namespace, "name": name}).to_string();
            assert!(serde_json::from_str::<PodRef>(&text).is_err(), "{text}");
        }
    }
}
