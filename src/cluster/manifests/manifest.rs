//! Ordinary manifests, as far as they concern us.

use super::yaml;
use crate::cluster::cache::PodName;
use crate::cluster::pod::KnownPod;
use crate::nad::{Definition, NadRef};
use serde::Deserialize;
use serde_json::Value;
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
    spec: Value,
    items: Option<Vec<Manifest>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    uid: Option<String>,
    /// A key without a value is one with nothing in it, as for the API server.
    annotations: Option<BTreeMap<String, Option<String>>>,
}

/// Why a file is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read at all.
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    /// It is in another encoding, as an editor or a shell of Windows writes it.
    #[error("the file is UTF-16: save it as UTF-8")]
    Utf16,
    /// It is in no encoding that is known.
    #[error("the file is not UTF-8: {0}")]
    Encoding(std::str::Utf8Error),
    /// A configuration that is not text.
    #[error(
        "NetworkAttachmentDefinition {nad}: spec.config is {what}: it must be a string that contains JSON, in quotes or after `|`"
    )]
    Config {
        /// Of which network.
        nad: NadRef,
        /// What it is instead.
        what: &'static str,
    },
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

/// The text of a file of manifests.
///
/// # Errors
/// It is not UTF-8.
pub fn text(bytes: Vec<u8>) -> Result<String, ManifestError> {
    // By its byte order mark, or by its first character, which is ASCII in every manifest.
    if matches!(bytes.as_slice(), [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, 1..=0xff, ..] | [1..=0xff, 0, ..]) {
        return Err(ManifestError::Utf16);
    }
    String::from_utf8(bytes).map_err(|e| ManifestError::Encoding(e.utf8_error()))
}

/// Reads the documents in `text`, YAML or JSON, as `kubectl` reads them; kinds that do not concern us are passed over.
///
/// # Errors
/// One document is not understood: a file counts as a whole or not at all.
pub fn read(text: &str) -> Result<Objects, ManifestError> {
    let text = text.trim_start_matches('\u{feff}');
    let manifests = match json(text) {
        Some(manifests) => manifests,
        None => yaml::parse(text).map_err(|e| ManifestError::Syntax(e.to_string()))?,
    };
    let mut objects = Objects::default();
    for manifest in manifests.into_iter().flatten() {
        objects.take(manifest)?;
    }
    Ok(objects)
}

/// JSON documents, one after another. Nothing separates them, which in YAML would be an error.
fn json(text: &str) -> Option<Vec<Option<Manifest>>> {
    let documents = text.trim_start().starts_with('{').then(|| serde_json::Deserializer::from_str(text).into_iter())?;
    documents.collect::<Result<_, _>>().ok()
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
        let config = match self.spec.get("config") {
            None | Some(Value::Null) => None,
            Some(Value::String(config)) => Some(config.clone()),
            Some(other) => return Err(ManifestError::Config { nad, what: kind_of(other) }),
        };
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

/// What a person calls it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "a map",
        Value::Array(_) => "a list",
        Value::Bool(_) => "true or false",
        _ => "a number",
    }
}

