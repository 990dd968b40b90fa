//! The part of a report that the API server has, and the parts of nodes.

use crate::cli::Error;
use crate::cli::kubeconfig::ClusterAccess;
use crate::cli::output::Output;
use crate::cli::pods::label;
use crate::cli::remote::{self, nodes};
use crate::cli::report::archive::Archive;
use crate::cli::report::own;
use crate::cluster::{Inquiry, SeenEvent, SeenPod};
use serde_json::json;
use std::time::Duration;

/// The commands of a cluster: the name of the file, and the words.
const COMMANDS: [(&str, &[&str]); 3] = [
    ("cluster/status.json", &["status", "-o", "json"]),
    ("cluster/get.json", &["get", "-A", "-o", "json"]),
    ("cluster/lint.json", &["lint", "--cluster", "-o", "json"]),
];
/// Those about pools of addresses.
const OF_POOLS: [(&str, &[&str]); 2] = [
    ("cluster/ipam-show.json", &["ipam", "show", "--cluster", "-o", "json"]),
    ("cluster/ipam-check.json", &["ipam", "check", "--cluster", "-o", "json"]),
];
/// What a node is asked.
const OF_NODE: [&str; 2] = ["report", "--output=-"];

/// Which part of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The cluster.
    pub access: &'a ClusterAccess,
    /// The nodes; all where none is named.
    pub nodes: &'a [String],
    /// So many lines of each log.
    pub lines: u32,
    /// How long a node may take.
    pub limit: Duration,
}

/// Adds what there is of a cluster. What cannot be seen is in the archive with its reason.
///
/// # Errors
/// The cluster cannot be reached, or Plexus' pods cannot be listed.
pub fn collect(wanted: &Wanted<'_>, archive: &mut Archive, output: &Output) -> Result<(), Error> {
    let inquiry = wanted.access.open()?;
    let plexus = inquiry.own_pods()?;
    let way = way(wanted.access);
    let way: Vec<&str> = way.iter().map(String::as_str).collect();
    for (name, words) in COMMANDS {
        output.progress(&format!("plexusctl {} …", words[0]));
        own::run(name, &[words, &way].concat(), archive);
    }
    definitions(&inquiry, archive);
    output.progress("pools of addresses …");
    pools(&inquiry, &way, archive);
    objects(&inquiry, archive);
    failures(&inquiry, archive);
    let is_wanted =
        |pod: &&SeenPod| wanted.nodes.is_empty() || wanted.nodes.iter().any(|node| pod.node.as_ref() == Some(node));
    for pod in plexus.iter().filter(is_wanted) {
        output.progress(&format!("logs and events of {} …", label(pod)));
        of_pod(&inquiry, pod, wanted.lines, archive);
    }
    let targets = nodes::find(&inquiry, wanted.nodes)?;
    let answers = remote::ask(&inquiry, &targets, &OF_NODE.map(str::to_owned), wanted.limit, output);
    for answer in &answers {
        let folder = format!("nodes/{}", answer.node);
        let added =
            answer.done().and_then(|done| archive.add_archive(&folder, &done.stdout).map_err(|e| e.to_string()));
        if let Err(why) = added {
            output.remark(format!("{}: {why}", answer.node));
            archive.add(&format!("{folder}.log"), &format!("{why}\n"));
        }
    }
    Ok(())
}

fn way(access: &ClusterAccess) -> Vec<String> {
    let kubeconfig = access.kubeconfig.iter().flat_map(|path| ["--kubeconfig".to_owned(), path.display().to_string()]);
    kubeconfig.chain(access.context.iter().flat_map(|name| ["--context".to_owned(), name.clone()])).collect()
}

fn definitions(inquiry: &Inquiry, archive: &mut Archive) {
    match inquiry.definitions() {
        Ok(definitions) => {
            for one in definitions {
                let (namespace, name) = (one.nad.namespace(), one.nad.name());
                let object = json!({"namespace": namespace, "name": name, "config": one.config});
                archive.add(&format!("cluster/networks/{namespace}/{name}.json"), &format!("{object:#}\n"));
            }
        }
        Err(e) => archive.add("cluster/networks.log", &format!("{e}\n")),
    }
}

/// The objects of pools, and what is told of them. Without the component for them there is only the reason.
fn pools(inquiry: &Inquiry, way: &[&str], archive: &mut Archive) {
    match inquiry.address_objects() {
        Ok(lists) => {
            lists.iter().for_each(|(kind, text)| archive.add(&format!("cluster/addresses/{kind}.json"), text));
            OF_POOLS.iter().for_each(|(name, words)| own::run(name, &[words, way].concat(), archive));
        }
        Err(e) => archive.add("cluster/addresses.log", &format!("{e}\n")),
    }
}

fn objects(inquiry: &Inquiry, archive: &mut Archive) {
    match inquiry.installation() {
        Ok(objects) => objects.iter().for_each(|(name, text)| archive.add(&format!("cluster/{name}.json"), text)),
        Err(e) => archive.add("cluster/installation.log", &format!("{e}\n")),
    }
}

/// Why pods do not start, of all pods: most reports are about one of them.
fn failures(inquiry: &Inquiry, archive: &mut Archive) {
    match inquiry.events_with(SeenEvent::SANDBOX_FAILED) {
        Ok(events) => archive.add("cluster/failures.txt", &events.iter().map(line).collect::<String>()),
        Err(e) => archive.add("cluster/failures.txt.log", &format!("{e}\n")),
    }
}

fn line(event: &SeenEvent) -> String {
    let SeenEvent { kind, reason, message, count, last, about, .. } = event;
    format!("{last} {kind} {about} {reason} ({count}): {message}\n")
}

fn of_pod(inquiry: &Inquiry, pod: &SeenPod, lines: u32, archive: &mut Archive) {
    let folder = format!("cluster/pods/{}", pod.name);
    match inquiry.events(pod) {
        Ok(events) if events.is_empty() => {}
        Ok(events) => {
            archive.add(&format!("{folder}/events.txt"), &events.iter().map(line).collect::<String>());
        }
        Err(e) => archive.add(&format!("{folder}/events.txt.log"), &format!("{e}\n")),
    }
    for container in &pod.containers {
        for (is_previous, name) in [(false, container.clone()), (true, format!("{container}.previous"))] {
            match inquiry.log(pod, container, lines, is_previous) {
                Ok(text) => archive.add(&format!("{folder}/{name}.txt"), &text),
                // Most containers were never restarted.
                Err(_) if is_previous => {}
                Err(e) => archive.add(&format!("{folder}/{name}.txt.log"), &format!("{e}\n")),
            }
        }
    }
}
