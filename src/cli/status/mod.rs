//! `plexusctl status`: Plexus in the cluster, a line for each node.

mod checks;
mod facts;
mod node;
mod pods;
mod rows;
mod whereabouts;

use super::address_pools::pools_of;
use super::diagnosis::{self, Check};
use super::kubeconfig::ClusterAccess;
use super::output::Output;
use super::output::counted::counted;
use super::output::described::Described;
use super::{Error, Verdict};
use crate::cluster::{Inquiry, Scope, SeenEvent, SeenPod, Unanswered};
use clap::{Args, ValueEnum};
use facts::Facts;
use node::Wanted;
use rows::Row;
use schemars::JsonSchema;
use serde::Serialize;
use std::thread::sleep;
use std::time::{Duration, Instant};
use whereabouts::Whereabouts;

/// The version of the JSON document.
const VERSION: u32 = 1;
/// How often it is asked again while it is waited.
const LOOK: Duration = Duration::from_secs(2);

/// How it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Human-readable table
    #[default]
    Table,
    /// The same with what each node reports of itself
    Wide,
    /// One JSON document; members are added, never changed
    Json,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,

    /// Also run `plexusctl doctor` on each node, which needs pods/exec; also meant by -o wide. Without it, at most three nodes
    /// where pods lack a network are asked
    #[arg(long)]
    nodes: bool,

    /// Wait until Plexus is ready on every node
    #[arg(long)]
    wait: bool,

    /// Seconds to wait
    #[arg(long, default_value_t = 300, value_name = "SECONDS", requires = "wait")]
    timeout: u64,

    #[command(flatten)]
    access: ClusterAccess,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// No check is bad, and every node is ready.
    well: bool,
    /// One for each node that runs Linux, sorted.
    nodes: &'a [Row],
    /// The checks of the cluster, the worst first.
    checks: &'a [Check],
}

impl Described for Document<'_> {
    const NAME: &'static str = "status";
}

/// Prints the nodes and the checks; not well where one of them is not.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let inquiry = arguments.access.open()?;
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    let mut told = String::new();
    let wanted = match (arguments.nodes || arguments.output == Shape::Wide, arguments.wait) {
        (true, _) => Wanted::All,
        (false, false) => Wanted::Affected,
        // It asks again and again, for the pods of Plexus.
        (false, true) => Wanted::None,
    };
    let (rows, checks) = loop {
        let facts = match ask(&inquiry, wanted, output) {
            Err(Error::Cluster(why)) if arguments.wait && why.can_pass() && Instant::now() < deadline => {
                tell(format!("{why}; waiting …"), &mut told, output);
                sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
                continue;
            }
            facts => facts?,
        };
        let (rows, checks) = (rows::rows(&facts), checks::checks(&facts));
        let ready = rows.iter().filter(|row| row.ready).count();
        if !arguments.wait || (ready == rows.len() && !rows.is_empty()) || Instant::now() >= deadline {
            break (rows, checks);
        }
        let now = format!("Plexus is ready on {ready} of {}; waiting …", counted(rows.len(), "node"));
        tell(now, &mut told, output);
        sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
    };
    let well = diagnosis::are_well(&checks) && rows.iter().all(|row| row.ready);
    match arguments.output {
        Shape::Json => output.json(&Document { version: VERSION, well, nodes: &rows, checks: &checks })?,
        shape => {
            let table = if shape == Shape::Wide { rows::wide_table(&rows) } else { rows::table(&rows) };
            output.table(&table)?;
            output.text("\n")?;
            diagnosis::print(&checks, output)?;
        }
    }
    Ok(if well { Verdict::Well } else { Verdict::NotWell })
}

/// Tells a person who waits what is `new`.
fn tell(new: String, told: &mut String, output: &Output) {
    if new != *told {
        output.remark(&new);
        *told = new;
    }
}

/// Asks for everything; what it asks is shown to a person who waits.
fn ask(inquiry: &Inquiry, wanted: Wanted, output: &Output) -> Result<Facts, Error> {
    output.progress("asking for the nodes …");
    let nodes = inquiry.nodes()?;
    output.progress("asking for Plexus' pods …");
    let plexus = inquiry.daemons(None)?;
    // Without them its state says less, and is told.
    let of_pod = |pod: &SeenPod| if pod.ready { Vec::new() } else { inquiry.events(pod).unwrap_or_default() };
    let events = plexus.iter().map(of_pod).collect();
    output.progress("asking for networks and pods …");
    let text = |e: Unanswered| e.to_string();
    let daemon_set = if plexus.is_empty() { inquiry.daemon_set().map_err(text) } else { Ok(None) };
    let definitions = inquiry.definitions().map_err(text);
    let pools: Vec<_> = definitions.iter().flatten().flat_map(pools_of).collect();
    let uses = |implied| pools.iter().any(|pool| pool.is_implied() == implied);
    let address_pools = if uses(false) { inquiry.address_pools().map_err(text) } else { Ok(Vec::new()) };
    let whereabouts = if uses(true) { whereabouts::ask(inquiry).map_err(text) } else { Ok(Whereabouts::Away) };
    let pods = inquiry.pods(&Scope::default()).map_err(text);
    let of_pods = pods.as_deref().unwrap_or_default();
    let has_waiting = of_pods.iter().any(pods::waits_for_sandbox);
    let failures =
        if has_waiting { inquiry.events_with(SeenEvent::SANDBOX_FAILED).map_err(text) } else { Ok(Vec::new()) };
    let examinations = node::examine_wanted(inquiry, wanted, (&nodes, &plexus, of_pods), output);
    let facts = Facts {
        examinations,
        nodes,
        events,
        plexus,
        daemon_set,
        definitions,
        address_pools,
        whereabouts,
        policies: inquiry.policies().map_err(text),
        pods,
        failures,
    };
    output.progress("");
    Ok(facts)
}
