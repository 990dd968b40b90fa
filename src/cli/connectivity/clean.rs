//! The end of probe pods: of this run, and of those that were killed before they could clean up.

use crate::cli::Error;
use crate::cli::connectivity::manifest::{OWNED, RUN};
use crate::cli::output::Output;
use crate::cli::output::counted::counted;
use crate::cli::pods::label;
use crate::cluster::{Inquiry, Scope, SeenPod};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the nodes may take to remove networks of probe pods.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether they are gone.
const LOOK: Duration = Duration::from_millis(500);

/// Deletes the probe pods of `namespace`, or of all; waits until they are gone.
///
/// # Errors
/// One of them cannot be deleted, or is not gone in time: which ones, and why.
pub fn all(inquiry: &Inquiry, namespace: Option<&str>, output: &Output) -> Result<usize, Error> {
    let scope = Scope { namespace: namespace.map(str::to_owned), labels: Some(OWNED.to_owned()), node: None };
    let pods = inquiry.pods(&scope)?;
    delete(inquiry, &pods)?;
    gone(inquiry, &[scope], output)?;
    Ok(pods.len())
}

/// Deletes the pods of `run` in `namespaces`; waits until they are gone, so that their addresses are released.
///
/// # Errors
/// As of [`all`].
pub fn run(inquiry: &Inquiry, run: &str, namespaces: &[String], output: &Output) -> Result<(), Error> {
    let scopes: Vec<Scope> = namespaces
        .iter()
        .map(|namespace| Scope {
            namespace: Some(namespace.clone()),
            labels: Some(format!("{OWNED},{RUN}={run}")),
            node: None,
        })
        .collect();
    for scope in &scopes {
        delete(inquiry, &inquiry.pods(scope)?)?;
    }
    gone(inquiry, &scopes, output)
}

/// Deletes the pods in `namespaces` that have ended: those of a run that was killed, and of none that still works.
///
/// # Errors
/// As of [`all`].
pub fn ended(inquiry: &Inquiry, namespaces: &[String]) -> Result<(), Error> {
    for namespace in namespaces {
        let scope = Scope { namespace: Some(namespace.clone()), labels: Some(OWNED.to_owned()), node: None };
        let is_over = |pod: &SeenPod| matches!(pod.phase.as_str(), "Failed" | "Succeeded");
        let pods: Vec<SeenPod> = inquiry.pods(&scope)?.into_iter().filter(is_over).collect();
        delete(inquiry, &pods)?;
    }
    Ok(())
}

/// Tries to delete each of them.
fn delete(inquiry: &Inquiry, pods: &[SeenPod]) -> Result<(), Error> {
    let delete = |pod: &SeenPod| Some((label(pod), inquiry.delete_pod(&pod.namespace, &pod.name).err()?));
    let (pods, reasons): (Vec<String>, Vec<_>) = pods.iter().filter_map(delete).unzip();
    match reasons.first() {
        Some(why) => Err(Error::Leftovers { why: why.to_string(), pods }),
        None => Ok(()),
    }
}

fn gone(inquiry: &Inquiry, scopes: &[Scope], output: &Output) -> Result<(), Error> {
    let end = Instant::now() + LIMIT;
    loop {
        let mut left = Vec::new();
        for scope in scopes {
            left.extend(inquiry.pods(scope)?);
        }
        if left.is_empty() {
            output.progress("");
            return Ok(());
        }
        if Instant::now() >= end {
            let why = format!("their nodes have not ended them within {} s", LIMIT.as_secs());
            return Err(Error::Leftovers { pods: left.iter().map(label).collect(), why });
        }
        output.progress(&format!("waiting for the end of {} …", counted(left.len(), "probe pod")));
        sleep(LOOK);
    }
}
