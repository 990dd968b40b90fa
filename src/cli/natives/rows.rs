//! What `plexusctl natives` tells of a network: the shape of its JSON, and its rows.

use crate::cli::output::Tone;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::runs_as::Plugin;
use crate::cni::NetworkConfig;
use crate::delegate::Registry;
use schemars::JsonSchema;
use serde::Serialize;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    pub version: u32,
    /// The networks: the default network first, then the others by name, or in the order of the files.
    pub networks: Vec<Network>,
}

impl Described for Document {
    const NAME: &'static str = "natives";
}

/// A network and its plugins.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// `<namespace>/<NAD>`, or the name of the configuration.
    pub network: String,
    /// This is the default network of the node.
    pub default: bool,
    /// Its plugins in their order; none if it cannot be read.
    pub plugins: Vec<Plugin>,
    /// The error of ADD if it cannot be read; null if it can be read.
    pub error: Option<String>,
    /// Its configuration, for comparing it with others.
    #[serde(skip)]
    pub config: Option<NetworkConfig>,
}

impl Network {
    /// Who runs `network`, called `name`.
    pub fn of(name: String, default: bool, registry: &Registry, network: Result<NetworkConfig, String>) -> Self {
        let (config, error) = match network {
            Ok(network) => (Some(network), None),
            Err(why) => (None, Some(why)),
        };
        let plugins = config.iter().flat_map(|network| &network.plugins).map(|plugin| Plugin::of(plugin, registry));
        Network { network: name, default, plugins: plugins.collect(), error, config }
    }
}

impl Network {
    fn cell(&self) -> Cell {
        if self.default { format!("{} (default)", self.network).into() } else { self.network.as_str().into() }
    }
}

fn cells(plugin: &Plugin, network: &Network) -> Vec<Cell> {
    let by = if plugin.native { Cell::new("built-in", Tone::Good) } else { Cell::new("program", Tone::Waiting) };
    vec![network.cell(), plugin.r#type.as_str().into(), by, plugin.reason.clone().unwrap_or_default().into()]
}

/// The table: a row for each plugin, and one for its address plugin after it.
pub fn table(networks: &[Network]) -> Table {
    let mut table = Table::new(["NETWORK", "PLUGIN", "RUNS AS", "WHY"]);
    for network in networks {
        for plugin in &network.plugins {
            table.row(cells(plugin, network));
            plugin.ipam.iter().for_each(|ipam| table.row(cells(ipam, network)));
        }
        if let Some(error) = &network.error {
            table.row(vec![network.cell(), "".into(), Cell::new("error", Tone::Bad), error.as_str().into()]);
        }
    }
    table
}
