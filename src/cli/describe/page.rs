//! The page of a pod: what its API object, its events, and the records of the node contain. Pure.

use crate::cli::Error;
use crate::cli::describe::kernel::Compared;
use crate::cli::get::state_cell;
use crate::cli::output::age::age;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Output, Tone};
use crate::cli::pods::networks::{PodNetwork, PodNetworks, Standing};
use crate::cli::runs_as::Plugin;
use crate::cluster::{SeenEvent, SeenPod};
use crate::store::State;
use schemars::JsonSchema;
use serde::Serialize;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    pub version: u32,
    /// The namespace of the pod.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node; null if it has none, or if the command did not ask the API server.
    pub node: Option<String>,
    /// Its phase; null if the command did not ask the API server.
    pub phase: Option<String>,
    /// The annotation that selects networks; null for none.
    pub annotation: Option<String>,
    /// The reason if the annotation or the network-status cannot be read; null if both can be read.
    pub problem: Option<String>,
    /// Its networks, by its annotations.
    pub networks: Vec<PodNetwork>,
    /// The interfaces with the default routes; empty if the network-status contains none.
    #[serde(rename = "defaultRoutes")]
    pub default_routes: Vec<DefaultRoute>,
    /// Events of the pod, the oldest first.
    pub events: Vec<Event>,
    /// The records of the pod's node, compared with the kernel.
    pub records: Vec<Compared>,
    /// Objects that the command could not look at.
    pub unseen: Vec<String>,
}

impl Described for Document {
    const NAME: &'static str = "describe-pod";
}

/// An interface with a default route.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultRoute {
    /// The interface.
    interface: String,
    /// Its network.
    network: String,
    /// The gateway.
    gateway: String,
}

/// An event.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `Normal` or `Warning`.
    r#type: String,
    /// The reason, one word.
    reason: String,
    /// The message.
    message: String,
    /// The number of its occurrences.
    count: u32,
    /// The time of the last one, in seconds of Unix time.
    last: u64,
}

