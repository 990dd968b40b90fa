//! From selections to network configurations.

use super::{Turn, disk, recursion};
use crate::cni::{CniError, Code, NetworkConfig};
use crate::facts::Known;
use crate::nad::NadRef;
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
    let network = match &definition.config {
        Some(config) => {
            NetworkConfig::parse(config, Some(nad.name())).map_err(|e| invalid(format!("spec.config: {e}")))?
        }
        None => disk::by_name(&turn.settings.conf_dir, nad.name())
            .map_err(|e| invalid(format!("spec.config is empty, and no file gives it: {e}")))?,
    };
    match recursion::names_itself(&network) {
        Some(kind) => Err(invalid(format!("it delegates to {kind}: refused, it would never end"))),
        None => Ok(network),
    }
}
