//! The NetworkAttachmentDefinition as a Kubernetes resource: what `crd/` holds and what a cluster
//! installs where nobody has installed it before.

use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a NetworkAttachmentDefinition has beside its metadata. `spec` is optional, as in the
/// upstream definition: whatever that one accepts, this one accepts (NPWG-NAD-04).
#[derive(Clone, Debug, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "k8s.cni.cncf.io",
    version = "v1",
    kind = "NetworkAttachmentDefinition",
    plural = "network-attachment-definitions",
    singular = "network-attachment-definition",
    shortname = "net-attach-def",
    shortname = "nad",
    namespaced,
    // There is a spec, but kube's own would be a required one.
    no_spec,
    doc = "A network that pods can be attached to (Network Plumbing Working Group standard).",
    printcolumn = r#"{"name":"Resource","type":"string","description":"Device plugin resource","jsonPath":".metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/resourceName"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[schemars(rename = "NetworkAttachmentDefinition")]
pub struct Content {
    /// CNI configuration of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Spec")]
    pub spec: Option<Spec>,
}

/// The longest configuration, in characters: every node's daemon and plugin read it. Known ones have a few hundred.
const LONGEST_CONFIG: u32 = 256 << 10;

/// How attachments to a network are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spec {
    /// A CNI network configuration or configuration list, as a JSON string. If it is empty, Plexus uses the configuration
    /// file on the node whose key `name` has the name of this object (setting `nadConfigDir`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LONGEST_CONFIG))]
    pub config: Option<String>,
}

/// The CustomResourceDefinition as YAML, as it is checked in under `crd/`.
pub fn crd_yaml() -> String {
    // A tree of maps and texts always serialises.
    let yaml = serde_saphyr::to_string(&NetworkAttachmentDefinition::crd()).unwrap_or_default();
    format!("# Generated from src/cluster/crd.rs by `plexusctl crd`.\n{yaml}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_type_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crd/network-attachment-definitions.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, crd_yaml()).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == crd_yaml(),
            "{path} is not what src/cluster/crd.rs says: run this test with UPDATE=1\n{}",
            crd_yaml()
        );
    }

    #[test]
    fn every_upstream_object_is_read() {
        // NPWG-NAD-04: no spec, an empty one, members that nobody knows.
        let read = |text: &str| serde_json::from_str::<NetworkAttachmentDefinition>(text).unwrap().spec.spec;
        let with = |rest: &str| {
            format!(
                r#"{{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{{"name":"a"}}{rest}}}"#
            )
        };
        assert_eq!(read(&with("")), None);
        assert_eq!(read(&with(r#","spec":{}"#)), Some(Spec::default()));
        assert_eq!(
            read(&with(r#","status":{},"spec":{"other":1,"config":"x"}"#)).unwrap().config.as_deref(),
            Some("x")
        );
    }

    #[test]
    fn names_are_those_of_the_standard() {
        // NPWG-NAD-01
        let crd = serde_json::to_value(NetworkAttachmentDefinition::crd()).unwrap();
        let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
        assert_eq!(crd["metadata"]["name"], "network-attachment-definitions.k8s.cni.cncf.io");
        assert_eq!((&crd["spec"]["group"], &crd["spec"]["scope"]), (&"k8s.cni.cncf.io".into(), &"Namespaced".into()));
        assert_eq!(
            (&names["plural"], &names["singular"]),
            (&"network-attachment-definitions".into(), &"network-attachment-definition".into())
        );
        assert_eq!(names["kind"], "NetworkAttachmentDefinition");
        assert!(names["shortNames"].as_array().unwrap().contains(&"net-attach-def".into()), "{names}");
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&"v1".into(), &true.into(), &true.into())
        );
        assert_eq!(
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["config"]["type"],
            "string"
        );
    }

    #[test]
    fn spec_is_optional_in_the_schema() {
        let yaml = crd_yaml();
        assert!(yaml.contains("config:") && !yaml.contains("required"), "{yaml}");
    }
}
