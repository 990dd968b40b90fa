//! From selections to network configurations.

use super::settings::Settings;
use super::{Turn, disk, recursion};
use crate::cni::{CniError, Code, NetworkConfig};
use crate::facts::Known;
use crate::nad::{Definition, NadRef};
use std::collections::BTreeMap;

/// The configuration of every one of `nads` (NPWG-NAD-07).
///
/// # Errors
/// Code 7: a network does not exist, or its definition is no network configuration.
pub fn resolve(turn: &Turn, known: &Known, nads: &[NadRef]) -> Result<BTreeMap<NadRef, NetworkConfig>, CniError> {
    nads.iter().map(|nad| Ok((nad.clone(), resolve_one(turn, known, nad)?))).collect()
}

/// A network of `defaultNetworks` that is no NAD may be a file of that name, as in Multus.
fn operators_file(turn: &Turn, nad: &NadRef) -> Option<NetworkConfig> {
    let settings = &turn.settings;
    let named = nad.namespace() == settings.network_namespace
        && settings.default_networks.iter().any(|name| name == nad.name());
    let network = named.then(|| disk::by_name(&settings.conf_dir, nad.name()).ok())??;
    recursion::names_itself(&network).is_none().then_some(network)
}

fn resolve_one(turn: &Turn, known: &Known, nad: &NadRef) -> Result<NetworkConfig, CniError> {
    let invalid = |why: String| CniError::new(Code::InvalidConfig, format!("network {nad}: {why}"));
    let Some(definition) = known.definitions.get(nad) else {
        let missing = || invalid("there is no such NetworkAttachmentDefinition".into());
        return operators_file(turn, nad).ok_or_else(missing);
    };
    let network = of_definition(&turn.settings, definition).map_err(invalid)?;
    match recursion::names_itself(&network) {
        Some(kind) => Err(invalid(format!("it delegates to {kind}: refused, it would never end"))),
        None => Ok(network),
    }
}

/// The configuration that `definition` gives, or that a file of its name gives.
///
/// # Errors
/// Why there is none.
pub fn of_definition(settings: &Settings, definition: &Definition) -> Result<NetworkConfig, String> {
    let name = definition.nad.name();
    match &definition.config {
        Some(config) => NetworkConfig::parse(config, Some(name)).map_err(|e| format!("spec.config: {e}")),
        None => disk::by_name(&settings.conf_dir, name)
            .map_err(|e| format!("spec.config is empty, and no file gives it: {e}")),
    }
}
