//! What the plugin tells the daemon of each call: one datagram, which nobody waits for.
//!
//! It names no pod, no network and no container. So whoever can put a socket at that place learns nothing of them. It names
//! an AddressPool only where another device has an address of it.

use crate::cni::json;
use serde::{Deserialize, Serialize};

/// The version of the document. A reader refuses another one; members may be added within a version.
pub const VERSION: u32 = 1;
/// The longest datagram.
pub const MAX_BYTES: usize = 4096;
/// The verb of a report that is about no CNI call: the plugin cleaned up by itself.
pub const SWEEP: &str = "SWEEP";

/// A call of the plugin. Unknown members are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallReport {
    /// See [`VERSION`].
    pub version: u32,
    /// `CNI_COMMAND`, or [`SWEEP`].
    pub verb: String,
    /// The code of its CNI error; 0 is success.
    pub code: u32,
    /// How long it took, in microseconds.
    pub us: u64,
    /// The plugins that it called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delegates: Vec<DelegateReport>,
    /// The AddressPools of addresses that other devices have, once for each address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// What was counted on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeCounts>,
}

/// One call of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateReport {
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a program ran; else the plugin is a built-in one.
    pub program: bool,
    /// What it was asked for.
    pub verb: String,
    /// The code of its CNI error; 0 is success.
    pub code: u32,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// What is on the node. A call counts only what it has seen anyway; the rest is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Sandboxes that have a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandboxes: Option<u64>,
    /// Attached networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<u64>,
    /// Removals that failed and are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debts: Option<u64>,
    /// Records that cannot be read completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<u64>,
    /// Damaged records that were moved aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aside: Option<u64>,
    /// The pools of `host-local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<PoolCounts>,
    /// Last-known copies of NADs by their age: up to an hour, a day, a week, older.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<[u64; 4]>,
}

impl NodeCounts {
    /// Takes over what `newer` has counted.
    pub fn update(&mut self, newer: NodeCounts) {
        let NodeCounts { sandboxes, attachments, debts, damaged, aside, pools, copies } = newer;
        self.sandboxes = sandboxes.or(self.sandboxes);
        self.attachments = attachments.or(self.attachments);
        self.debts = debts.or(self.debts);
        self.damaged = damaged.or(self.damaged);
        self.aside = aside.or(self.aside);
        self.pools = pools.or(self.pools);
        self.copies = copies.or(self.copies);
    }
}

/// How full the pools of the node are. No pool is named: it has the name of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolCounts {
    /// How many there are.
    pub all: u64,
    /// How many have at most a tenth of their addresses left.
    pub nearly_full: u64,
    /// The taken addresses of the fullest one, in thousandths.
    pub fullest: u32,
}

/// Why a datagram is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than [`MAX_BYTES`].
    Long,
    /// It is not the document.
    Unreadable,
    /// It is of another version.
    Version,
}

impl CallReport {
    /// The datagram. Plugins that do not fit into it are left out, the last ones first.
    pub fn to_bytes(mut self) -> Vec<u8> {
        loop {
            // Texts and numbers always serialise.
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            if bytes.len() <= MAX_BYTES || self.delegates.pop().is_none() {
                return bytes;
            }
        }
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// It is no report.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err(Refusal::Long);
        }
        let report: CallReport = json::parse_bytes(bytes).map_err(|_| Refusal::Unreadable)?;
        match report.version {
            VERSION if report.verb.is_empty() => Err(Refusal::Unreadable),
            VERSION => Ok(report),
            _ => Err(Refusal::Version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delegates: usize) -> CallReport {
        let one = DelegateReport { kind: "bridge".into(), verb: "ADD".into(), us: 1234, ..Default::default() };
        CallReport {
            version: VERSION,
            verb: "ADD".into(),
            us: 2000,
            delegates: vec![one; delegates],
            ..Default::default()
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = report(3);
        assert_eq!(CallReport::from_bytes(&report.clone().to_bytes()), Ok(report));
    }

    #[test]
    fn a_report_of_many_plugins_still_fits() {
        let bytes = report(500).to_bytes();
        assert!(bytes.len() <= MAX_BYTES);
        let kept = CallReport::from_bytes(&bytes).unwrap().delegates.len();
        assert!((20..500).contains(&kept), "{kept}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let table: [(&[u8], Refusal); 6] = [
            (b"", Refusal::Unreadable),
            (b"{", Refusal::Unreadable),
            (br#"{"version":1}"#, Refusal::Unreadable),
            (br#"{"version":1,"verb":7}"#, Refusal::Unreadable),
            (br#"{"version":2,"verb":"ADD"}"#, Refusal::Version),
            (&[b' '; MAX_BYTES + 1], Refusal::Long),
        ];
        for (bytes, refusal) in table {
            assert_eq!(CallReport::from_bytes(bytes), Err(refusal), "{}", bytes.escape_ascii());
        }
        let later = br#"{"version":1,"verb":"ADD","code":0,"new":{"a":[1]},"node":{"sandboxes":3,"more":1}}"#;
        assert_eq!(CallReport::from_bytes(later).unwrap().node.unwrap().sandboxes, Some(3));
    }

    #[test]
    fn what_was_not_counted_stays_as_it_was() {
        let mut counts = NodeCounts { sandboxes: Some(1), debts: Some(2), ..NodeCounts::default() };
        counts.update(NodeCounts { sandboxes: Some(5), copies: Some([1, 0, 0, 0]), ..NodeCounts::default() });
        assert_eq!((counts.sandboxes, counts.debts, counts.copies), (Some(5), Some(2), Some([1, 0, 0, 0])));
    }
}
