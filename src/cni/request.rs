//! The configuration one plugin is handed for one call (CNI-REQ).

use super::config::{NetworkConfig, PluginConfig};
use super::json::RawObject;
use serde::Serialize;
use serde_json::value::RawValue;

/// An attachment in the `cni.dev/valid-attachments` of GC (CNI-GC-01).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct ValidAttachment {
    /// The container it belongs to.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
}

/// What is added to a plugin's configuration for one call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The result of the plugin before, or of the whole ADD.
    pub prev_result: Option<&'a RawValue>,
    /// What is offered by capability; each plugin is given the ones it declares.
    pub capability_args: Option<&'a RawObject>,
    /// GC: what is still valid.
    pub valid_attachments: Option<&'a [ValidAttachment]>,
}

impl Request<'_> {
    /// The stdin of `plugin`, a plugin of `network`.
    ///
    /// `name` and `cniVersion` are those of the network (CNI-REQ-01); `capabilities` is for the
    /// runtime alone and is taken out (CNI-REQ-03); every other key passes unaltered (CNI-REQ-04).
    pub fn derive(&self, network: &NetworkConfig, plugin: &PluginConfig) -> String {
        let mut stdin = plugin.object.clone();
        stdin.remove("capabilities");
        stdin.set_value("cniVersion", network.version.as_str());
        stdin.set_value("name", network.name.as_str());
        // libcni hands it over in every version, also 0.1.0 and none at all; Chain::del knows when there is none.
        match self.prev_result {
            Some(result) => stdin.set("prevResult", result.to_owned()),
            None => stdin.remove("prevResult"),
        }
        if let Some(runtime_config) = self.capability_args.and_then(|offered| intersect(plugin, offered)) {
            stdin.set("runtimeConfig", runtime_config.to_raw());
        }
        if let Some(valid) = self.valid_attachments {
            // CNI-GC-02: the tag of 1.1.0 spelled it without "valid".
            stdin.set_value("cni.dev/valid-attachments", valid);
            stdin.set_value("cni.dev/attachments", valid);
        }
        stdin.to_json()
    }
}

/// What `plugin` declares of what is `offered` (CNI-REQ-05); nothing in common is no `runtimeConfig` at all.
fn intersect(plugin: &PluginConfig, offered: &RawObject) -> Option<RawObject> {
    let mut common = RawObject::default();
    for (key, value) in offered.iter().filter(|(key, _)| plugin.has_capability(key)) {
        common.set(key, value.to_owned());
    }
    (!common.is_empty()).then_some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> NetworkConfig {
        let text = r#"{"cniVersion":"1.0.0","name":"n","plugins":[
            {"type":"d1","name":"own","cniVersion":"9","capabilities":{"mac":true},"prevResult":{},"x":1.50},
            {"type":"d2","capabilities":{"portMappings":true,"mac":false}},
            {"type":"d3","runtimeConfig":{"seeded":1}}]}"#;
        NetworkConfig::parse(text, None).unwrap()
    }

    #[test]
    fn each_plugin_gets_its_own_runtime_config() {
        // CNI-REQ-01, CNI-REQ-02, CNI-REQ-03, CNI-REQ-04, CNI-REQ-05, CNI-REQ-06, NPWG-KEY-22
        let offered = RawObject::parse(r#"{"mac":"0a:00:00:00:00:01","portMappings":[]}"#).unwrap();
        let request = Request { capability_args: Some(&offered), ..Request::default() };
        let network = list();
        let stdin: Vec<_> = network.plugins.iter().map(|plugin| request.derive(&network, plugin)).collect();
        assert_eq!(
            stdin[0],
            r#"{"type":"d1","name":"n","cniVersion":"1.0.0","x":1.50,"runtimeConfig":{"mac":"0a:00:00:00:00:01"}}"#
        );
        assert_eq!(stdin[1], r#"{"type":"d2","cniVersion":"1.0.0","name":"n","runtimeConfig":{"portMappings":[]}}"#);
        assert_eq!(stdin[2], r#"{"type":"d3","runtimeConfig":{"seeded":1},"cniVersion":"1.0.0","name":"n"}"#);
    }

    #[test]
    fn both_spellings_of_valid_attachments_are_sent() {
        // CNI-GC-01, CNI-GC-02
        let valid = [ValidAttachment { container_id: "c".into(), ifname: "eth0".into() }];
        let request = Request { valid_attachments: Some(&valid), ..Request::default() };
        let network = list();
        let stdin = request.derive(&network, &network.plugins[2]);
        for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
            assert!(stdin.contains(&format!(r#""{key}":[{{"containerID":"c","ifname":"eth0"}}]"#)), "{stdin}");
        }
    }
}