impl From<SeenEvent> for Event {
    fn from(event: SeenEvent) -> Self {
        let SeenEvent { kind, reason, message, count, last, .. } = event;
        Event { r#type: kind, reason, message, count, last }
    }
}

impl Document {
    /// The page of the pod `namespace/name` before anything is known of it.
    pub fn empty(version: u32, namespace: &str, name: &str) -> Self {
        Document {
            version,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            node: None,
            phase: None,
            annotation: None,
            problem: None,
            networks: Vec::new(),
            default_routes: Vec::new(),
            events: Vec::new(),
            records: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// Whether a node has something of the pod: it runs there with a network of its own.
    pub fn is_attached(&self) -> bool {
        let ended = self.phase.as_deref().is_some_and(|phase| phase == "Succeeded" || phase == "Failed");
        !ended && self.networks.iter().all(|network| network.state != Standing::HostNetwork)
    }

    /// Adds what the API server has of the pod.
    pub fn add_pod(&mut self, pod: SeenPod, events: Vec<SeenEvent>) {
        let found = PodNetworks::of(&pod);
        self.default_routes = found.networks.iter().flat_map(default_routes).collect();
        self.problem = found.problem();
        self.networks = found.networks;
        self.annotation = pod.networks;
        self.node = pod.node;
        self.phase = Some(if pod.deleting { "Terminating".to_owned() } else { pod.phase });
        self.events = events.into_iter().map(Event::from).collect();
    }
}

fn default_routes(network: &PodNetwork) -> impl Iterator<Item = DefaultRoute> {
    network.gateways.iter().map(|gateway| DefaultRoute {
        interface: network.interface.clone().unwrap_or_default(),
        network: network.network.clone(),
        gateway: gateway.clone(),
    })
}

/// What the word "as recorded" does not promise.
const COMPARED: &str = "Compared: interfaces, hardware addresses, MTU, addresses and routes in the pod. Not compared: ports of bridges, leases, \
    firewall rules, and what else a plugin keeps outside of the pod.";

/// Prints the page.
pub fn print(page: &Document, now: u64, output: &mut Output) -> Result<(), Error> {
    let line = |key: &str, value: Option<&str>| value.map(|value| format!("{:<15}{value}", format!("{key}:")));
    let routes: Vec<String> = page
        .default_routes
        .iter()
        .map(|route| format!("{} ({}), gateway {}", route.interface, route.network, route.gateway))
        .collect();
    let routes = (!page.networks.is_empty()).then(|| match routes.as_slice() {
        [] => "not reported".to_owned(),
        routes => routes.join("; "),
    });
    let name = format!("{}/{}", page.namespace, page.name);
    let lines = [
        line("Pod", Some(&name)),
        line("Node", page.node.as_deref()),
        line("Phase", page.phase.as_deref()),
        line("Annotation", page.annotation.as_deref()),
        line("Problem", page.problem.as_deref()),
        line("Default route", routes.as_deref()),
    ];
    lines.into_iter().flatten().try_for_each(|line| output.line(&line))?;
    if !page.networks.is_empty() {
        output.text("\nNetworks\n")?;
        output.table(&networks(&page.networks))?;
    }
    if !page.records.is_empty() {
        output.text("\nRecords of the node\n")?;
        output.table(&records(&page.records))?;
        if page.records.iter().any(|one| one.unseen.is_none() && one.state == State::Attached) {
            output.line(COMPARED)?;
        }
    }
    if !page.events.is_empty() {
        output.text("\nEvents\n")?;
        output.table(&events(&page.events, now))?;
    }
    page.unseen.iter().for_each(|what| output.remark(format!("not seen: {what}")));
    Ok(())
}

fn networks(networks: &[PodNetwork]) -> Table {
    let mut table = Table::new(["INTERFACE", "NETWORK", "ADDRESSES", "MAC", "STATE"]);
    for one in networks {
        table.row(vec![
            one.interface.clone().unwrap_or_default().into(),
            if one.default { format!("{} (default)", one.network).into() } else { one.network.as_str().into() },
            one.addresses.join(",").into(),
            one.mac.clone().unwrap_or_default().into(),
            state_cell(one.state),
        ]);
    }
    table
}

fn records(records: &[Compared]) -> Table {
    let are_several = records.iter().any(|one| one.container != records[0].container);
    let heading = ["INTERFACE", "NETWORK", "PLUGINS", "RECORD", "KERNEL"];
    let mut table = Table::with_heading(heading.into_iter().chain(are_several.then_some("CONTAINER")));
    for one in records {
        let state = match one.state {
            State::Attached => Cell::new("attached", Tone::Good),
            State::Planned => Cell::new("planned", Tone::Waiting),
            State::Owed => Cell::new(format!("owed: {}", one.debt.as_deref().unwrap_or_default()), Tone::Bad),
        };
        let before = one.age.map(|seconds| format!(", {} ago", age(seconds))).unwrap_or_default();
        let kernel = match (&one.unseen, one.drift.as_slice()) {
            (Some(why), _) => Cell::new(format!("not seen: {why}"), Tone::Waiting),
            (None, []) => Cell::new(format!("as recorded{before}"), Tone::Good),
            (None, drift) => Cell::new(drift.join("; ") + &before, Tone::Bad),
        };
        let runs: Vec<String> = one.runs_as.iter().map(Plugin::label).collect();
        let plugins = if runs.is_empty() { one.plugins.clone() } else { runs.join(", ") };
        let cells = [one.interface.as_str().into(), one.network.as_str().into(), plugins.into()];
        let container = are_several.then(|| one.container.as_str().into());
        table.row(cells.into_iter().chain([state, kernel]).chain(container).collect());
    }
    table
}

fn events(events: &[Event], now: u64) -> Table {
    let mut table = Table::new(["AGE", "TYPE", "REASON", "COUNT", "MESSAGE"]);
    for event in events {
        let tone = if event.r#type == "Warning" { Tone::Waiting } else { Tone::Plain };
        table.row(vec![
            age(now.saturating_sub(event.last)).into(),
            Cell::new(event.r#type.as_str(), tone),
            event.reason.as_str().into(),
            event.count.to_string().into(),
            event.message.as_str().into(),
        ]);
    }
    table
}
