//! libcni's own records of attachments, as Multus leaves them in `<cniDir>/results/`: one file an attachment,
//! written when all of its plugins had succeeded.

use crate::cni::json;
use crate::cni::{ContainerId, IfName, NetworkConfig, RawObject};
use crate::sys::files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// Dozens of configurations at most.
const MAX_FILE: usize = 16 << 20;
const KIND: &str = "cniCacheV1";

/// One record (CNI-CACHE-02).
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub struct Cached {
    kind: String,
    container_id: String,
    if_name: String,
    network_name: String,
    /// Go writes an empty one as `null`.
    config: Option<String>,
    cni_args: Option<Vec<(String, String)>>,
    /// What was offered by capability.
    pub capability_args: Option<RawObject>,
    /// What the plugins answered.
    pub result: Option<Box<RawValue>>,
}

impl Cached {
    /// The record of one attachment; an empty one where there is none that can be read. What is of another kind is
    /// a bare result, as old releases wrote it (CNI-CACHE-04).
    pub fn of(folder: &Path, network: &NetworkConfig, id: &ContainerId, ifname: &IfName) -> Cached {
        let text = files::read_bounded(&path(folder, network, id, ifname), MAX_FILE).ok().flatten().unwrap_or_default();
        match json::parse::<Cached>(&text) {
            Ok(cached) if cached.kind == KIND => cached,
            _ => Cached { result: RawObject::parse(&text).ok().map(|result| result.to_raw()), ..Cached::default() },
        }
    }

    /// Every record of `id`. Names of networks and containers may hold hyphens, so the file's name only says where
    /// to look (CNI-CACHE-07, CNI-CACHE-08).
    pub fn all_of(folder: &Path, id: &ContainerId) -> Vec<Cached> {
        let part = format!("-{id}-");
        let entries = files::entries(&folder.join("results")).into_iter().flatten();
        let files = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.contains(&part)));
        let read = |path: PathBuf| json::parse::<Cached>(&files::read_bounded(&path, MAX_FILE).ok().flatten()?).ok();
        let cached = files.filter_map(|entry| read(entry.path()));
        cached.filter(|cached| cached.kind == KIND && cached.container_id == id.as_str()).collect()
    }

    /// The configuration that was used; none where the record holds none (CNI-CACHE-05, CNI-CACHE-06).
    pub fn network(&self) -> Option<NetworkConfig> {
        let text = String::from_utf8(STANDARD.decode(self.config.as_deref()?).ok()?).ok()?;
        let network = NetworkConfig::parse(&text, Some(&self.network_name)).ok()?;
        (network.name.as_str() == self.network_name).then_some(network)
    }

    /// The interface.
    pub fn ifname(&self) -> Option<IfName> {
        IfName::new(self.if_name.as_str()).ok()
    }

    /// `CNI_ARGS`; none where the record holds none.
    pub fn args(&self) -> Option<String> {
        let pairs = self.cni_args.as_ref().filter(|pairs| !pairs.is_empty())?;
        // With a NUL in it no program could be started.
        let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}").replace('\0', ""));
        Some(pairs.collect::<Vec<_>>().join(";"))
    }
}

/// Where the record of an attachment is (CNI-CACHE-01).
pub fn path(folder: &Path, network: &NetworkConfig, id: &ContainerId, ifname: &IfName) -> PathBuf {
    folder.join("results").join(format!("{}-{id}-{ifname}", network.name))
}
