//! `plexusctl describe pod NAMESPACE/NAME`: everything about the networks of one pod, on one page.

mod kernel;
mod page;

use super::output::{Format, Output};
use super::pods::{Asked, PodOption};
use super::{Error, Verdict, gc, natives, remote, sight, trust};
use crate::api::StateDirectory;
use crate::cli::directories::{self, RecordDirectories};
use crate::cluster::Inquiry;
use crate::delegate::Registry;
use crate::engine::Settings;
use crate::store::{Store, record};
use clap::{Args, Subcommand};
pub use kernel::{Seen, differences};
pub use page::Document;

use kernel::Compared;
use serde::Deserialize;

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the networks, addresses, default routes and events of a pod; on its node also record and kernel
    Pod(PodArguments),
}

#[derive(Debug, Args)]
struct PodArguments {
    #[command(flatten)]
    pod: PodOption,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    directories: RecordDirectories,
}

/// Prints the page; not well where the kernel differs from the record.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let What::Pod(arguments) = &arguments.what;
    let state = arguments.directories.state()?;
    sight::check(&state, "describe pod <namespace>/<name>")?;
    let is_node = sight::is_node(&state);
    let Asked { namespace, name, inquiry } = arguments.pod.find(is_node)?;
    let mut page = Document::empty(VERSION, &namespace, &name);
    if is_node {
        add_records(&mut page, &state, &arguments.directories, output)?;
    }
    match inquiry {
        Ok(inquiry) => match inquiry.pod(&namespace, &name)? {
            Some(pod) => {
                let events = inquiry.events(&pod).unwrap_or_else(|e| {
                    page.unseen.push(e.to_string());
                    Vec::new()
                });
                let uid = pod.kubelet_uid.clone();
                page.add_pod(pod, events);
                if page.records.is_empty() {
                    add_part_of_node(&mut page, &inquiry, output);
                }
                // Not those of an earlier pod with its name.
                page.records.retain(|one| one.uid.as_ref().is_none_or(|other| *other == uid));
            }
            None if page.records.is_empty() => return Err(Error::NoPod(format!("{namespace}/{name}"))),
            None => page.unseen.push(format!("the API server has no pod {namespace}/{name}: it was deleted")),
        },
        Err(_) if page.records.is_empty() => {
            return Err(Error::NoRecord(format!("{namespace}/{name}")));
        }
        Err(why) => page.unseen.push(why),
    }
    match arguments.output {
        Format::Json => output.json(&page)?,
        Format::Table => page::print(&page, record::now(), output)?,
    }
    let drifted = page.records.iter().any(|one| !one.drift.is_empty() || one.debt.is_some());
    Ok(if drifted { Verdict::NotWell } else { Verdict::Well })
}

/// Adds what the pod's node has, asked from here; the rest of the page does not depend on it.
fn add_part_of_node(page: &mut Document, inquiry: &Inquiry, output: &Output) {
    let Some(node) = page.node.clone().filter(|_| page.is_attached()) else { return };
    let words = ["describe", "pod", "--output=json", "--", &format!("{}/{}", page.namespace, page.name)];
    match remote::document::<PartOfNode>(inquiry, &node, &words, output) {
        Ok(part) => page.records = part.records,
        Err(why) => page.unseen.push(format!("the records of node {node}: {why}")),
    }
}

/// What is read of the page that a node prints.
#[derive(Debug, Deserialize)]
struct PartOfNode {
    records: Vec<Compared>,
}

fn add_records(
    page: &mut Document,
    state: &StateDirectory,
    places: &RecordDirectories,
    output: &Output,
) -> Result<(), Error> {
    trust::check(state.path())?;
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    let is_of = |pod: &crate::nad::PodRef| pod.namespace() == page.namespace && pod.name() == page.name;
    let mut own: Vec<_> = records.iter().filter(|one| one.pod.as_ref().is_some_and(is_of)).collect();
    own.sort_by_key(|one| one.created);
    let run = directories::run(None, places.cni_conf_dir())?;
    let installed = gc::installed(places.cni_conf_dir());
    let settings = Settings::review(installed.as_deref().unwrap_or(natives::DEFAULTS));
    let registry = Registry::new(settings.map(|(settings, _)| settings.natives).unwrap_or_default());
    page.records = own.into_iter().flat_map(|record| kernel::compare(record, &registry, &run, output)).collect();
    Ok(())
}
