//! `plexusctl topology`: pods, interfaces, networks, and the links of nodes below them.

mod html;
mod model;
mod svg;
mod text;

use super::kubeconfig::ClusterAccess;
use super::output::Output;
use super::output::described::Described;
use super::output::limit::{PHRASE, short};
use super::pods::label;
use super::pods::networks::{PodNetworks, Standing};
use super::{Error, Verdict, get, sight, trust};
use crate::api::StateDirectory;
use crate::cli::directories::RecordDirectories;
use crate::cluster::{Inquiry, Scope, SeenPod};
use crate::cni::NetworkConfig;
use crate::nad::{Definition, NadRef};
use crate::store::{Record, Store};
use clap::{Args, ValueEnum};
use model::{Branch, Leaf, link_of, tree};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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
    after_help = "On a node it is what the plugin has recorded. With the options of a cluster, and where no state directory exists, it is what the annotations of the cluster's pods contain."
)]
pub struct Arguments {
    /// Only pods of this namespace
    #[arg(short, long)]
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
        of_cluster(arguments, &arguments.access.open()?, output)?
    } else if is_node {
        trust::check(state.path())?;
        of_node(arguments, &state)?
    } else {
        output.remark(get::not_a_node(&state, "topology"));
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

fn of_node(arguments: &Arguments, state: &StateDirectory) -> Result<Vec<Leaf>, Error> {
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    Ok(records.iter().flat_map(|record| of_record(record, arguments)).collect())
}

fn of_record(record: &Record, arguments: &Arguments) -> Vec<Leaf> {
    let pod = record.pod.as_ref();
    let is_wanted = arguments.namespace.as_ref().is_none_or(|wanted| pod.is_some_and(|pod| pod.namespace() == wanted));
    let wanted = record.attachments.iter().filter(|one| is_wanted && (arguments.default_network || !one.default));
    let leaf = |one: &crate::store::Attachment| {
        let config = NetworkConfig::parse(one.config.get(), None).ok();
        let result = one.add_result().unwrap_or_default();
        Leaf {
            node: String::new(),
            link: config.as_ref().map_or_else(|| "-".to_owned(), link_of),
            network: one.network.clone(),
            pod: pod
                .map_or_else(|| record.container_id.to_string(), |pod| format!("{}/{}", pod.namespace(), pod.name())),
            interface: one.ifname.to_string(),
            addresses: result.ips.iter().map(|ip| ip.address.to_string()).collect(),
        }
    };
    wanted.map(leaf).collect()
}

/// The NADs of the picture. Who may read one namespace gets its networks, and those of others that pods use and may be read.
/// Without the right to read any, the picture has networks without links.
fn definitions(inquiry: &Inquiry, scope: &Scope, pods: &[SeenPod], output: &Output) -> Vec<Definition> {
    let mut unseen = None;
    let mut found = inquiry.definitions_of(scope).unwrap_or_else(|e| {
        unseen = Some(e);
        Vec::new()
    });
    if let Some(namespace) = &scope.namespace {
        let used = pods.iter().flat_map(|pod| PodNetworks::of(pod).selected).map(|selected| selected.nad);
        let others: BTreeSet<NadRef> = used.filter(|nad| nad.namespace() != namespace).collect();
        for nad in others {
            match inquiry.definition(&nad) {
                Ok(one) => found.extend(one),
                Err(e) => unseen = unseen.or(Some(e)),
            }
        }
    }
    if let Some(why) = unseen {
        output.remark(format!("some bridges and masters are not shown: {why}"));
    }
    found
}

fn of_cluster(arguments: &Arguments, inquiry: &Inquiry, output: &Output) -> Result<Vec<Leaf>, Error> {
    let scope =
        Scope { namespace: arguments.namespace.clone(), labels: arguments.selector.clone(), ..Scope::default() };
    let pods = inquiry.pods(&scope).map_err(|why| Error::unlisted(why, scope.namespace.as_ref()))?;
    let definitions = definitions(inquiry, &scope, &pods, output);
    let links: BTreeMap<String, String> = definitions
        .iter()
        .filter_map(|one| {
            let config = NetworkConfig::parse(one.config.as_deref()?, Some(one.nad.name())).ok()?;
            Some((one.nad.to_string(), link_of(&config)))
        })
        .collect();
    let mut leaves = Vec::new();
    for pod in &pods {
        let networks = PodNetworks::of(pod);
        if !networks.are_several(pod) {
            continue;
        }
        let node = pod.node.clone().unwrap_or_else(|| "(no node)".to_owned());
        if let Some(problem) = networks.problem() {
            let (link, network) = ("-".to_owned(), "(unreadable)".to_owned());
            let problem = vec![short(&problem, PHRASE)];
            leaves.push(Leaf {
                node: node.clone(),
                link,
                network,
                pod: label(pod),
                interface: String::new(),
                addresses: problem,
            });
        }
        let wanted = networks.networks.iter().filter(|one| arguments.default_network || !one.default);
        leaves.extend(wanted.map(|one| Leaf {
            node: node.clone(),
            link: links.get(&one.network).cloned().unwrap_or_else(|| "-".to_owned()),
            network: one.network.clone(),
            pod: label(pod),
            interface: one.interface.clone().unwrap_or_default(),
            addresses: match one.state {
                Standing::Attached => one.addresses.clone(),
                Standing::Waiting => vec!["waiting".to_owned()],
                Standing::Missing => vec!["missing".to_owned()],
                Standing::HostNetwork => vec!["host network".to_owned()],
                Standing::Ended => vec!["ended".to_owned()],
            },
        }));
    }
    Ok(leaves)
}
