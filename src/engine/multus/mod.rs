//! Sandboxes that Multus attached: what it kept of them is enough to delete them, so that a cluster
//! moves over without draining its nodes.
//!
//! Multus keeps `<cniDir>/<container>`, a JSON list of delegates, and libcni's own records beside it in
//! `results/`. Member names are those of Multus 4.3. It writes the list in place, so a power loss leaves an empty or
//! half a one (multus-cni issues 948 and 1087): then libcni's records tell what is attached.

pub(super) mod libcni_cache;

use super::Turn;
use crate::cni::json;
use crate::cni::{ContainerId, IfName, NetworkConfig, RawObject};
use crate::engine::multus::libcni_cache::Cached;
use crate::store::{Attachment, State};
use crate::sys::files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::path::PathBuf;

/// Dozens of configurations at most.
const MAX_FILE: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[derive(Default)]
struct Delegate {
    #[serde(rename = "CNINetworkConfigList")]
    list: Option<List>,
    name: String,
    #[serde(rename = "ifnameRequest")]
    ifname_request: String,
    /// Go writes an empty one as `null`.
    bytes: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct List {
    name: String,
    #[serde(rename = "CNIVersion")]
    cni_version: String,
    plugins: Option<Vec<Plugin>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Plugin {
    bytes: Option<String>,
}

/// The attachments that Multus recorded for `id`, the default network first; empty where it knows nothing of it.
pub fn attachments(turn: &Turn, id: &ContainerId, call: &IfName) -> Vec<Attachment> {
    let listed = listed(turn, id, call);
    if listed.is_empty() { cached(turn, id, call) } else { listed }
}

/// From its list.
fn listed(turn: &Turn, id: &ContainerId, call: &IfName) -> Vec<Attachment> {
    let Ok(Some(text)) = files::read_bounded(&scratch(turn, id), MAX_FILE) else { return Vec::new() };
    let delegates: Vec<Delegate> = match json::parse(&text) {
        Ok(delegates) => delegates,
        Err(e) => {
            turn.warn(format!("cannot read Multus' cache file of container {id}: {e}"));
            return Vec::new();
        }
    };
    let read = |(index, delegate): (usize, &Delegate)| attachment(turn, id, call, index, delegate);
    delegates.iter().enumerate().filter_map(read).collect()
}

/// From libcni's records alone: what was attached when Multus had all of it, in the order of the interfaces' numbers.
fn cached(turn: &Turn, id: &ContainerId, call: &IfName) -> Vec<Attachment> {
    let of_one = |cached: Cached| {
        let (network, ifname) = (cached.network()?, cached.ifname()?);
        let name = network.name.to_string();
        Some(recalled(turn, call, name, &network, ifname.clone(), ifname == *call, cached))
    };
    let records = Cached::all_of(&turn.settings.multus_directory, id);
    let mut attachments: Vec<Attachment> = records.into_iter().filter_map(of_one).collect();
    attachments.sort_by_key(|attachment| {
        let ifname = attachment.ifname.as_str().to_owned();
        (!attachment.default, ifname.len(), ifname)
    });
    attachments
}

/// Removes what Multus kept, once everything it tells of is deleted.
pub fn forget(turn: &Turn, id: &ContainerId, attachments: &[Attachment]) {
    if turn.settings.multus_directory.try_exists().is_ok_and(|is_there| !is_there) {
        return;
    }
    let records = attachments.iter().filter_map(|attachment| {
        let network = NetworkConfig::parse(attachment.config.get(), None).ok()?;
        Some(libcni_cache::path(&turn.settings.multus_directory, &network, id, &attachment.ifname))
    });
    for file in records.chain(Some(scratch(turn, id))) {
        if let Err(e) = files::remove(&file) {
            turn.warn(format!("{}: {e}", file.display()));
        }
    }
}

fn attachment(turn: &Turn, id: &ContainerId, call: &IfName, index: usize, delegate: &Delegate) -> Option<Attachment> {
    let text = configuration(delegate)?;
    let network = NetworkConfig::parse(&text, Some(&delegate.name))
        .inspect_err(|e| turn.warn(format!("Multus' cache file of container {id}: {e}")))
        .ok()?;
    // The first delegate is the default network; the others are numbered by their place.
    let numbered = if index == 0 { call.clone() } else { IfName::new(format!("net{index}")).ok()? };
    let ifname = IfName::new(delegate.ifname_request.as_str()).unwrap_or(numbered);
    let cached = Cached::of(&turn.settings.multus_directory, &network, id, &ifname);
    let name = if delegate.name.is_empty() { network.name.to_string() } else { delegate.name.clone() };
    Some(recalled(turn, call, name, &network, ifname, index == 0, cached))
}

/// The attachment as a record of ours would have it.
fn recalled(
    turn: &Turn,
    call: &IfName,
    name: String,
    network: &NetworkConfig,
    ifname: IfName,
    default: bool,
    cached: Cached,
) -> Attachment {
    Attachment {
        call: call.clone(),
        network: name,
        ifname,
        default,
        state: State::Attached,
        config: network.to_raw(),
        args: cached.args().unwrap_or_else(|| turn.invocation.args.to_string()),
        capability_args: cached.capability_args.unwrap_or_default(),
        path: turn.path(),
        device_info_file: None,
        result: cached.result,
        gateways: None,
        refused: false,
        debt: None,
    }
}

/// The whole configuration. For the default network `Bytes` had lost most keys in 4.3 (multus-cni
/// issue 1449); the plugins of the list had not.
fn configuration(delegate: &Delegate) -> Option<String> {
    let decode = |text: &Option<String>| String::from_utf8(STANDARD.decode(text.as_deref()?).ok()?).ok();
    let plugins = delegate
        .list
        .as_ref()
        .and_then(|list| Some((list, list.plugins.as_ref().filter(|plugins| !plugins.is_empty())?)));
    let Some((list, plugins)) = plugins else { return decode(&delegate.bytes) };
    let plugins: Vec<RawObject> =
        plugins.iter().map(|plugin| RawObject::parse(&decode(&plugin.bytes)?).ok()).collect::<Option<_>>()?;
    let mut whole = RawObject::default();
    whole.set_value("cniVersion", &list.cni_version);
    whole.set_value("name", &list.name);
    whole.set_value("plugins", &plugins);
    Some(whole.to_json())
}

fn scratch(turn: &Turn, id: &ContainerId) -> PathBuf {
    turn.settings.multus_directory.join(id.as_str())
}
