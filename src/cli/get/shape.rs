//! How `plexusctl get` prints.

use clap::ValueEnum;

/// How the list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Human-readable table
    #[default]
    Table,
    /// The same, with the gateways of the pod's default routes
    Wide,
    /// One JSON document; members are added, never changed
    Json,
    /// The same document as YAML
    Yaml,
    /// Names of pods
    Name,
}
