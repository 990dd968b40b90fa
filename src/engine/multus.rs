//! Sandboxes that Multus attached: what it kept of them is enough to delete them, so that a cluster
//! moves over without draining its nodes.
//!
//! Multus keeps `<cniDir>/<container>`, a JSON list of delegates, and libcni's own records beside it in
//! `results/`. Member names are those of Multus 4.3.

use super::Turn;
use crate::cni::{ContainerId, IfName, NetworkConfig, RawObject};
use crate::store::{Attachment, State};
use crate::sys::files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
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

/// libcni's record of one attachment (CNI-CACHE-02).
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Cached {
    cni_args: Option<Vec<(String, String)>>,
    capability_args: Option<RawObject>,
    result: Option<Box<RawValue>>,
}

/// The attachments that Multus recorded for `id`; empty where it knows nothing of it.
pub fn attachments(turn: &Turn, id: &ContainerId, call: &IfName) -> Vec<Attachment> {
    let Ok(Some(text)) = files::read_bounded(&scratch(turn, id), MAX_FILE) else { return Vec::new() };
    let delegates: Vec<Delegate> = match serde_json::from_str(&text) {
        Ok(delegates) => delegates,
        Err(e) => {
            turn.warn(format!("what Multus kept of {id} cannot be read: {e}"));
            return Vec::new();
        }
    };
    let read = |(index, delegate): (usize, &Delegate)| attachment(turn, id, call, index, delegate);
    delegates.iter().enumerate().filter_map(read).collect()
}

/// Removes what Multus kept, once everything it tells of is deleted.
pub fn forget(turn: &Turn, id: &ContainerId, attachments: &[Attachment]) {
    let records = attachments.iter().filter_map(|attachment| {
        let network = NetworkConfig::parse(attachment.config.get(), None).ok()?;
        Some(result_file(turn, &network, id, &attachment.ifname))
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
        .inspect_err(|e| turn.warn(format!("what Multus kept of {id}: {e}")))
        .ok()?;
    // The first delegate is the default network; the others are numbered by their place.
    let numbered = if index == 0 { call.clone() } else { IfName::new(format!("net{index}")).ok()? };
    let ifname = IfName::new(delegate.ifname_request.as_str()).unwrap_or(numbered);
    let cached = files::read_bounded(&result_file(turn, &network, id, &ifname), MAX_FILE).ok().flatten();
    let cached: Cached = cached.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let args = cached.cni_args.unwrap_or_default();
    // With one of these in it no program could be started.
    let args = args.iter().map(|(key, value)| format!("{key}={value}").replace('\0', "")).collect::<Vec<_>>();
    Some(Attachment {
        call: call.clone(),
        network: if delegate.name.is_empty() { network.name.to_string() } else { delegate.name.clone() },
        ifname,
        default: index == 0,
        state: State::Attached,
        config: network.to_raw(),
        capability_args: cached.capability_args.unwrap_or_default(),
        args: if args.is_empty() { turn.invocation.args.to_string() } else { args.join(";") },
        path: turn.path(),
        device_info_file: None,
        result: cached.result,
        gateways: None,
        debt: None,
    })
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

fn result_file(turn: &Turn, network: &NetworkConfig, id: &ContainerId, ifname: &IfName) -> PathBuf {
    turn.settings.multus_directory.join("results").join(format!("{}-{id}-{ifname}", network.name))
}
