//! `plexusctl get` of a cluster: the pods with additional networks, by their annotations.

use crate::cli::Error;
use crate::cli::get::shape::Shape;
use crate::cli::output::age::age;
use crate::cli::output::described::Described;
use crate::cli::output::limit::{PHRASE, short};
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Output, Tone};
use crate::cli::pods::networks::{PodNetwork, PodNetworks, Standing};
use crate::cluster::{Change, Inquiry, Scope, SeenPod};
use crate::store::record;
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::ControlFlow;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// Pods with more than the default network, sorted.
    pods: Vec<Row>,
}

impl Described for Document {
    const NAME: &'static str = "get-cluster";
}

/// One pod.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The pod's namespace.
    namespace: String,
    /// The pod's name.
    pod: String,
    /// The pod's UID.
    uid: String,
    /// The pod's node; null before it has one.
    node: Option<String>,
    /// The pod's phase; `Terminating` and `Deleted` as in kubectl.
    phase: String,
    /// The time of its creation, in seconds of Unix time.
    created: Option<u64>,
    /// Its networks: first those that its network-status contains, then the others that it selects.
    networks: Vec<PodNetwork>,
    /// The reason if the annotation or the network-status cannot be read; null if both can be read.
    problem: Option<String>,
}

/// Prints the pods of `scope`, and with `watch` their changes.
pub fn run(inquiry: &Inquiry, scope: &Scope, shape: Shape, watch: bool, output: &mut Output) -> Result<(), Error> {
    if !watch {
        let pods = inquiry.pods(scope).map_err(|why| Error::unlisted(why, scope.namespace.as_ref()))?;
        return print(&pods, shape, Some(scope), output);
    }
    let mut failed = Ok(());
    inquiry.watch(scope, |change| {
        let printed = match change {
            Change::All(pods) => print(&pods, shape, Some(scope), output),
            Change::One(pod) => print(&[*pod], shape, None, output),
            Change::Gone(pod) => {
                let gone = SeenPod { phase: "Deleted".into(), deleting: true, ..*pod };
                print(&[gone], shape, None, output)
            }
        };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failed = Err(e);
                ControlFlow::Break(())
            }
        }
    })?;
    failed
}

fn rows(pods: &[SeenPod]) -> Vec<Row> {
    let mut rows: Vec<Row> = pods.iter().filter_map(row).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    rows
}

fn row(pod: &SeenPod) -> Option<Row> {
    let found = PodNetworks::of(pod);
    found.are_several(pod).then(|| Row {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        node: pod.node.clone(),
        phase: if pod.deleting && pod.phase != "Deleted" { "Terminating".into() } else { pod.phase.clone() },
        created: pod.created,
        problem: found.problem(),
        networks: found.networks,
    })
}

/// `whole` is where all `pods` were looked for; none for a change of one.
fn print(pods: &[SeenPod], shape: Shape, whole: Option<&Scope>, output: &mut Output) -> Result<(), Error> {
    let rows = rows(pods);
    match shape {
        Shape::Json => output.json(&Document { version: VERSION, pods: rows }),
        Shape::Yaml => output.yaml(&Document { version: VERSION, pods: rows }),
        Shape::Name => rows.iter().try_for_each(|row| output.line(&format!("pod/{}", row.pod))),
        Shape::Table | Shape::Wide if rows.is_empty() => {
            match whole {
                Some(Scope { namespace: Some(one), .. }) => {
                    output.remark(format!(
                        "No pods with additional networks in namespace {one}; -A shows all namespaces."
                    ));
                }
                Some(_) => output.remark("No pods with additional networks."),
                None => {}
            }
            Ok(())
        }
        Shape::Table | Shape::Wide => {
            let table = table(&rows, record::now(), shape == Shape::Wide);
            if whole.is_some() { output.table(&table) } else { output.table(&table.without_heading()) }
        }
    }
}

fn table(rows: &[Row], now: u64, wide: bool) -> Table {
    let mut table = if wide {
        Table::new([
            "POD",
            "INTERFACE",
            "NETWORK",
            "ADDRESSES",
            "STATE",
            "AGE",
            "MAC",
            "DEFAULT ROUTE",
            "NODE",
            "PHASE",
        ])
    } else {
        Table::new(["POD", "INTERFACE", "NETWORK", "ADDRESSES", "STATE", "AGE"])
    };
    for row in rows {
        let pod = format!("{}/{}", row.namespace, row.pod);
        let lived = row.created.map_or_else(String::new, |created| age(now.saturating_sub(created)));
        let of_pod = |cells: &mut Vec<Cell>, mac: String, gateways: String| {
            let node = row.node.clone().unwrap_or_default();
            cells.extend([mac.into(), gateways.into(), node.into(), row.phase.clone().into()]);
        };
        if let Some(problem) = &row.problem {
            let mut cells = vec![pod.as_str().into(), "".into(), "".into(), "".into()];
            // The whole would make every line as long: describe and why have it.
            let state = format!("unreadable: {problem}");
            let state = if wide { short(&state, PHRASE) } else { "unreadable".to_owned() };
            cells.extend([Cell::new(state, Tone::Bad), lived.as_str().into()]);
            wide.then(|| of_pod(&mut cells, String::new(), String::new()));
            table.row(cells);
        }
        for network in &row.networks {
            let mut cells: Vec<Cell> = vec![
                pod.as_str().into(),
                network.interface.clone().unwrap_or_default().into(),
                network.network.as_str().into(),
                network.addresses.join(",").into(),
                state(network.state),
                lived.as_str().into(),
            ];
            wide.then(|| of_pod(&mut cells, network.mac.clone().unwrap_or_default(), network.gateways.join(",")));
            table.row(cells);
        }
    }
    table
}

/// The cell of a state, wherever it is printed.
pub fn state(state: Standing) -> Cell {
    match state {
        Standing::Attached => Cell::new("attached", Tone::Good),
        Standing::Waiting => Cell::new("waiting", Tone::Waiting),
        Standing::Missing => Cell::new("missing", Tone::Bad),
        Standing::HostNetwork => Cell::new("host network", Tone::Waiting),
        Standing::Ended => Cell::new("ended", Tone::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_a_row_for_each_network() {
        let status = r#"[{"name":"cbr0","interface":"eth0","ips":["10.1.1.2"],"default":true,"dns":{}}]"#;
        let pod = |name: &str, networks: Option<&str>, status: Option<&str>| SeenPod {
            namespace: "n".into(),
            name: name.into(),
            phase: "Running".into(),
            node: Some("node1".into()),
            created: Some(100),
            networks: networks.map(str::to_owned),
            status: status.map(str::to_owned),
            ..SeenPod::default()
        };
        let pods =
            [pod("z", Some("a@net5"), Some(status)), pod("plain", None, Some(status)), pod("b", Some("B"), None)];
        let shown = table(&rows(&pods), 145, false).render(false);
        assert!(shown.contains("n/z") && shown.contains("net5") && shown.contains("missing"), "{shown}");
        assert!(shown.contains("unreadable ") && shown.contains("45s") && !shown.contains("plain"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() < 100), "{shown}");
        let wide = table(&rows(&pods), 145, true).render(false);
        assert!(wide.contains("node1") && wide.contains("Running") && wide.contains("unreadable: "), "{wide}");
    }
}
