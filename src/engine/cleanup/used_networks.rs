//! The networks that this node has used.

use crate::cni::NetworkConfig;
use crate::engine::Turn;
use crate::engine::planning::default_network;
use crate::facts::{Known, last_known};
use crate::store::{Attachment, Record};
use std::collections::BTreeMap;

/// The networks whose plugins may hold something on this node.
#[derive(Debug, Default)]
pub(in crate::engine) struct Networks {
    /// The default network of today.
    pub(in crate::engine) default: Option<NetworkConfig>,
    /// The others, by their text.
    pub(in crate::engine) others: BTreeMap<String, NetworkConfig>,
}

impl Networks {
    /// The default network of today, every network this node has used, and those of `records`.
    pub(in crate::engine) fn known<'a>(turn: &Turn, records: impl Iterator<Item = &'a Record>) -> Self {
        let default = default_network::resolve(turn, &Known::default()).ok().flatten();
        let mut networks = Networks { default, others: BTreeMap::new() };
        let used = last_known::all(&turn.settings.state)
            .inspect_err(|e| turn.warn(format!("cannot read the list of networks that this node has used: {e}")));
        for definition in used.unwrap_or_default() {
            let name = definition.nad.name();
            let network = definition.config.as_deref().map(|config| NetworkConfig::parse(config, Some(name)));
            networks.add_network(network.and_then(Result::ok));
        }
        records.flat_map(|record| &record.attachments).for_each(|attachment| networks.add(attachment));
        networks
    }

    /// Also the network of `attachment`.
    pub(in crate::engine) fn add(&mut self, attachment: &Attachment) {
        self.add_network(NetworkConfig::parse(attachment.config.get(), None).ok());
    }

    fn add_network(&mut self, network: Option<NetworkConfig>) {
        let Some(network) = network else { return };
        let text = network.to_raw().get().to_owned();
        if self.default.as_ref().is_none_or(|default| default.to_raw().get() != text) {
            self.others.entry(text).or_insert(network);
        }
    }
}
