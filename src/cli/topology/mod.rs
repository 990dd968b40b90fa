//! `plexusctl topology`: pods, interfaces, networks, and the links of nodes below them.

mod cluster;
mod html;
mod model;
mod node;
mod svg;
mod text;

use super::kubeconfig::{ClusterAccess, namespace};
use super::output::Output;
use super::output::described::Described;
use super::{Error, Verdict, get, sight, trust};
use crate::cli::directories::RecordDirectories;
use crate::cluster::Scope;
use clap::{Args, ValueEnum};
use model::{Branch, tree};
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// How it is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Tree for a terminal
    #[default]
    Tree,
    /// Picture
    Svg,
    /// One page with a search box, which works offline
    Html,
    /// Flowchart for Mermaid
    Mermaid,
    /// Graph for Graphviz
    Dot,
    /// One JSON document; members are added, never changed
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "On a node it is what the plugin has recorded. With the options of a cluster, and where the state directory does not exist or is empty, it is what the annotations of the cluster's pods contain."
)]
pub struct Arguments {
    /// Only pods of this namespace
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,

    /// Only pods of the cluster with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,

    /// Pods of the cluster, also on a node
    #[arg(long)]
    cluster: bool,

    /// Also draw the default network
    #[arg(long)]
    default_network: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,

    #[command(flatten)]
    access: ClusterAccess,

    #[command(flatten)]
    directories: RecordDirectories,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// Nodes, with their links, networks and interfaces of pods as children.
    nodes: &'a [Branch],
}

impl Described for Document<'_> {
    const NAME: &'static str = "topology";
}

/// Draws it.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let state = arguments.directories.state()?;
    let is_node = sight::is_node(&state);
    let is_of_cluster = arguments.cluster || arguments.selector.is_some() || arguments.access.is_given();
    let leaves = if is_of_cluster || (!is_node && ClusterAccess::is_configured()) {
        let (namespace, labels) = (arguments.namespace.clone(), arguments.selector.clone());
        let scope = Scope { namespace, labels, ..Scope::default() };
        cluster::leaves(&arguments.access.open()?, &scope, arguments.default_network, output)?
    } else if is_node {
        trust::check(state.path())?;
        let namespace = arguments.namespace.as_deref();
        node::leaves(&arguments.directories, &state, namespace, arguments.default_network)?
    } else {
        output.error(get::not_a_node(&state, "topology"));
        return Ok(Verdict::NotWell);
    };
    let nodes = tree(&leaves);
    match arguments.output {
        Shape::Json => output.json(&Document { version: VERSION, nodes: &nodes })?,
        Shape::Svg => output.text(&svg::svg(&nodes))?,
        Shape::Html => output.text(&html::html(&nodes))?,
        Shape::Mermaid => output.text(&text::mermaid(&nodes))?,
        Shape::Dot => output.text(&text::dot(&nodes))?,
        Shape::Tree if nodes.is_empty() => output.remark("No pod has an additional network."),
        Shape::Tree => output.text(&text::lines(&nodes))?,
    }
    Ok(Verdict::Well)
}
