//! What `plexusctl get` tells of an attachment: the shape of its JSON, and its rows.

use crate::cli::output::Tone;
use crate::cli::output::age::age;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cni::ContainerId;
use crate::nad::status;
use crate::store::{Attachment, Debt, Record, State};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    pub version: u32,
    /// The attachments, sorted by pod and then in the order of attachment.
    pub attachments: Vec<Row>,
    /// The number of records that cannot be read. Their attachments are not listed.
    pub damaged_records: usize,
    /// The containers whose records cannot be read.
    #[schemars(with = "Vec<String>")]
    pub damaged_containers: Vec<ContainerId>,
    /// The number of network-statuses that wait in records, because the run directory could not be written.
    pub unpublished_in_records: usize,
    /// Plexus is being uninstalled: new pods start without additional networks.
    pub draining: bool,
    /// The state directory exists: this is a node with Plexus.
    pub is_node: bool,
}

impl Described for Document {
    const NAME: &'static str = "get";
}

/// One network in one sandbox.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The pod's namespace; null for a container without a pod.
    pub namespace: Option<String>,
    /// The pod's name; null for a container without a pod.
    pub pod: Option<String>,
    /// The pod's UID; null if the runtime did not pass it.
    pub uid: Option<String>,
    /// The ID of the sandbox.
    #[schemars(with = "String")]
    pub container_id: ContainerId,
    /// The path of its network namespace at the time of ADD; null if the record does not contain it.
    pub netns: Option<PathBuf>,
    /// The interface in the sandbox.
    pub interface: String,
    /// `<namespace>/<NAD>`, or the name of the default network.
    pub network: String,
    /// This is the default network.
    pub default: bool,
    /// `planned`, `attached` or `owed`.
    pub state: State,
    /// Addresses with their prefix length.
    pub addresses: Vec<String>,
    /// The gateways of the pod's default routes, if this network has them.
    pub gateways: Vec<String>,
    /// The interface's hardware address; null if the plugin did not report it.
    pub mac: Option<String>,
    /// When ADD began, in seconds of Unix time.
    pub created: u64,
    /// The failed removal; null for none.
    pub debt: Option<Debt>,
}

/// The rows of `records`, one for each attachment, sorted by pod.
pub fn rows(mut records: Vec<Record>) -> Vec<Row> {
    let key = |record: &Record| record.pod.as_ref().map(|pod| (pod.namespace().to_owned(), pod.name().to_owned()));
    records.sort_by(|a, b| {
        (key(a), a.created, a.container_id.as_str()).cmp(&(key(b), b.created, b.container_id.as_str()))
    });
    records.iter().flat_map(|record| record.attachments.iter().map(move |attachment| row(record, attachment))).collect()
}

fn row(record: &Record, attachment: &Attachment) -> Row {
    let result = attachment.add_result().unwrap_or_default();
    let asked_for = |name: &str| name == attachment.ifname.as_str();
    let interface =
        result.interfaces.iter().find(|i| !i.sandbox.is_empty() && asked_for(&i.name)).or(result.sandbox_interface());
    let pod = record.pod.as_ref();
    let gateways = attachment.gateways.clone().unwrap_or_else(|| status::gateways(&result));
    Row {
        namespace: pod.map(|pod| pod.namespace().to_owned()),
        pod: pod.map(|pod| pod.name().to_owned()),
        uid: pod.and_then(|pod| pod.uid().map(str::to_owned)),
        container_id: record.container_id.clone(),
        netns: record.netns.clone(),
        interface: attachment.ifname.to_string(),
        network: attachment.network.clone(),
        default: attachment.default,
        state: attachment.state,
        gateways: gateways.iter().map(ToString::to_string).collect(),
        addresses: result.ips.iter().map(|ip| ip.address.to_string()).collect(),
        mac: interface.map(|interface| interface.mac.clone()).filter(|mac| !mac.is_empty()),
        created: record.created,
        debt: attachment.debt.clone(),
    }
}

