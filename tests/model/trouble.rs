//! What keeps pods from the default network for a moment: STATUS says it, and ADD agrees.
//!
//! The model knows of each trouble what STATUS must answer. A plugin whose STATUS always succeeds, or always fails, is
//! noticed.

use crate::op::Trouble;
use crate::primary::Primary;
use crate::run::{Run, must};
use crate::slot::State;
use crate::support::{Call, kernel, node};
use crate::world::World;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Where the pool of the default network waits while a file is in its place.
const POOL_AWAY: &str = "/var/lib/cni/away";
/// What the plugin `gate` of the default network answers to STATUS: a code.
const GATE: &str = "/var/lib/moods/gate";
/// A type that is in no directory.
const MISSING: &str = "missing";
/// An address of another network.
const OTHER_ADDRESS: &str = "10.9.0.1/24";

/// A plugin that makes nothing, and refuses STATUS where it is told to.
pub const GATE_PROGRAM: &str = r#"#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" = STATUS ] && [ -e /var/lib/moods/gate ] && {
    read -r code </var/lib/moods/gate
    echo '{"cniVersion":"1.1.0","code":'$code',"msg":"told to refuse"}'
    exit 1
}
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0"}'
exit 0
"#;

/// What must be seen while a trouble lasts.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The code of STATUS; none where it succeeds.
    pub code: Option<u64>,
    /// Whether a plain pod gets the default network.
    pub attaches: bool,
}

impl Expected {
    const WELL: Expected = Expected { code: None, attaches: true };
    const UNUSABLE: Expected = Expected { code: Some(50), attaches: false };
}

impl Run {
    /// STATUS answers what `expected` says.
    pub fn status(&self, expected: Expected) -> Result<(), String> {
        let answer = self.world.call(Call::of_node(&self.world.node, "STATUS")).make();
        let error: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let holds = match expected.code {
            None => answer.status.success() && answer.stdout.is_empty(),
            Some(code) => answer.status.code() == Some(1) && error["code"] == code,
        };
        must(holds, || format!("STATUS must answer {:?}, and answers {answer:?}", expected.code))
    }

    /// STATUS while `trouble` lasts, ADD of a plain pod then, and STATUS after it.
    pub fn status_in(&mut self, at: usize, trouble: Trouble) -> Result<(), String> {
        let Some(expected) = self.world.begin(trouble) else { return Ok(()) };
        self.status(expected)?;
        if self.slots[at].is_none() {
            self.add(at, &[], None, false)?;
            let is_attached = self.slots[at].as_ref().is_some_and(|slot| slot.state == State::Attached);
            must(is_attached == expected.attaches, || {
                format!("STATUS answers {:?}, and ADD of a plain pod does not agree", expected.code)
            })?;
        }
        self.world.end(trouble);
        self.count(if expected.code.is_some() { "StatusFails" } else { "StatusHolds" });
        self.status(Expected::WELL)
    }

    /// STATUS while no trouble concerns the default network, whatever else is wrong.
    pub fn status_well(&mut self) -> Result<(), String> {
        self.count("Status");
        self.status(Expected::WELL)
    }
}

impl World {
    /// Begins `trouble`, and answers what must be seen. None where it cannot be had: there is no bridge yet.
    fn begin(&mut self, trouble: Trouble) -> Option<Expected> {
        let file = self.node.primary_file();
        // While the file cannot be read, the last good copy serves.
        let by_copy = if is_copy_good() { Expected::WELL } else { Expected::UNUSABLE };
        let expected = match trouble {
            Trouble::FileAway => {
                fs::remove_file(&file).unwrap();
                by_copy
            }
            Trouble::FileTorn => {
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&file, &text[..text.len() / 2]).unwrap();
                by_copy
            }
            Trouble::NeverRead => {
                fs::remove_file(&file).unwrap();
                // There may be none.
                self.writable(|| _ = fs::remove_file(copy()));
                Expected::UNUSABLE
            }
            Trouble::ProgramMissing => {
                self.default_network_after(&[MISSING]);
                Expected::UNUSABLE
            }
            Trouble::Refuses { code } => {
                self.default_network_after(&["gate"]);
                node::write(Path::new(GATE), &format!("{code}\n"));
                // Any other code means that the default network cannot serve, too. ADD does not ask.
                Expected { code: Some(if code == 51 { 51 } else { 50 }), attaches: true }
            }
            Trouble::PoolBlocked => {
                // Nobody may have had an address yet.
                let _ = fs::rename(self.primary.pool(), POOL_AWAY);
                node::write(&self.primary.pool(), "");
                Expected::UNUSABLE
            }
            Trouble::BridgeTaken => {
                if !has_gateway(self.primary) {
                    return None;
                }
                self.readdress(OTHER_ADDRESS);
                // The program is asked, and the reference plugin does not look.
                if self.primary.is_program() {
                    Expected { code: None, ..Expected::UNUSABLE }
                } else {
                    Expected::UNUSABLE
                }
            }
        };
        self.trouble = Some(expected);
        Some(expected)
    }

    fn end(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::FileAway | Trouble::FileTorn | Trouble::NeverRead | Trouble::ProgramMissing => {}
            Trouble::Refuses { .. } => fs::remove_file(GATE).unwrap(),
            Trouble::PoolBlocked => {
                fs::remove_file(self.primary.pool()).unwrap();
                // As above.
                let _ = fs::rename(POOL_AWAY, self.primary.pool());
            }
            Trouble::BridgeTaken => self.readdress(&format!("{}/24", self.primary.gateway())),
        }
        self.default_network();
        self.trouble = None;
    }

    fn readdress(&self, address: &str) {
        let bridge = self.primary.name();
        self.node.ip(&format!("-4 address flush dev {bridge}"));
        self.node.ip(&format!("address add {address} dev {bridge}"));
    }
}

/// Whether the bridge of the default network is there, with its address.
fn has_gateway(primary: Primary) -> bool {
    let is_there = kernel::host_links().iter().any(|link| link == primary.name());
    let addresses = || kernel::ip(&format!("-4 address show dev {}", primary.name())).to_string();
    is_there && addresses().contains(&format!("\"{}\"", primary.gateway()))
}

fn copy() -> std::path::PathBuf {
    plexus::api::StateDirectory::default().default_network()
}

/// Whether there is a last good copy with which pods can be attached: a chain with a missing program was read once, too.
fn is_copy_good() -> bool {
    let text = fs::read_to_string(copy()).unwrap_or_default();
    let copy: Value = serde_json::from_str(&text).unwrap_or_default();
    copy["config"]["plugins"].as_array().is_some_and(|plugins| plugins.iter().all(|plugin| plugin["type"] != MISSING))
}
