//! From selections to network configurations.

use crate::cni::{CniError, Code, NetworkConfig, spelling};
use crate::engine::Turn;
use crate::engine::planning::disk;
use crate::engine::planning::refusals::recursion;
use crate::engine::settings::Settings;
use crate::facts::Known;
use crate::nad::{Definition, NadRef};
use std::collections::BTreeMap;

/// The configuration of every one of `nads` (NPWG-NAD-07).
///
/// # Errors
/// Code 7: a network does not exist, or its definition is no network configuration.
pub fn resolve(turn: &Turn, known: &Known, nads: &[NadRef]) -> Result<BTreeMap<NadRef, NetworkConfig>, CniError> {
    // One that certainly does not exist is named first: after it the daemon may not have looked for the others.
    let is_missing = |nad: &&NadRef| known.missing.contains(nad) && operators_file(turn, nad).is_none();
    if let Some(nad) = nads.iter().find(is_missing) {
        return Err(missing(known, nad));
    }
    nads.iter().map(|nad| Ok((nad.clone(), resolve_one(turn, known, nad)?))).collect()
}

fn missing(known: &Known, nad: &NadRef) -> CniError {
    let hint = spelling::hint(known.meant.get(nad));
    CniError::new(Code::InvalidConfig, format!("network {nad}: the NetworkAttachmentDefinition does not exist{hint}"))
}

/// A network of `networksForAllPods` that is no NAD may be a file of that name, as in Multus.
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
        return operators_file(turn, nad).ok_or_else(|| missing(known, nad));
    };
    let network = of_definition(&turn.settings, definition).map_err(invalid)?;
    match recursion::names_itself(&network) {
        Some(kind) => Err(invalid(format!("it delegates to {kind}: refused, it would never end"))),
        None => Ok(network),
    }
}

/// Files in `nadConfigDir` are the operator's: with isolation, a tenant's definition does not get them by its name.
fn may_name_files(settings: &Settings, namespace: &str) -> bool {
    !settings.isolation
        || namespace == settings.network_namespace
        || settings.global_namespaces.iter().any(|global| global == namespace)
}

/// The configuration that `definition` gives, or that a file of its name gives.
///
/// # Errors
/// Why there is none.
pub fn of_definition(settings: &Settings, definition: &Definition) -> Result<NetworkConfig, String> {
    let name = definition.nad.name();
    match &definition.config {
        Some(config) => NetworkConfig::parse(config, Some(name)).map_err(|e| format!("spec.config: {e}")),
        None if !settings.networks_from_files => {
            Err("spec.config is empty, and no file may give it on this node (networksFromFiles)".to_owned())
        }
        None if !may_name_files(settings, definition.nad.namespace()) => Err(format!(
            "spec.config is empty, and only networks of {} and of globalNamespaces may name a file (namespaceIsolation)",
            settings.network_namespace
        )),
        None => disk::by_name(&settings.conf_dir, name)
            .map_err(|e| format!("spec.config is empty, and no file gives it: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_name_a_file() {
        // N9
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.conf"), r#"{"cniVersion":"1.0.0","name":"x","type":"ops"}"#).unwrap();
        let read = |settings: &str, namespace: &str| {
            let conf_dir = folder.path().display();
            let text = format!(r#"{{"name":"n","cniVersion":"1.0.0","nadConfigDir":"{conf_dir}"{settings}}}"#);
            let definition = Definition::new(NadRef::new(namespace, "x").unwrap(), None, |_| None);
            of_definition(&Settings::parse(&text).unwrap(), &definition)
        };
        assert_eq!(read("", "blue").unwrap().kinds(), "ops");
        assert!(read(r#","networksFromFiles":false"#, "kube-system").unwrap_err().contains("networksFromFiles"));
        let isolated = r#","namespaceIsolation":true"#;
        let refused = read(isolated, "blue").unwrap_err();
        assert!(refused.contains("namespaceIsolation"), "{refused}");
        assert!(refused.contains("only networks of kube-system and of globalNamespaces may name a file"), "{refused}");
        assert!(read(isolated, "kube-system").is_ok() && read(isolated, "default").is_ok());
    }
}
