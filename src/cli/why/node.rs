//! What the node that this runs on knows of a pod: its record, and what is owed.

use crate::api::{RunDirectory, StateDirectory};
use crate::cli::describe::Seen;
use crate::cli::diagnosis::{Check, Fault, Mark};
use crate::cli::older::{OLDER, is_older};
use crate::cli::output::Output;
use crate::cli::output::age::age;
use crate::cli::why::checks::RECORD;
use crate::cli::{Error, describe, networks_now, trust};
use crate::nad::{Definition, PodRef};
use crate::store::{Attachment, Record, State, Store};

/// What the node has of a pod.
pub struct OfNode {
    /// The checks of its records.
    pub checks: Vec<Check>,
    /// The networks in them; none without a record.
    pub networks: Option<Vec<String>>,
}

/// The checks of the records of the pod `namespace/name`, compared with the kernel: of the one with `uid`, where that is known, and
/// not of an earlier pod.
///
/// # Errors
/// The records cannot be read, or believed.
pub fn look(
    (state, run): (&StateDirectory, &RunDirectory),
    (namespace, name, uid): (&str, &str, Option<&str>),
    output: &Output,
) -> Result<OfNode, Error> {
    trust::check(state.path())?;
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    let own = own(&records, namespace, name, uid);
    let are_several = own.len() > 1;
    let now = networks_now::definitions(state, run).unwrap_or_default();
    let of_one = |record: &&Record| {
        let mut checks = of_record(record, are_several, &describe::differences(record, run, output));
        checks.extend(older(record, &now));
        checks
    };
    let mut checks: Vec<Check> = own.iter().flat_map(of_one).collect();
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

/// Those of `records` that are of the pod `namespace/name` with `uid`. A runtime may pass no UID, and the API server may
/// not be asked: then the name decides.
fn own<'a>(records: &'a [Record], namespace: &str, name: &str, uid: Option<&str>) -> Vec<&'a Record> {
    let is_own = |pod: &PodRef| {
        let is_another = uid.zip(pod.uid()).is_some_and(|(wanted, uid)| wanted != uid);
        pod.namespace() == namespace && pod.name() == name && !is_another
    };
    records.iter().filter(|one| one.pod.as_ref().is_some_and(is_own)).collect()
}

/// With `is_named` the container is named: the pod has several, or an earlier pod had its name.
fn of_record(record: &Record, is_named: bool, seen: &Result<Seen, String>) -> Vec<Check> {
    let container = if is_named { format!(" in container {}", record.container_id) } else { String::new() };
    let check = |one: &Attachment| {
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
            (State::Attached, _) => attached(one, &what, seen),
        };
        Check { pod_uid: record.pod.as_ref().and_then(|pod| pod.uid().map(str::to_owned)), ..check }
    };
    record.attachments.iter().map(check).collect()
}

/// An attachment of which the record says that it is complete, against what was `seen`.
fn attached(one: &Attachment, what: &str, seen: &Result<Seen, String>) -> Check {
    let seen = match seen {
        Err(why) => return Check::unseen("record", format!("{what} is attached by its record; in the kernel: {why}")),
        Ok(seen) => seen,
    };
    let before = if seen.age == 0 { String::new() } else { format!(" (compared {} ago)", age(seen.age)) };
    match seen.all.iter().find(|seen| seen.interface == one.ifname.as_str() && !seen.drift.is_empty()) {
        Some(seen) => {
            let drift = seen.drift.join("; ");
            Check::bad("record", Fault::Drift, format!("{what} is not as recorded: {drift}{before}"))
        }
        None => Check::good(RECORD, format!("{what} is attached{before}")).of_network(one.network.as_str()),
    }
}

