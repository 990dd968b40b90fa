//! `plexusctl health --verbose`: what the daemon has in memory, as tables.

use crate::api::protocol::{Reply, Request};
use crate::api::{Cached, Connections, RunDirectory};
use crate::cli::Error;
use crate::cli::output::Output;
use crate::cli::output::counted::counted;
use crate::cli::output::table::Table;
use crate::facts::Client;
use std::time::Instant;

/// Asks the daemon.
///
/// # Errors
/// It does not answer, or is of a release that does not know the question: one line for a person.
pub fn ask(run: &RunDirectory, deadline: Instant) -> Result<Cached, String> {
    let mut client = Client::connect(run, deadline).map_err(|e| e.to_string())?;
    match client.ask(&Request::Cached {}).map_err(|e| e.to_string())? {
        Reply::Cached(cached) => Ok(cached),
        Reply::Unsupported(_) => Err("plexusd is of a release without --verbose".to_owned()),
        Reply::Unavailable(why) => Err(why),
        other => Err(format!("plexusd answered another question ({})", other.kind())),
    }
}

/// Prints the tables, and what is no table.
///
/// # Errors
/// They cannot be written.
pub fn print(cached: &Cached, output: &mut Output) -> Result<(), Error> {
    if !cached.networks.is_empty() {
        output.table(&networks(cached))?;
    }
    if !cached.pods.is_empty() {
        output.table(&pods(cached))?;
    }
    let state = if cached.confirmed { "current" } else { "not confirmed" };
    output.remark(format!(
        "source: {} ({state}); {} bytes of configurations in memory; {} in memory",
        cached.source,
        cached.bytes,
        counted(cached.pods.len(), "pod")
    ));
    if let Some(Connections { networks, pods, trouble, .. }) = &cached.connections {
        let followed = |is_followed: &bool| if *is_followed { "followed" } else { "not followed" };
        let trouble = trouble.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        output.remark(format!("connection: NADs are {}, pods are {}{trouble}", followed(networks), followed(pods)));
    }
    for sandbox in &cached.unpublished {
        output.remark(format!("waiting: the network-status of container {sandbox}"));
    }
    Ok(())
}

fn networks(cached: &Cached) -> Table {
    let mut table = Table::new(["NETWORK", "VERSION", "BYTES", "RESOURCE"]);
    for network in &cached.networks {
        let bytes = network.bytes.map_or_else(|| "not in memory".to_owned(), |bytes| bytes.to_string());
        table.row(vec![
            network.nad.to_string().into(),
            network.resource_version.clone().unwrap_or_default().into(),
            bytes.into(),
            network.resource_name.clone().unwrap_or_default().into(),
        ]);
    }
    table
}

fn pods(cached: &Cached) -> Table {
    let mut table = Table::new(["POD", "UID", "NETWORKS"]);
    for pod in &cached.pods {
        let selects = match pod.selects {
            Some(true) => "selected",
            Some(false) => "none",
            None => "not in memory",
        };
        table.row(vec![
            format!("{}/{}", pod.namespace, pod.name).into(),
            pod.uid.clone().unwrap_or_default().into(),
            selects.into(),
        ]);
    }
    table
}
