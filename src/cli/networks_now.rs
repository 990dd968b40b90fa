//! The networks that pods of this node used, as they are in the cluster now.
//!
//! The plugin's copy of a network is as old as the last pod that used it. A network that was deleted or corrected since then is
//! no fault of the node, and none of its networks.

use crate::api::protocol::{Facts, Reply, Request};
use crate::api::{FactsRequest, RunDirectory, StateDirectory};
use crate::facts::{Client, last_known};
use crate::nad::{Definition, NadRef};
use std::io;
use std::time::{Duration, Instant};

/// How long the daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The networks that pods of this node used, each as the daemon answers it now, sorted. Without an answer the younger of
/// the node's two copies counts.
///
/// # Errors
/// The folder of copies cannot be read.
pub fn definitions(state: &StateDirectory, run: &RunDirectory) -> io::Result<Vec<Definition>> {
    let copies = last_known::current(state, run)?;
    if copies.is_empty() {
        return Ok(copies);
    }
    let names = copies.iter().map(|copy| copy.nad.clone()).collect();
    let mut current = merged(copies, ask(run, names, Instant::now() + ANSWER_LIMIT).unwrap_or_default());
    current.sort_by(|a, b| a.nad.cmp(&b.nad));
    Ok(current)
}

/// What the daemon answers. A question for each network: an answer about several ends at the first that is missing.
fn ask(run: &RunDirectory, networks: Vec<NadRef>, deadline: Instant) -> Option<Facts> {
    // What is wrong with the daemon has a check of its own.
    let mut client = Client::connect(run, deadline).ok()?;
    let mut all = Facts::default();
    for network in networks {
        let request = FactsRequest::of_tool(None, vec![network]);
        match client.ask(&Request::Facts(request)) {
            Ok(Reply::Facts(facts)) => {
                all.definitions.extend(facts.definitions);
                all.missing.extend(facts.missing);
            }
            // It does not know about this one.
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Some(all)
}

fn merged(copies: Vec<Definition>, now: Facts) -> Vec<Definition> {
    let kept = copies.into_iter().filter(|copy| !now.missing.contains(&copy.nad));
    kept.map(|copy| now.definitions.iter().find(|one| one.nad == copy.nad).cloned().unwrap_or(copy)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_or_changed_since_is_not_judged() {
        let of = |name: &str, config: &str| {
            Definition::new(NadRef::new("default", name).unwrap(), Some(config.to_owned()), |_| None)
        };
        let copies = || vec![of("deleted", "{}"), of("changed", "{"), of("unknown", "{}")];
        let missing = vec![NadRef::new("default", "deleted").unwrap()];
        let now = Facts { definitions: vec![of("changed", "{}")], missing, ..Facts::default() };
        assert_eq!(merged(copies(), now), vec![of("changed", "{}"), of("unknown", "{}")]);
        assert_eq!(merged(copies(), Facts::default()), copies());
    }
}
