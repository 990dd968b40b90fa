//! We never delegate to ourselves, nor to another plugin that would call us again.

use crate::cni::{NetworkConfig, folds_to};

/// Plugins that read the cluster's configuration and delegate to whatever comes first in it.
const META_PLUGINS: [&str; 3] = ["plexus", "multus", "multus-shim"];

/// Whether `kind` is a plugin that would call us again.
pub fn is_meta_plugin(kind: &str) -> bool {
    META_PLUGINS.contains(&kind)
}

/// The type of a meta plugin that `network` names, at any depth; none in a usable default network.
pub fn names_itself(network: &NetworkConfig) -> Option<String> {
    network.plugins.iter().find_map(|plugin| find(&plugin.object.to_json()))
}

/// The first meta plugin that is the value of a `type` in `json`, in any letter case, as plugins read it.
///
/// In JSON a text before a colon is a key, however deep: no parser whose depth is limited can be made to miss it.
fn find(json: &str) -> Option<String> {
    let mut rest = json;
    loop {
        let (key, after) = text(&rest[rest.find('"')?..])?;
        rest = after;
        let Some(value) = rest.trim_start().strip_prefix(':').map(str::trim_start) else { continue };
        if folds_to(&key, "type") && value.starts_with('"') {
            let kind = text(value)?.0;
            if is_meta_plugin(&kind) {
                return Some(kind);
            }
        }
    }
}

/// The text with which `json` begins, and what follows it.
fn text(json: &str) -> Option<(String, &str)> {
    let mut read = serde_json::Deserializer::from_str(json).into_iter();
    let text = read.next()?.ok()?;
    Some((text, &json[read.byte_offset()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_at_any_depth() {
        // FAULT-24
        for (text, found) in [
            (r#"{"name":"n","type":"bridge","x":{"name":"plexus"}}"#, None),
            (r#"{"name":"n","type":"plexus"}"#, Some("plexus")),
            (r#"{"name":"n","plugins":[{"type":"a"},{"type":"multus-shim"}]}"#, Some("multus-shim")),
            (r#"{"name":"n","type":"genie","delegates":[{"plugins":[{"type":"multus"}]}]}"#, Some("multus")),
            (r#"{"name":"n","Type":"plexus"}"#, Some("plexus")),
            (r#"{"name":"n","type":"genie","x":[{"TYPE" : "mult\u0075s"}]}"#, Some("multus")),
            (r#"{"name":"n","type":"genie","x":["type","plexus"],"plexus":"type","y\\":"\"type\":\"plexus\""}"#, None),
        ] {
            let network = NetworkConfig::parse(text, None).unwrap();
            assert_eq!(names_itself(&network).as_deref(), found, "{text}");
        }
        // Deeper than a parser may go.
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        for deep in
            [format!(r#""x":{open}{{"type":"plexus"}}{close}"#), format!(r#""x":{open}{close},"type":"plexus""#)]
        {
            let network = NetworkConfig::parse(&format!(r#"{{"name":"n","type":"genie",{deep}}}"#), None).unwrap();
            assert_eq!(names_itself(&network).as_deref(), Some("plexus"));
        }
    }
}
