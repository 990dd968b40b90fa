//! What the node that this runs on knows of a pod: its record, and what is owed.

use crate::api::StateDirectory;
use crate::cli::diagnosis::{Check, Fault, Mark};
use crate::cli::{Error, trust};
use crate::store::{Record, State, Store};

/// The checks of the records of the pod `namespace/name`.
///
/// # Errors
/// The records cannot be read, or believed.
pub fn checks(state: &StateDirectory, namespace: &str, name: &str) -> Result<Vec<Check>, Error> {
    trust::check(state.path())?;
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    let own = records
        .iter()
        .filter(|one| one.pod.as_ref().is_some_and(|pod| pod.namespace() == namespace && pod.name() == name));
    let mut checks: Vec<Check> = own.flat_map(of_record).collect();
    if checks.is_empty() {
        checks.push(Check::unseen("record", format!("this node has no record of {namespace}/{name}")));
    }
    if state.draining().exists() {
        checks.push(Check::bad("installation", Fault::Draining, "Plexus is being uninstalled from this node"));
    }
    Ok(checks)
}

fn of_record(record: &Record) -> Vec<Check> {
    let check = |one: &crate::store::Attachment| {
        let what = format!("{} ({})", one.network, one.ifname);
        match (one.state, &one.debt) {
            (State::Owed, Some(debt)) => {
                Check::warning("record", Fault::Debt, format!("{what} could not be deleted: {}", debt.error))
            }
            (State::Owed, None) => Check::warning("record", Fault::Debt, format!("{what} could not be deleted")),
            (State::Planned, _) => Check {
                mark: Mark::Unseen,
                ..Check::good("record", format!("{what}: ADD has begun and has not ended"))
            },
            (State::Attached, _) => Check::good("record", format!("{what} is attached")),
        }
    };
    record.attachments.iter().map(check).collect()
}
