//! Names of cluster objects.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that no Kubernetes object can have (NPWG-NAD-06).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid name: lower-case letters, digits, '-' and '.' only")]
pub struct InvalidReference(pub String);

/// A network attachment definition by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct NadRef {
    namespace: String,
    name: String,
}

/// A reference as it arrives, from the daemon or from a file.
#[derive(Deserialize)]
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

impl fmt::Display for NadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod, as the runtime names it in `CNI_ARGS` (CNI-ARG-07).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; older runtimes do not say it. For a static pod it is the hash of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// DNS-1123: labels of lower-case letters, digits and inner hyphens, joined by dots.
fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// One DNS-1123 label.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names() {
        // NPWG-NAD-06
        assert!(NadRef::new("default", "a.b-c").is_ok());
        for bad in ["Net_A", "", "-a", "a-", "a/b", "..", "a..b", "a_b"] {
            assert!(NadRef::new("default", bad).is_err(), "{bad}");
            assert!(NadRef::new(bad, "a").is_err(), "{bad}");
        }
        let read = |text: &str| serde_json::from_str::<NadRef>(text);
        assert!(read(r#"{"namespace":"a","name":"b","future":1}"#).is_ok());
        assert!(read(r#"{"namespace":"..","name":"x/../y"}"#).unwrap_err().to_string().contains("not a valid name"));
    }
}
