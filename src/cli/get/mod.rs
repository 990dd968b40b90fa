//! `plexusctl get`: what is attached on this node; from a workstation, the pods of a cluster.

mod cluster;
mod rows;
mod shape;

pub use cluster::{Document as ClusterDocument, state as state_cell};

use super::output::Output;
use super::{Error, Verdict, sight, trust};
use crate::api::StateDirectory;
use crate::cli::diagnosis::Fault;
use crate::cli::directories::RecordDirectories;
pub use crate::cli::get::rows::Document;
use crate::cli::get::rows::{Row, debts_table, rows, table};
use crate::cli::get::shape::Shape;
use crate::cli::kubeconfig::{ClusterAccess, namespace};
use crate::cli::output::counted::counted_with;
use crate::cluster::{Inquiry, Scope};
use crate::cni::ContainerId;
use crate::store::{Store, record};
use clap::Args;

/// The version of the JSON document.
const VERSION: u32 = 1;
/// So many damaged records are named.
const MOST_NAMES: usize = 10;

#[derive(Debug, Args)]
#[command(
    after_help = "On a node this is what the plugin has recorded. With --cluster, -A, -l, --kubeconfig or --context, and where the state directory does not exist or is empty, it is what the annotations of the cluster's pods contain."
)]
pub struct Arguments {
    /// Only pods of this namespace [default: all on a node; of a cluster, the namespace of the context]
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,

    /// Pods of all namespaces of the cluster
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// Only pods of the cluster with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,

    /// Pods of the cluster, also on a node
    #[arg(long)]
    cluster: bool,

    /// Also print each change of the cluster's pods
    #[arg(short, long)]
    watch: bool,

    #[command(flatten)]
    access: ClusterAccess,

    /// Only failed removals that Plexus will retry, with the reason
    #[arg(long, conflicts_with_all = ["cluster", "all_namespaces", "selector", "watch"])]
    debts: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,

    #[command(flatten)]
    directories: RecordDirectories,
}

/// What is told while the mark of an uninstallation is there.
pub fn draining_told() -> String {
    let what = "Plexus is being uninstalled from this node: new pods start without their additional networks.";
    format!("{what} {}", Fault::Draining.remedy())
}

/// Prints what the records tell; not well where there are none because this is no node.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let state = arguments.directories.state()?;
    let is_node = sight::is_node(&state);
    if arguments.is_of_cluster(is_node) {
        let inquiry = arguments.access.open()?;
        let scope = arguments.scope(&inquiry);
        cluster::run(&inquiry, &scope, arguments.output, arguments.watch, output)?;
        return Ok(Verdict::Well);
    }
    trust::check(state.path())?;
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, damaged) = Store::new(&state).survey().map_err(unreadable)?;
    let draining = state.draining().exists();
    let unpublished = records.iter().filter(|record| record.unpublished.is_some()).count();
    let all = rows(records);
    let total = all.len();
    let wanted: Vec<Row> = all.into_iter().filter(|row| arguments.want(row)).collect();
    let now = record::now();
    match arguments.output {
        Shape::Json | Shape::Yaml => {
            let document = Document {
                version: VERSION,
                attachments: wanted,
                damaged_records: damaged.len(),
                damaged_containers: damaged.clone(),
                unpublished_in_records: unpublished,
                draining,
                is_node,
            };
            if arguments.output == Shape::Json { output.json(&document)? } else { output.yaml(&document)? }
        }
        Shape::Name => {
            let mut names: Vec<&String> = wanted.iter().filter_map(|row| row.pod.as_ref()).collect();
            names.dedup();
            names.into_iter().try_for_each(|name| output.line(&format!("pod/{name}")))?;
        }
        _ if !is_node => {}
        // What cannot be read may be attached, or owed.
        _ if wanted.is_empty() && !damaged.is_empty() => {}
        _ if wanted.is_empty() => output.remark(arguments.nothing(&state, total)),
        _ if arguments.debts => {
            output.table(&debts_table(&wanted, now))?;
            output.remark(retried(wanted.len()));
        }
        shape => output.table(&table(&wanted, now, shape == Shape::Wide))?,
    }
    if !damaged.is_empty() {
        output.remark(not_shown(&state, &damaged));
    }
    if unpublished > 0 {
        output.remark(waiting(unpublished));
    }
    if draining {
        output.remark(draining_told());
    }
    if is_node {
        return Ok(Verdict::Well);
    }
    output.error(not_a_node(&state, "get"));
    Ok(Verdict::NotWell)
}

