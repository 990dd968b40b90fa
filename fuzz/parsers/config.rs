//! Network configurations: of NADs, of files, and on their way to a plugin.

use super::{assert_is_identifier, text};
use plexus::cni::{NetworkConfig, PluginConfig, RawObject, Request};

/// What a call sets itself (CNI-REQ-01, CNI-REQ-03).
const OURS: [&str; 4] = ["capabilities", "cniVersion", "name", "prevResult"];

/// What is kept in the record is what was read, and a plugin gets every key of its own byte for byte
/// (CNI-REQ-04, CNI-CFG-14).
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(config) = NetworkConfig::parse(text, Some("fallback")) else { return };
    assert_is_identifier(config.name.as_str());
    assert!(!config.plugins.is_empty());
    let kept = config.to_raw();
    assert_eq!(NetworkConfig::parse(kept.get(), None).unwrap(), config, "{kept}");
    for plugin in &config.plugins {
        let kind = plugin.kind.as_str();
        assert!(!kind.is_empty() && !kind.contains(['/', '\0']) && kind != "..", "{kind:?}");
        let stdin = Request::default().derive(&config, plugin);
        assert_eq!(foreign(&RawObject::parse(&stdin).unwrap()), foreign(&plugin.object), "{stdin}");
        assert_eq!(PluginConfig::new(plugin.object.clone()).unwrap(), *plugin);
    }
}

/// What is in `object` beside what a call sets.
fn foreign(object: &RawObject) -> Vec<(&str, &str)> {
    let ours = |key: &str| OURS.iter().any(|known| known.eq_ignore_ascii_case(key));
    object.iter().filter(|(key, _)| !ours(key)).map(|(key, value)| (key, value.get())).collect()
}
