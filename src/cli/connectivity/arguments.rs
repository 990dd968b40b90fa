//! The command lines of `plexusctl connectivity`.

use crate::cli::kubeconfig::{ClusterAccess, namespace};
use clap::{Args, ValueEnum};

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Matrix for each network, and the reasons of cells that fail
    #[default]
    Table,
    /// Line for each pair, with every measurement
    Wide,
    /// One JSON document; members are added, never changed
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "It creates one pod of Plexus' image on each node for each network, and deletes them at the end, also after Ctrl-C.\n\nExit codes: 0 all pairs are connected, 1 a pair is not connected."
)]
pub struct TestArguments {
    /// NetworkAttachmentDefinition: [NAMESPACE/]NAME, several times or with commas
    #[arg(long = "network", value_name = "NAD", required = true, value_delimiter = ',')]
    pub networks: Vec<String>,

    /// Node, several times or with commas [default: every node that runs Linux]
    #[arg(long = "node", value_name = "NODE", value_delimiter = ',')]
    pub nodes: Vec<String>,

    /// Namespace of the pods [default: that of each network]
    #[arg(short, long, value_parser = namespace)]
    pub namespace: Option<String>,

    /// Image of the pods [default: that of Plexus' DaemonSet]
    #[arg(long)]
    pub image: Option<String>,

    /// Seconds until the pods must run
    #[arg(long, default_value_t = 90, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Shape,

    #[command(flatten)]
    pub access: ClusterAccess,
}

#[derive(Debug, Args)]
pub struct CleanArguments {
    /// Only pods of this namespace [default: all namespaces]
    #[arg(short, long, value_parser = namespace)]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub access: ClusterAccess,
}