/// The table of what is attached; a `wide` one has the gateways.
pub fn table(rows: &[Row], now: u64, wide: bool) -> Table {
    let mut table = if wide {
        Table::new(["POD", "INTERFACE", "NETWORK", "ADDRESSES", "MAC", "STATE", "AGE", "DEFAULT ROUTE"])
    } else {
        Table::new(["POD", "INTERFACE", "NETWORK", "ADDRESSES", "MAC", "STATE", "AGE"])
    };
    for row in rows {
        let mut cells = vec![
            row.pod_cell(),
            row.interface.as_str().into(),
            row.network.as_str().into(),
            row.addresses.join(",").into(),
            row.mac.clone().unwrap_or_default().into(),
            row.state_cell(),
            age(now.saturating_sub(row.created)).into(),
        ];
        cells.extend(wide.then(|| row.gateways.join(",").into()));
        table.row(cells);
    }
    table
}

/// The table of what is owed. The reason of a debt repeats network and interface, which have columns.
pub fn debts_table(rows: &[Row], now: u64) -> Table {
    let mut table = Table::new(["POD", "INTERFACE", "NETWORK", "AGE", "ATTEMPTS", "REASON"]);
    for row in rows {
        let Some(debt) = &row.debt else { continue };
        table.row(vec![
            row.pod_cell(),
            row.interface.as_str().into(),
            row.network.as_str().into(),
            age(now.saturating_sub(debt.since)).into(),
            debt.attempts.to_string().into(),
            Cell::new(row.reason(debt), Tone::Bad),
        ]);
    }
    table
}

impl Row {
    fn reason<'a>(&self, debt: &'a Debt) -> &'a str {
        let label = format!("network {} ({}): ", self.network, self.interface);
        debt.error.strip_prefix(&label).unwrap_or(&debt.error)
    }

    fn pod_cell(&self) -> Cell {
        match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) => format!("{namespace}/{pod}").into(),
            _ => format!("(container {})", self.container_id.as_str().chars().take(12).collect::<String>()).into(),
        }
    }

    fn state_cell(&self) -> Cell {
        match self.state {
            State::Attached => Cell::new("attached", Tone::Good),
            State::Planned => Cell::new("planned", Tone::Waiting),
            State::Owed => Cell::new("owed", Tone::Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_of_debts_repeats_nothing() {
        let debt = |network: &str, error: &str| {
            json!({"call": "eth0", "network": network, "ifname": "net1", "state": "owed",
                "config": {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "a"}]},
                "debt": {"since": 40, "last": 50, "attempts": 3, "error": error}})
        };
        let all = [debt("ns/a", "network ns/a (net1): plugin a: no answer"), debt("ns/b", "another"), debt("ns/c", "")];
        for count in [0, 1, 3] {
            let record = json!({"version": 1, "containerId": "c1", "attachments": all[..count].to_vec()});
            let rows = rows(vec![serde_json::from_str(&record.to_string()).unwrap()]);
            let shown = debts_table(&rows, 100).render(false);
            let lines: Vec<&str> = shown.lines().collect();
            assert_eq!(lines.len(), count + 1, "{shown}");
            assert!(lines[0].contains("AGE") && !shown.contains("network ns/a"), "{shown}");
            if let Some(first) = lines.get(1) {
                assert!(first.contains("60s") && first.ends_with("plugin a: no answer"), "{shown}");
            }
        }
    }

    #[test]
    fn the_wide_table_names_who_has_the_default_route() {
        let attachment = |ifname: &str, gateway: Option<&str>| {
            let routes = gateway.map_or(json!([]), |gateway| json!([{"dst": "0.0.0.0/0", "gw": gateway}]));
            json!({"call": "eth0", "network": ifname, "ifname": ifname, "state": "attached",
                "config": {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "a"}]},
                "result": {"cniVersion": "1.0.0", "routes": routes}})
        };
        let record = json!({"version": 1, "containerId": "c1",
            "attachments": [attachment("eth0", None), attachment("net1", Some("10.2.0.1"))]});
        // Records keep values as they were written, which only a text has.
        let rows = rows(vec![serde_json::from_str(&record.to_string()).unwrap()]);
        assert_eq!(rows.iter().map(|row| row.gateways.join(" ")).collect::<Vec<_>>(), ["", "10.2.0.1"]);
        let shown = |wide: bool| table(&rows, 0, wide).render(false);
        assert!(shown(true).contains("DEFAULT ROUTE") && shown(true).contains("10.2.0.1"), "{}", shown(true));
        assert!(!shown(false).contains("10.2.0.1"));
    }
}
