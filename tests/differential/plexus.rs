//! What Plexus understands, in the shape in which the others answer.

use crate::parsers::annotation::as_json;
use plexus::cni::result::AddResult;
use plexus::cni::{NetworkConfig, RawObject, Request, Version};
use plexus::nad::{Selection, selection};
use serde_json::{Value, json};

/// The namespace of the pod, as in `e2e/oracle`.
const NAMESPACE: &str = "own";
/// What the runtime has for whichever plugin declares the capability, as in `e2e/oracle`.
const OFFERED: &str = r#"{"ips":["10.9.0.9/24"],"mac":"02:00:00:00:00:09"}"#;

pub fn understand(kind: &str, text: &str) -> Result<Value, String> {
    match kind {
        "annotation" => {
            let selections = selection::parse(text, NAMESPACE).map_err(|e| e.to_string())?;
            Ok(selections.iter().map(element).collect())
        }
        "list" => NetworkConfig::parse_open(text, None).map(|network| of_network(&network)).map_err(|e| e.to_string()),
        "nad" => NetworkConfig::parse(text, Some("nad")).map(|network| of_network(&network)).map_err(|e| e.to_string()),
        "result" => {
            let result = AddResult::parse(text, Version::V0_1_0).map_err(|e| e.to_string())?;
            let raw = result.to_raw(Version::V1_1_0).map_err(|e| e.to_string())?;
            Ok(serde_json::from_str(raw.get()).unwrap())
        }
        other => panic!("no such kind: {other}"),
    }
}

fn element(selection: &Selection) -> Value {
    read(as_json(selection))
}

fn of_network(network: &NetworkConfig) -> Value {
    let offered = RawObject::parse(OFFERED).unwrap();
    let request = Request { capability_args: Some(&offered), ..Request::default() };
    let plugins = network.plugins.iter().map(|plugin| {
        json!({
            "type": plugin.kind.as_str(), "ipam": plugin.ipam.as_ref().map(|kind| kind.as_str()),
            "capabilities": plugin.capabilities().collect::<Vec<_>>(), "stdin": read(request.derive(network, plugin)),
        })
    });
    json!({
        "name": network.name.as_str(), "version": network.version.as_str(), "disableCheck": network.disable_check,
        "disableGC": network.disable_gc, "onlyInlined": network.load_only_inlined_plugins,
        "plugins": plugins.collect::<Vec<_>>(),
    })
}

/// What reaches the plugins as it is may hold a number or an escape that cannot be read: then it is compared as text.
fn read(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