impl Metadata {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_deref()
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
metadata: {name: a, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/y, empty: , nothing: null}}
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

    /// A definition whose `spec` is `spec`, in a manifest as people write it.
    fn spec(spec: &str) -> String {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: a\nspec:\n{spec}"
        )
    }

    #[test]
    fn a_manifest_is_read_as_kubectl_reads_it() {
        // What sigs.k8s.io/yaml 1.6, which kubectl uses, makes of each.
        let bridge = r#"{ "type": "bridge" }"#;
        let lines = "{\n  \"type\": \"bridge\"\n}\n";
        for (name, text, expected) in [
            ("closed at the key's column", spec("  config: '{\n      \"type\": \"bridge\"\n  }'\n"), bridge),
            ("closed left of the key", spec("  config: '{\n      \"type\": \"bridge\"\n}'\n"), bridge),
            ("all of it left of the key", spec("  config: '{\n\"type\": \"bridge\"\n}'\n"), bridge),
            (
                "the quote alone",
                spec("  config: '{\n      \"type\": \"bridge\"\n    }\n'\n"),
                "{ \"type\": \"bridge\" } ",
            ),
            ("tabs", spec("  config: '{\n\t\t\"type\": \"bridge\"\n\t}'\n"), bridge),
            ("tabs after blanks", spec("  config: '{\n  \t\t\"type\": \"bridge\"\n  \t}'\n"), bridge),
            ("blanks after tabs", spec("  config: '{\n\t  \"type\": \"bridge\"\n \t }'\n"), bridge),
            ("double quotes", spec("  config: \"{\n    \\\"type\\\": \\\"bridge\\\"\n}\"\n"), bridge),
            ("double quotes, tabs", spec("  config: \"{\n\t\\\"type\\\": \\\"bridge\\\"\n\t}\"\n"), bridge),
            ("a comment after it", spec("  config: '{\n \"type\": \"bridge\"\n  }' # why\n"), bridge),
            ("blanks at the ends of lines", spec("  config: '{   \n  \"type\": \"bridge\"   \n  }'   \n"), bridge),
            ("literal", spec("  config: |\n    {\n      \"type\": \"bridge\"\n    }\n"), lines),
            (
                "literal, tabs",
                spec("  config: |-\n    {\n    \t\"type\": \"bridge\"\n    }\n"),
                "{\n\t\"type\": \"bridge\"\n}",
            ),
            ("folded", spec("  config: >-\n    {\n    \"type\": \"bridge\"\n    }\n"), bridge),
            ("an anchor", format!("x: &c '{bridge}'\n{}", spec("  config: *c\n")), bridge),
            ("a merged map", format!("x: &c {{config: '{bridge}'}}\n{}", spec("  <<: *c\n")), bridge),
            ("a key twice: the last", spec(&format!("  config: '{{}}'\n  config: '{bridge}'\n")), bridge),
            ("CR LF", spec("  config: '{\n      \"type\": \"bridge\"\n  }'\n").replace('\n', "\r\n"), bridge),
            (
                "CR LF, literal",
                spec("  config: |\n    {\n      \"type\": \"bridge\"\n    }\n").replace('\n', "\r\n"),
                lines,
            ),
            ("a byte order mark", format!("\u{feff}{}", spec(&format!("  config: '{bridge}'\n"))), bridge),
            ("no line end", spec(&format!("  config: '{bridge}'")), bridge),
            ("a tag", spec(&format!("  config: !!str '{bridge}'\n")), bridge),
            (
                "a separator first, comments",
                format!("# x\n---\n# y\n{}---\n---\n", spec(&format!("  config: '{bridge}'\n"))),
                bridge,
            ),
        ] {
            let objects = read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            let configs: Vec<_> = objects.definitions.iter().map(|d| d.config.as_deref()).collect();
            assert_eq!(configs, [Some(expected)], "{name}");
        }
    }

    #[test]
    fn what_kubectl_does_not_read_is_not_read() {
        for (name, text) in [
            ("a map after a tab", spec("\tconfig: '{}'\n")),
            ("a template", spec("  config: {{ .Values.config }}\n")),
            ("a separator inside of quotes", spec("  config: '{\n---\n  }'\n")),
            ("a NUL", spec("  config: 'a\0b'\n")),
            ("an unclosed quote", spec("  config: '{\n")),
        ] {
            assert!(read(&text).is_err(), "{name}");
        }
    }

    #[test]
    fn what_a_person_mistakes_is_named() {
        // The API server refuses it, because the CRD wants a string; an empty configuration would be a file's.
        for (config, what) in
            [("{type: bridge}", "a map"), ("[1]", "a list"), ("7", "a number"), ("true", "true or false")]
        {
            let why = read(&spec(&format!("  config: {config}\n"))).unwrap_err().to_string();
            for word in ["default/a", "spec.config", what, "must be a string"] {
                assert!(why.contains(word), "{word}: {why}");
            }
        }
        let manifest = spec("  config: '{}'\n");
        let utf16 = |swap: bool| -> Vec<u8> {
            manifest
                .encode_utf16()
                .flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        let marked = |mark: [u8; 2], swap| [mark.to_vec(), utf16(swap)].concat();
        for bytes in [utf16(true), utf16(false), marked([0xfe, 0xff], true), marked([0xff, 0xfe], false)] {
            assert!(text(bytes).unwrap_err().to_string().contains("UTF-16"));
        }
        assert!(text(vec![b'a', 0xff]).unwrap_err().to_string().contains("not UTF-8"));
        assert_eq!(text(manifest.clone().into_bytes()).unwrap(), manifest);
    }

    #[test]
    fn several_documents() {
        let one = |name: &str| spec("  config: '{\n  }'\n").replace("name: a", &format!("name: {name}"));
        for separator in ["---\n", "--- # next\n", "...\n---\n"] {
            let text = [one("x"), one("y")].join(separator);
            for text in [text.clone(), text.replace('\n', "\r\n")] {
                let names: Vec<_> = read(&text).unwrap().definitions.iter().map(|d| d.nad.to_string()).collect();
                assert_eq!(names, ["default/x", "default/y"], "{separator:?}");
            }
        }
        let json = |name: &str| {
            format!(
                r#"{{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{{"name":"{name}"}}}}"#
            )
        };
        assert_eq!(read(&[json("x"), json("y")].join("\n")).unwrap().definitions.len(), 2);
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
