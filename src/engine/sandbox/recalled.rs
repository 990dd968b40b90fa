//! What was attached, read from its record: to delete it and to check it.

use crate::cni::{CniArgs, CniError, Code, ContainerId, NetworkConfig, Version};
use crate::delegate::{Chain, Scope};
use crate::engine::Turn;
use crate::engine::planning::default_network;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::trust;
use crate::store::Attachment;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Gives the default network of the call the result that the runtime kept, where the record has none: the disk was
/// full, or the record is damaged.
pub fn complete(turn: &Turn, attachments: &mut [Attachment]) {
    let without = |attachment: &&mut Attachment| attachment.default && attachment.result.is_none();
    for attachment in attachments.iter_mut().filter(without) {
        if let Ok(network) = NetworkConfig::parse(attachment.config.get(), None) {
            attachment.result = default_network::kept_result(turn, &network);
        }
    }
}

/// What an attachment is called with again, read from its record.
pub struct Recalled {
    network: NetworkConfig,
    args: CniArgs,
    path: Vec<PathBuf>,
}

impl Recalled {
    /// Whether CHECK is allowed, and known, to its network (CNI-CFG-05, CNI-CHK-10).
    pub fn may_be_checked(&self) -> bool {
        !self.network.disable_check && self.network.version.at_least(Version::V0_4_0)
    }

    /// Reads the configuration of `attachment`. Its programs are looked for where they were at the time of ADD, then
    /// where they are today: an upgrade of the node may have moved them.
    ///
    /// # Errors
    /// Code 6: it is damaged.
    pub fn read(turn: &Turn, attachment: &Attachment) -> Result<Self, CniError> {
        let network = NetworkConfig::parse(attachment.config.get(), None).map_err(|e| {
            CniError::new(
                Code::Decode,
                format!("network {} ({}): its record: {e}", attachment.network, attachment.ifname),
            )
        })?;
        let path = trust::plugin_folders(turn, &attachment.path);
        Ok(Recalled { network, args: CniArgs::parse(&attachment.args), path })
    }

    /// The network.
    pub fn network(&self) -> &NetworkConfig {
        &self.network
    }

    /// The configuration with nothing but the plugins at `places`; none where these are all.
    pub fn only(&self, places: &[usize]) -> Option<Box<RawValue>> {
        if places.len() == self.network.plugins.len() {
            return None;
        }
        let mut network = self.network.clone();
        network.plugins = places.iter().filter_map(|place| self.network.plugins.get(*place).cloned()).collect();
        Some(network.to_raw())
    }

    /// The chain to call for `attachment` in `netns`, ending at `deadline`.
    pub fn chain<'a>(
        &'a self,
        turn: &'a Turn,
        sandbox: &'a Sandbox,
        id: &'a ContainerId,
        attachment: &'a Attachment,
        netns: Option<&'a Path>,
        deadline: Instant,
    ) -> Chain<'a> {
        let scope = Scope {
            container_id: Some(id),
            ifname: Some(&attachment.ifname),
            netns,
            args: &self.args,
            path: &self.path,
            patience: turn.settings.delegate_timeout,
            deadline,
            is_first: false,
            lock: sandbox.inherited(),
        };
        Chain { network: &self.network, capability_args: &attachment.capability_args, scope, registry: &turn.registry }
    }
}
