//! What Plexus understands, in the shape in which the others answer.

use crate::parsers::annotation::as_json;
use plexus::cni::result::AddResult;
use plexus::cni::{NetworkConfig, Version};
use plexus::nad::{Selection, selection};
use serde_json::{Value, json};

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

/// A number of `cni-args` may be one that cannot be read: it reaches the plugins as it is.
fn element(selection: &Selection) -> Value {
    let text = as_json(selection);
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