/// What there is to know of records that cannot be read.
fn not_shown(state: &StateDirectory, damaged: &[ContainerId]) -> String {
    let mut names: Vec<&str> = damaged.iter().take(MOST_NAMES).map(ContainerId::as_str).collect();
    names.extend((damaged.len() > MOST_NAMES).then_some("…"));
    let (s, is) = if damaged.len() == 1 { ("", "is") } else { ("s", "are") };
    format!(
        "{} record{s} in {} cannot be read and {is} not shown ({}): the pod's DEL, or a sweep when the pod is gone, deletes the attachments that can still be read, and moves it to {}",
        damaged.len(),
        state.sandboxes().display(),
        names.join(", "),
        state.damaged().display()
    )
}

/// What becomes of failed removals, and what a person can do.
fn retried(count: usize) -> String {
    let debts = counted_with(count, "failed removal", "is");
    format!(
        "{debts} retried by Plexus itself. Remove the cause; `plexusctl gc` on the node retries at once, `plexusctl gc --forgive` gives up what nobody can remove."
    )
}

/// What is told of network statuses that only the records have.
pub fn waiting(count: usize) -> String {
    format!(
        "{} in the records: the run directory could not be written; a later call of the plugin publishes them",
        counted_with(count, "network-status", "waits")
    )
}

/// What a person must do who runs `command` where no state directory is.
pub fn not_a_node(state: &StateDirectory, command: &str) -> String {
    format!(
        "{} does not exist: Plexus is not installed here, or its records cannot be seen here; run this on the node, from a workstation with `--node <name>`, or in the container keeper: {}",
        state.path().display(),
        sight::in_keeper(command)
    )
}

impl Arguments {
    /// Whether the cluster is meant. On a node it is not, unless an option has a meaning for a cluster only.
    fn is_of_cluster(&self, is_node: bool) -> bool {
        let named = self.cluster || self.all_namespaces || self.selector.is_some() || self.watch;
        named || self.access.is_given() || (!is_node && !self.debts && ClusterAccess::is_configured())
    }

    fn scope(&self, inquiry: &Inquiry) -> Scope {
        let namespace = self.namespace.clone().unwrap_or_else(|| inquiry.namespace().to_owned());
        Scope { namespace: (!self.all_namespaces).then_some(namespace), labels: self.selector.clone(), node: None }
    }

    fn want(&self, row: &Row) -> bool {
        let of_namespace = self.namespace.as_ref().is_none_or(|wanted| row.namespace.as_ref() == Some(wanted));
        of_namespace && (!self.debts || row.debt.is_some())
    }

    /// Why the table is empty, where it is.
    fn nothing(&self, state: &StateDirectory, total: usize) -> String {
        let of =
            self.namespace.as_ref().map_or_else(String::new, |namespace| format!(" for pods of namespace {namespace}"));
        let folder = state.sandboxes();
        match (self.debts, total) {
            (true, _) => format!("No failed removals{of}: Plexus removed everything that it had to remove."),
            (false, 0) if !folder.exists() => format!(
                "No attachments: {} does not exist, so the plugin has attached nothing on this node yet.",
                folder.display()
            ),
            (false, 0) => format!("No attachments: {} contains no record.", folder.display()),
            (false, _) => format!("No attachments{of}; other namespaces have {total}."),
        }
    }
}
