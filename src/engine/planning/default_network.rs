//! The default network: read at each call from where its own plugin left it.

use crate::api::layout::MAX_COPY;
use crate::cni::json;
use crate::cni::{AddResult, CniError, Code, NetworkConfig};
use crate::engine::Turn;
use crate::engine::planning::disk;
use crate::engine::planning::refusals::recursion;
use crate::engine::settings::{Primary, Settings};
use crate::facts::Known;
use crate::nad::{Definition, NadRef};
use crate::sys::files::Durability;
use crate::sys::trusted;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::Path;

/// The NAD that `clusterNetwork` may mean: a name without `/` (as in Multus, a NAD comes before a file).
pub fn nad(turn: &Turn) -> Option<NadRef> {
    nad_of(&turn.settings)
}

/// As [`nad`], by the configuration.
pub fn nad_of(settings: &Settings) -> Option<NadRef> {
    match &settings.primary {
        Primary::Named(name) if !name.contains('/') => NadRef::new(&settings.network_namespace, name).ok(),
        _ => None,
    }
}

/// The configuration of the default network; `None` where we are chained behind it.
///
/// When its file is missing or broken for a moment, the last good copy is used: the primary's
/// installers truncate, rename and rewrite it, and pods start meanwhile. So it is when the file begins to
/// name us: a plugin that copies the first list of the folder into its own (Istio's, where it owns one) copies ours.
///
/// # Errors
/// Code 7: it is or names Plexus or Multus. Code 11: it cannot be resolved now, and never was.
pub fn resolve(turn: &Turn, known: &Known) -> Result<Option<NetworkConfig>, CniError> {
    let found = match &turn.settings.primary {
        Primary::Chained => return Ok(None),
        Primary::Inline(list) => inline(list.first().map(|object| object.to_json()).unwrap_or_default())?,
        Primary::Named(name) => by_name(turn, name, known)?,
    };
    not_ourselves(found, "default").map(Some)
}

fn not_ourselves(network: NetworkConfig, what: &str) -> Result<NetworkConfig, CniError> {
    match endless(&network, what) {
        Some(why) => Err(CniError::new(Code::InvalidConfig, why)),
        None => Ok(network),
    }
}

/// What `name` means now, or its last good copy.
fn by_name(turn: &Turn, name: &str, known: &Known) -> Result<NetworkConfig, CniError> {
    let last_good = |why: &str| {
        last_good(&turn.settings, name)
            .inspect(|_| turn.warn(format!("default network: {why}; using the last good copy")))
    };
    match named(&turn.settings, name, known) {
        Ok(network) => match endless(&network, "default") {
            Some(why) => Ok(last_good(&why).unwrap_or(network)),
            None => {
                keep(turn, name, &network);
                Ok(network)
            }
        },
        Err(why) => {
            last_good(&why).ok_or_else(|| CniError::new(Code::TryAgain, format!("default network {name}: {why}")))
        }
    }
}

/// Why `network`, the `what` network, must not be delegated to, if so.
fn endless(network: &NetworkConfig, what: &str) -> Option<String> {
    let refused = |kind| format!("{what} network {} delegates to {kind}: refused, it would never end", network.name);
    recursion::names_itself(network).map(refused)
}

/// What the runtime kept of a pod's ADD, as the plugins of `network` read it: a pod that is older than our
/// installation has it in the network's own version, and libcni hands it over in ours.
pub fn kept_result(turn: &Turn, network: &NetworkConfig) -> Option<Box<RawValue>> {
    let kept = turn.settings.prev_result.as_deref()?;
    let converted = AddResult::parse(kept.get(), turn.settings.version)
        .and_then(|result| result.to_raw(network.version.known()))
        .inspect_err(|e| {
            turn.warn(format!("prevResult cannot be converted to version {}: {e}", network.version.as_str()))
        });
    // As it is it still names the interface.
    Some(converted.unwrap_or_else(|_| kept.to_owned()))
}

/// `delegates` after the first: attached to every pod.
///
/// # Errors
/// Code 7: one of them is no network configuration, or is or names Plexus or Multus.
pub fn further_delegates(turn: &Turn) -> Result<Vec<NetworkConfig>, CniError> {
    match &turn.settings.primary {
        Primary::Inline(list) => {
            list.iter().skip(1).map(|object| not_ourselves(inline(object.to_json())?, "delegates:")).collect()
        }
        Primary::Named(_) | Primary::Chained => Ok(Vec::new()),
    }
}

fn inline(text: String) -> Result<NetworkConfig, CniError> {
    NetworkConfig::parse(&text, None).map_err(|e| CniError::new(Code::InvalidConfig, format!("delegates: {e}")))
}

/// What `clusterNetwork`, which says `name`, means now.
///
/// # Errors
/// Why it means nothing.
pub fn named(settings: &Settings, name: &str, known: &Known) -> Result<NetworkConfig, String> {
    if name.contains('/') {
        let path = Path::new(name);
        let network = if path.is_dir() { disk::first_of(path) } else { disk::read(path) };
        return network.map_err(|e| e.to_string());
    }
    let definition = nad_of(settings).and_then(|nad| known.definitions.get(&nad));
    match definition {
        Some(Definition { nad, config: Some(config), .. }) => {
            NetworkConfig::parse(config, Some(nad.name())).map_err(|e| format!("network {nad}: {e}"))
        }
        _ => disk::by_name(&settings.conf_dir, name).map_err(|e| e.to_string()),
    }
}

/// The last good copy on disk: which configuration it is a copy of, and the whole of it.
#[derive(Serialize, Deserialize)]
struct Copy {
    of: String,
    config: Box<RawValue>,
}

/// Keeps a copy, written only when it changed. A disk that is full cannot stop a pod.
fn keep(turn: &Turn, name: &str, network: &NetworkConfig) {
    if turn.is_rehearsal {
        return;
    }
    let path = turn.settings.state.default_network();
    let copy = Copy { of: name.to_owned(), config: network.to_raw() };
    let Ok(text) = serde_json::to_string(&copy) else { return };
    if trusted::read_bounded(&path, MAX_COPY).ok().flatten().as_deref() != Some(&text)
        && let Err(e) = trusted::replace(&path, text.as_bytes(), 0o600, Durability::Cached)
    {
        turn.warn(format!("the last good copy of the default network cannot be kept in {}: {e}", path.display()));
    }
}

/// Whether pods get the last good copy while `clusterNetwork` means nothing.
pub fn has_last_good(settings: &Settings) -> bool {
    matches!(&settings.primary, Primary::Named(name) if last_good(settings, name).is_some())
}

fn last_good(settings: &Settings, name: &str) -> Option<NetworkConfig> {
    let text = trusted::read_bounded(&settings.state.default_network(), MAX_COPY).ok()??;
    let copy: Copy = json::parse(&text).ok()?;
    NetworkConfig::parse(copy.config.get(), None).ok().filter(|_| copy.of == name)
}
