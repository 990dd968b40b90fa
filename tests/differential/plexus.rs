//! What Plexus understands, in the shape in which the others answer.

use plexus::cni::result::AddResult;
use plexus::cni::{NetworkConfig, Version};
use plexus::nad::{Selection, selection};
use serde_json::{Map, Value, json};

/// The namespace of the pod, as in `e2e/oracle`.
const NAMESPACE: &str = "own";

pub fn understand(kind: &str, text: &str) -> Result<Value, String> {
    match kind {
        "annotation" => {
            let selections = selection::parse(text, NAMESPACE).map_err(|e| e.to_string())?;
            Ok(selections.iter().map(element).collect())
        }
        "list" => {
            let list = NetworkConfig::parse_open(text, None).map_err(|e| e.to_string())?;
            let plugins: Vec<&str> = list.plugins.iter().map(|plugin| plugin.kind.as_str()).collect();
            Ok(json!({
                "name": list.name.as_str(), "version": list.version.as_str(), "disableCheck": list.disable_check,
                "disableGC": list.disable_gc, "onlyInlined": list.load_only_inlined_plugins, "plugins": plugins,
            }))
        }
        "result" => {
            let result = AddResult::parse(text, Version::V0_1_0).map_err(|e| e.to_string())?;
            let raw = result.to_raw(Version::V1_1_0).map_err(|e| e.to_string())?;
            Ok(serde_json::from_str(raw.get()).unwrap())
        }
        other => panic!("no such kind: {other}"),
    }
}

fn element(selection: &Selection) -> Value {
    let mut object = Map::new();
    let mut add = |key: &str, value: Value| {
        let is_empty = value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        (!is_empty).then(|| object.insert(key.to_owned(), value));
    };
    add("name", json!(selection.nad.name()));
    add("namespace", json!(selection.nad.namespace()));
    add("interface", json!(selection.interface));
    add("ips", json!(selection.ips));
    add("mac", json!(selection.mac));
    add("infiniband-guid", json!(selection.infiniband_guid));
    add("portMappings", json!(selection.port_mappings));
    add("bandwidth", json!(selection.bandwidth));
    // A number may be one that cannot be read: it reaches the plugins as it is.
    let args = selection.cni_args.as_ref().map(|args| args.to_json());
    let args = args.map(|args| serde_json::from_str::<Value>(&args).unwrap_or(Value::String(args)));
    add("cni-args", json!(args));
    add("default-route", json!(selection.default_route));
    add("ipam-claim-reference", json!(selection.ipam_claim_reference));
    Value::Object(object)
}