/// What of `record` is attached by another configuration than its network has `now`.
fn older(record: &Record, now: &[Definition]) -> Vec<Check> {
    let told = |one: &Attachment| {
        let what = format!("{} ({})", one.network, one.ifname);
        let check = Check::warning(RECORD, Fault::Other, format!("{what} {OLDER} of the network"));
        let check = check
            .remedied_by("Delete the pod so that it is created again: only a new pod gets the changed configuration.");
        Check { pod_uid: record.pod.as_ref().and_then(|pod| pod.uid().map(str::to_owned)), ..check }
    };
    record.attachments.iter().filter(|one| is_older(one, now)).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::{ContainerId, NetworkConfig};
    use crate::engine::cleanup::comparison::Difference;

    fn record(container: &str, name: &str, uid: Option<&str>) -> Record {
        let pod = PodRef::new("default", name, uid).unwrap();
        Record { pod: Some(pod), ..Record::empty(&ContainerId::new(container).unwrap()) }
    }

    #[test]
    fn records_are_of_the_pod_with_this_uid() {
        let records = [
            record("c1", "web", Some("earlier")),
            record("c2", "web", Some("now")),
            record("c3", "web", None),
            record("c4", "other", Some("now")),
        ];
        let ids = |namespace, uid| -> Vec<String> {
            own(&records, namespace, "web", uid).iter().map(|one| one.container_id.to_string()).collect()
        };
        assert_eq!(ids("default", Some("now")), ["c2", "c3"]);
        assert_eq!(ids("default", None), ["c1", "c2", "c3"], "nobody knows which");
        assert!(ids("elsewhere", None).is_empty());
    }

    #[test]
    fn a_check_of_a_record_has_the_uid_of_its_pod() {
        let attachment = serde_json::json!({"call": "eth0", "network": "default/lan", "ifname": "net1",
            "default": false, "config": {}, "state": "owed"});
        let mut owed = record("c1", "web", Some("now"));
        owed.attachments.push(serde_json::from_value(attachment).unwrap());
        let checks = of_record(&owed, true, &Ok(Seen::default()));
        assert_eq!((checks.len(), checks[0].pod_uid.as_deref()), (1, Some("now")));
        assert!(checks[0].finding.contains("net1) in container c1 could not"), "{checks:?}");
    }

    #[test]
    fn what_differs_in_the_kernel_is_a_cause_and_what_was_not_seen_is_told() {
        let attachment = serde_json::json!({"call": "eth0", "network": "default/lan", "ifname": "net1",
            "default": false, "config": {}, "state": "attached"});
        let mut lan = record("c1", "web", None);
        lan.attachments.push(serde_json::from_value(attachment).unwrap());
        let drift = vec!["there is no interface net1".to_owned()];
        let drifted =
            of_record(&lan, false, &Ok(Seen { all: vec![Difference { interface: "net1".into(), drift }], age: 0 }));
        assert_eq!((drifted[0].mark, drifted[0].fault), (Mark::Bad, Some(Fault::Drift)));
        assert!(drifted[0].finding.ends_with("is not as recorded: there is no interface net1"), "{drifted:?}");
        assert_eq!(of_record(&lan, false, &Err("busy".into()))[0].mark, Mark::Unseen);
        assert_eq!(of_record(&lan, false, &Ok(Seen::default()))[0].mark, Mark::Good);
    }

    #[test]
    fn a_pod_on_a_network_that_was_changed_since_is_told() {
        let then = r#"{"cniVersion":"1.0.0","type":"macvlan","mastr":"eth1","deviceID":"d","args":{"cni":{"a":"b"}}}"#;
        let config = NetworkConfig::parse(then, Some("lan")).unwrap().to_raw();
        let attachment = serde_json::json!({"call": "eth0", "network": "default/lan", "ifname": "net1",
            "default": false, "config": config, "state": "attached"});
        let mut lan = record("c1", "web", Some("now"));
        lan.attachments.push(serde_json::from_value(attachment).unwrap());
        let now = |config: &str| {
            let nad = crate::nad::NadRef::new("default", "lan").unwrap();
            older(&lan, &[Definition::new(nad, Some(config.to_owned()), |_| None)])
        };
        let found = now(r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth1"}"#);
        assert!(found.len() == 1 && found[0].finding.contains("default/lan (net1) runs an older"), "{found:?}");
        // The order of keys means nothing, nor what ADD put in for the pod.
        assert!(now(r#"{"mastr": "eth1", "type": "macvlan", "cniVersion": "1.0.0"}"#).is_empty());
        assert!(older(&lan, &[]).is_empty());
    }
}
