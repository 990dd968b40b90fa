//! What the node that this runs on knows of a pod: its record, and what is owed.

use crate::api::StateDirectory;
use crate::cli::diagnosis::{Check, Fault, Mark};
use crate::cli::{Error, trust};
use crate::nad::PodRef;
use crate::store::{Record, State, Store};

/// What the node has of a pod.
pub struct OfNode {
    /// The checks of its records.
    pub checks: Vec<Check>,
    /// The networks in them; none without a record.
    pub networks: Option<Vec<String>>,
}

/// The checks of the records of the pod `namespace/name`: of the one with `uid`, where that is known, and not of an earlier pod.
///
/// # Errors
/// The records cannot be read, or believed.
pub fn look(state: &StateDirectory, namespace: &str, name: &str, uid: Option<&str>) -> Result<OfNode, Error> {
    trust::check(state.path())?;
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    let is_own = |pod: &PodRef| {
        let is_another = uid.zip(pod.uid()).is_some_and(|(wanted, uid)| wanted != uid);
        pod.namespace() == namespace && pod.name() == name && !is_another
    };
    let own: Vec<&Record> = records.iter().filter(|one| one.pod.as_ref().is_some_and(is_own)).collect();
    let are_several = own.len() > 1;
    let mut checks: Vec<Check> = own.iter().flat_map(|record| of_record(record, are_several)).collect();
    let networks = own.iter().flat_map(|record| &record.attachments).map(|one| one.network.clone()).collect();
    let networks = (!own.is_empty()).then_some(networks);
    if checks.is_empty() {
        checks.push(Check::unseen("record", format!("this node has no record of {namespace}/{name}")));
    }
    if state.draining().exists() {
        checks.push(Check::bad("installation", Fault::Draining, "Plexus is being uninstalled from this node"));
    }
    Ok(OfNode { checks, networks })
}

/// With `is_named` the container is named: the pod has several, or an earlier pod had its name.
fn of_record(record: &Record, is_named: bool) -> Vec<Check> {
    let container = if is_named { format!(" in container {}", record.container_id) } else { String::new() };
    let check = |one: &crate::store::Attachment| {
        let what = format!("{} ({}){container}", one.network, one.ifname);
        let check = match (one.state, &one.debt) {
            (State::Owed, Some(debt)) => {
                Check::warning("record", Fault::Debt, format!("{what} could not be deleted: {}", debt.error))
            }
            (State::Owed, None) => Check::warning("record", Fault::Debt, format!("{what} could not be deleted")),
            (State::Planned, _) => Check {
                mark: Mark::Unseen,
                ..Check::good("record", format!("{what}: ADD has begun and has not ended"))
            },
            (State::Attached, _) => Check::good("record", format!("{what} is attached")),
        };
        Check { pod_uid: record.pod.as_ref().and_then(|pod| pod.uid().map(str::to_owned)), ..check }
    };
    record.attachments.iter().map(check).collect()
}
