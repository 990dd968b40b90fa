//! The default network of the node, which its administrator exchanges while pods live.

use crate::world::{World, bridge};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which default network the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Primary {
    /// A bridge by the built-in plugin.
    Usual,
    /// The same after a program that makes nothing.
    Chain,
    /// The same bridge by the program: it has a key that no built-in plugin knows.
    Program,
    /// A network of another name, with a bridge and addresses of its own.
    Other,
}

impl Primary {
    pub const ALL: [Primary; 4] = [Primary::Usual, Primary::Chain, Primary::Program, Primary::Other];

    /// The name of the network, and of its bridge and its pool.
    pub fn name(self) -> &'static str {
        if self == Primary::Other { "obr0" } else { "cbr0" }
    }

    fn subnet(self) -> &'static str {
        if self == Primary::Other { "10.67.0.0/24" } else { "10.60.0.0/24" }
    }

    /// The address of its bridge.
    pub fn gateway(self) -> &'static str {
        if self == Primary::Other { "10.67.0.1" } else { "10.60.0.1" }
    }

    pub fn pool(self) -> PathBuf {
        PathBuf::from("/var/lib/cni/networks").join(self.name())
    }

    /// Whether the reference program `bridge` makes its interfaces.
    pub fn is_program(self) -> bool {
        self == Primary::Program
    }
}

impl World {
    /// Writes the file of the default network. What was attached before is deleted by its record.
    pub fn default_network(&self) {
        self.default_network_after(&[]);
    }

    /// The same as a chain, after plugins of these types.
    pub fn default_network_after(&self, types: &[&str]) {
        let primary = self.primary;
        let mut plugin = bridge(primary.name(), &[primary.subnet()]);
        plugin["mtu"] = json!(1500 - 10 * (self.replaced % 5));
        if primary.is_program() {
            plugin["unheardOf"] = json!(true);
        }
        let gate = (primary == Primary::Chain).then_some("gate");
        let before = types.iter().copied().chain(gate).map(|of| json!({"type": of}));
        let plugins: Vec<Value> = before.chain([plugin]).collect();
        self.node.primary(&json!({"cniVersion": "1.1.0", "name": primary.name(), "plugins": plugins}));
    }
}
