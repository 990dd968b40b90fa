//! Which plugins are built in and which are programs, as `natives` and `plan` show it.

use crate::cni::PluginConfig;
use crate::delegate::Registry;
use crate::delegate::registry::Runner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A plugin of a network.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plugin {
    /// Its type.
    pub r#type: String,
    /// It runs inside Plexus.
    pub native: bool,
    /// The reason for a program; null if the plugin is built in.
    pub reason: Option<String>,
    /// Its address plugin; null for none.
    pub ipam: Option<Box<Plugin>>,
}

impl Plugin {
    /// `plugin`, run by `registry`.
    pub fn of(plugin: &PluginConfig, registry: &Registry) -> Self {
        let runners = registry.runners(plugin);
        let ipam = plugin.ipam.as_ref().zip(runners.ipam);
        let ipam = ipam.map(|(kind, runner)| Box::new(Plugin::run(kind.as_str(), &runner, plugin.kind.as_str())));
        Plugin { ipam, ..Plugin::run(plugin.kind.as_str(), &runners.main, "") }
    }

    /// The plugin with its address plugin, each with how it runs: `bridge (built-in), host-local (built-in)`.
    pub fn label(&self) -> String {
        let how = if self.native { "built-in" } else { "program" };
        let own = format!("{} ({how})", self.r#type);
        self.ipam.as_ref().map_or_else(|| own.clone(), |ipam| format!("{own}, {}", ipam.label()))
    }

    fn run(kind: &str, runner: &Runner, asked_by: &str) -> Self {
        let reason = match runner {
            Runner::Native => None,
            Runner::Program(why) => Some(why.to_string()),
            Runner::AskedFor => Some(format!("the program {asked_by} calls it")),
        };
        Plugin { r#type: kind.to_owned(), native: reason.is_none(), reason, ipam: None }
    }
}
