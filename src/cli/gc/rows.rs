//! What `plexusctl gc` tells: the shape of its JSON, and its rows.

use crate::cli::output::Tone;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::engine::cleanup::forgive::{self, Forgiven};
use crate::store::{Attachment, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the JSON document.
pub const VERSION: u32 = 1;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    pub version: u32,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The attachments and addresses that are removed, released or forgiven.
    pub attachments: Vec<Row>,
    /// The reason if nothing is deleted; otherwise null.
    pub doubt: Option<String>,
    /// The number of records that cannot be read.
    pub damaged_records: usize,
    /// The number of damaged records that were moved to the directory `damaged`.
    pub damaged_files: usize,
}

impl Described for Document {
    const NAME: &'static str = "gc";
}

/// One attachment, or one address.
#[derive(Debug, JsonSchema, Serialize, Deserialize)]
pub struct Row {
    /// The ID of the sandbox.
    pub container: String,
    /// `<namespace>/<name>`; null if the record does not contain it.
    pub pod: Option<String>,
    /// `<namespace>/<NAD>`, or the name of the network.
    pub network: String,
    /// The interface; empty for an address.
    pub interface: String,
    /// The reason.
    pub reason: String,
    /// It is removed.
    pub deleted: bool,
    /// The outcome if it was neither removed nor failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The addresses of a forgiven removal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// It is forgiven; absent without `--forgive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgiven: Option<bool>,
    /// The row is not an attachment: its reason is the reason if nothing is deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubt: bool,
}

/// The outcome of an attachment that was neither removed nor failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Its removal failed for a long time, and nothing is left of it: Plexus does not try it again.
    GivenUp,
    /// Plexus cannot know if its sandbox is gone.
    Kept,
}

impl Row {
    /// A debt that is not paid yet; `reason` is the last error.
    pub fn debt(record: &Record, attachment: &Attachment) -> Row {
        let error = attachment.debt.as_ref().map_or("never tried", |debt| debt.error.as_str());
        Row {
            container: record.container_id.to_string(),
            pod: record.pod.as_ref().map(ToString::to_string),
            network: attachment.network.clone(),
            interface: attachment.ifname.to_string(),
            reason: format!("owed: {error}"),
            deleted: false,
            outcome: None,
            addresses: Vec::new(),
            forgiven: None,
            doubt: false,
        }
    }

    /// No attachment: why nothing is deleted.
    pub fn doubt(reason: &str) -> Row {
        Row {
            container: String::new(),
            pod: None,
            network: String::new(),
            interface: String::new(),
            reason: reason.to_owned(),
            deleted: false,
            outcome: None,
            addresses: Vec::new(),
            forgiven: None,
            doubt: true,
        }
    }

    /// An attachment that was to be forgiven.
    pub fn forgiven(one: &Forgiven, dry_run: bool) -> Row {
        let result = one.attachment.add_result().unwrap_or_default();
        let mut row = Row::debt(&one.record, &one.attachment);
        if !forgive::is_debt(&one.attachment) {
            row.reason = "its namespace is missing; it was never removed".to_owned();
        }
        if let Some(kept) = &one.kept {
            row.reason = format!("{}; it is not forgiven: {kept}", row.reason);
        }
        row.addresses = result.ips.iter().map(|ip| ip.address.to_string()).collect();
        row.forgiven = Some(!dry_run && one.kept.is_none());
        row
    }

    /// The cells of a table; `addresses` if it shows them.
    fn cells(&self, addresses: bool, result: Cell) -> Vec<Cell> {
        let pod = self.pod.clone().unwrap_or_default();
        let mut cells: Vec<Cell> = vec![pod.into(), self.network.as_str().into(), self.interface.as_str().into()];
        cells.extend(addresses.then(|| self.addresses.join(",").into()));
        cells.push(self.container.chars().take(13).collect::<String>().into());
        cells.extend([result, self.reason.as_str().into()]);
        cells
    }
}

/// The table of what goes.
pub fn table(rows: &[Row], dry_run: bool) -> Table {
    let mut table = Table::new(["POD", "NETWORK", "INTERFACE", "CONTAINER", "RESULT", "REASON"]);
    for row in rows {
        let result = match (row.outcome, row.deleted, dry_run) {
            (Some(Outcome::GivenUp), ..) => Cell::new("given up", Tone::Waiting),
            (Some(Outcome::Kept), _, true) => Cell::new("would be kept", Tone::Waiting),
            (Some(Outcome::Kept), ..) => Cell::new("kept", Tone::Waiting),
            (None, true, _) => Cell::new("removed", Tone::Good),
            (None, false, true) => Cell::new("would be removed", Tone::Waiting),
            (None, false, false) => Cell::new("failed", Tone::Bad),
        };
        table.row(row.cells(false, result));
    }
    table
}

/// The table of what is given up.
pub fn forgiven_table(rows: &[Row], dry_run: bool) -> Table {
    let mut table = Table::new(["POD", "NETWORK", "INTERFACE", "ADDRESSES", "CONTAINER", "RESULT", "REASON"]);
    for row in rows {
        let result = match (row.forgiven, dry_run) {
            (Some(true), _) => Cell::new("forgiven", Tone::Waiting),
            (_, true) => Cell::new("would be forgiven", Tone::Waiting),
            _ => Cell::new("not forgiven", Tone::Bad),
        };
        table.row(row.cells(true, result));
    }
    table
}
