//! A plan as a person reads it.

use super::document::{Network, PodPlan};
use crate::cli::Error;
use crate::cli::output::table::Table;
use crate::cli::output::{Output, Tone};
use crate::cli::runs_as::Plugin;

/// Prints one plan: the pod, a table of its networks, the default routes, what to know.
pub fn print(plan: &PodPlan, output: &mut Output) -> Result<(), Error> {
    let kind = if plan.kind == "Pod" { "pod".to_owned() } else { format!("pods of {}", plan.kind) };
    output.sentence(&format!("{kind} {}", plan.pod), Tone::Heading)?;
    if !plan.networks.is_empty() {
        output.table(&table(&plan.networks))?;
        output.sentence(&default_routes(plan), Tone::Plain)?;
    }
    for remark in &plan.remarks {
        output.sentence(&format!("note: {remark}"), Tone::Waiting)?;
    }
    match &plan.refused {
        Some(refusal) => output.sentence(&format!("refused: code {}: {}", refusal.code, refusal.message), Tone::Bad),
        None if plan.networks.is_empty() => Ok(()),
        None => output.sentence("planned: ADD would attach these networks", Tone::Good),
    }
}

/// A column, and what a network has in it.
type Column = (&'static str, fn(&Network) -> String);

const COLUMNS: [Column; 7] = [
    ("INTERFACE", |network| network.interface.clone()),
    ("NETWORK", |network| network.network.clone().unwrap_or_else(|| "(the node's default network)".to_owned())),
    ("PLUGINS", |network| network.plugins.iter().map(plugin).collect::<Vec<_>>().join(", ")),
    ("ADDRESSES", |network| network.addresses.join(" ")),
    ("ROUTES", |network| routes(network).join(", ")),
    ("CAPABILITIES", |network| network.capabilities.iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")),
    ("DEVICE", |network| network.device.clone().unwrap_or_default()),
];

/// A column that no network has anything in is left out.
fn table(networks: &[Network]) -> Table {
    let is_used = |(_, cell): &&Column| networks.iter().any(|network| !cell(network).is_empty());
    let columns: Vec<&Column> = COLUMNS.iter().filter(is_used).collect();
    let mut table = Table::with_heading(columns.iter().map(|(heading, _)| *heading));
    for network in networks {
        table.row(columns.iter().map(|(_, cell)| cell(network).into()).collect());
    }
    table
}

/// The default route that the pod asks for, then those of the configuration.
fn routes(network: &Network) -> Vec<String> {
    let asked = network.requested_default_route.as_ref().map(|gateways| match gateways.as_slice() {
        [] => "default".to_owned(),
        some => format!("default via {}", some.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    });
    asked.into_iter().chain(network.routes.iter().cloned()).collect()
}

/// `bridge (built-in) + host-local (built-in)`.
fn plugin(plugin: &Plugin) -> String {
    let by = if plugin.native { "built-in" } else { "program" };
    let own = format!("{} ({by})", plugin.r#type);
    match &plugin.ipam {
        // A program calls its address plugin itself.
        Some(ipam) if plugin.native => {
            format!("{own} + {} ({})", ipam.r#type, if ipam.native { "built-in" } else { "program" })
        }
        Some(ipam) => format!("{own} + {}", ipam.r#type),
        None => own,
    }
}

fn default_routes(plan: &PodPlan) -> String {
    let of = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "not known here".to_owned());
    let (ipv4, ipv6) = (of(&plan.default_route.ipv4), of(&plan.default_route.ipv6));
    if ipv4 == ipv6 { format!("default route: {ipv4}") } else { format!("default route: IPv4 {ipv4}, IPv6 {ipv6}") }
}
