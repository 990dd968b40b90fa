//! We never delegate to ourselves, nor to another plugin that would call us again.

use crate::cni::NetworkConfig;
use serde_json::Value;

/// Plugins that read the cluster's configuration and delegate to whatever comes first in it.
const META_PLUGINS: [&str; 3] = ["plexus", "multus", "multus-shim"];

/// Whether `kind` is a plugin that would call us again.
pub fn is_meta_plugin(kind: &str) -> bool {
    META_PLUGINS.contains(&kind)
}

/// The type of a meta plugin that `network` names, at any depth; none in a usable default network.
pub fn names_itself(network: &NetworkConfig) -> Option<String> {
    network.plugins.iter().find_map(|plugin| {
        let value = serde_json::to_value(&plugin.object).ok()?;
        find(&value)
    })
}

fn find(value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("type").and_then(Value::as_str).filter(|kind| is_meta_plugin(kind));
            own.map(str::to_owned).or_else(|| map.values().find_map(find))
        }
        Value::Array(list) => list.iter().find_map(find),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_at_any_depth() {
        for (text, found) in [
            (r#"{"name":"n","type":"bridge","x":{"name":"plexus"}}"#, None),
            (r#"{"name":"n","type":"plexus"}"#, Some("plexus")),
            (r#"{"name":"n","plugins":[{"type":"a"},{"type":"multus-shim"}]}"#, Some("multus-shim")),
            (r#"{"name":"n","type":"genie","delegates":[{"plugins":[{"type":"multus"}]}]}"#, Some("multus")),
        ] {
            let network = NetworkConfig::parse(text, None).unwrap();
            assert_eq!(names_itself(&network).as_deref(), found, "{text}");
        }
    }
}
