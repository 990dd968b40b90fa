//! Networks with one name. Address plugins keep their pools by the network's name: who has the name has the addresses.

use crate::cni::json;
use crate::cni::{CniError, Code, NetworkConfig, RawObject};
use crate::engine::settings::Settings;
use crate::nad::NadRef;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Refuses a network that has the name of the default network and another configuration. Networks of
/// `defaultNadNamespace` are the operator's, who may do so: such a one can replace the default network.
///
/// # Errors
/// Code 7.
pub fn refuse(
    settings: &Settings,
    default: Option<&NetworkConfig>,
    networks: &BTreeMap<NadRef, NetworkConfig>,
) -> Result<(), CniError> {
    // Chained, our own list is the default network's.
    let name = default.map_or(&settings.name, |network| &network.name);
    let is_refused = |(nad, network): &(&NadRef, &NetworkConfig)| {
        network.name == *name
            && nad.namespace() != settings.network_namespace
            && !default.is_some_and(|default| is_same(default, network))
    };
    match networks.iter().find(is_refused) {
        Some((nad, _)) => Err(CniError::new(
            Code::InvalidConfig,
            format!(
                "network {nad}: name {:?} is the default network's, whose addresses it would take; give it another \"name\"",
                name.as_str()
            ),
        )),
        None => Ok(()),
    }
}

/// What an operator should know of networks that keep their addresses in one pool of host-local, each with a subnet
/// of its own: a pod of one can get the lease of the other deleted, and neither sees what is taken.
pub fn remarks<'a>(networks: impl IntoIterator<Item = (String, &'a NetworkConfig)>) -> Vec<String> {
    type Users = Vec<(String, BTreeSet<String>)>;
    let mut pools: BTreeMap<(String, String), Users> = BTreeMap::new();
    for (label, network) in networks {
        for (folder, subnets) in network.plugins.iter().filter_map(|plugin| pool(&plugin.object)) {
            pools.entry((network.name.to_string(), folder)).or_default().push((label.clone(), subnets));
        }
    }
    let differ = |users: &Users| users.iter().any(|(_, subnets)| *subnets != users[0].1);
    pools
        .iter()
        .filter(|(_, users)| differ(users))
        .map(|((name, _), users)| {
            let users: Vec<_> = users
                .iter()
                .map(|(label, subnets)| {
                    format!("{label} ({})", subnets.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
                })
                .collect();
            format!(
                "networks {} have one name, {name:?}, and different subnets: they share a pool of leases",
                users.join(", ")
            )
        })
        .collect()
}

/// The folder and the subnets of a plugin whose addresses host-local gives.
fn pool(plugin: &RawObject) -> Option<(String, BTreeSet<String>)> {
    let ipam: Value = json::parse(plugin.get("ipam")?.get()).ok()?;
    (ipam["type"] == "host-local").then_some(())?;
    let ranges = ipam["ranges"].as_array().into_iter().flatten().filter_map(Value::as_array).flatten();
    let subnets = ranges.chain([&ipam]).filter_map(|range| range["subnet"].as_str()).map(str::to_owned).collect();
    Some((ipam["dataDir"].as_str().unwrap_or_default().to_owned(), subnets))
}

/// Whether both configure the same plugins, whichever form they are written in.
fn is_same(a: &NetworkConfig, b: &NetworkConfig) -> bool {
    let plugins = |network: &NetworkConfig| -> Option<Vec<Value>> {
        network.plugins.iter().map(|plugin| of_plugin(&plugin.object)).collect()
    };
    plugins(a).is_some_and(|a| Some(a) == plugins(b))
}

/// What a plugin is configured with, without what belongs to the list; none where it is nested too deep to be compared.
fn of_plugin(plugin: &RawObject) -> Option<Value> {
    let mut own = plugin.clone();
    for key in ["name", "cniVersion", "cniVersions", "disableCheck", "disableGC"] {
        own.remove(key);
    }
    json::parse(&own.to_json()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> NetworkConfig {
        NetworkConfig::parse(text, Some("nad")).unwrap()
    }

    const LIST: &str = r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[
        {"type":"bridge","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}]}"#;

    fn refused(settings: &str, default: Option<&NetworkConfig>, nad: &str, text: &str) -> Option<String> {
        let settings = Settings::parse(&format!(r#"{{"name":"cbr0","cniVersion":"1.0.0"{settings}}}"#)).unwrap();
        let (namespace, name) = nad.split_once('/').unwrap();
        let parsed = NetworkConfig::parse(text, Some(name)).unwrap();
        let networks = [(NadRef::new(namespace, name).unwrap(), parsed)].into();
        refuse(&settings, default, &networks).err().map(|e| e.msg)
    }

    #[test]
    fn the_default_networks_name_is_its_own() {
        // N7
        let default = network(LIST);
        let thief = r#"{"cniVersion":"1.0.0","name":"cbr0","type":"macvlan","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#;
        let refusal = refused("", Some(&default), "blue/x", thief).unwrap();
        assert!(refusal.contains("blue/x") && refusal.contains("cbr0"), "{refusal}");
        // Without a name it is called as the NAD is.
        assert!(refused("", Some(&default), "blue/cbr0", r#"{"type":"macvlan"}"#).is_some());
        assert!(refused("", Some(&default), "blue/x", r#"{"type":"macvlan"}"#).is_none());
        assert!(refused("", None, "blue/x", thief).is_some());
        // The operator's own, and the same configuration in another form.
        assert!(refused("", Some(&default), "kube-system/x", thief).is_none());
        assert!(refused(r#","defaultNadNamespace":"ops""#, Some(&default), "kube-system/x", thief).is_some());
        let same = r#"{"name":"cbr0","cniVersion":"0.4.0","ipam":{"subnet":"10.1.0.0/24","type":"host-local"},"type":"bridge"}"#;
        assert!(refused("", Some(&default), "blue/x", same).is_none());
    }

    #[test]
    fn pools_that_are_shared_by_mistake_are_named() {
        let with = |ipam: &str| network(&format!(r#"{{"name":"x","type":"macvlan","ipam":{ipam}}}"#));
        let one = with(r#"{"type":"host-local","subnet":"10.1.0.0/24"}"#);
        let other = with(r#"{"type":"host-local","ranges":[[{"subnet":"10.2.0.0/24"}]]}"#);
        let apart = with(r#"{"type":"host-local","dataDir":"/x","subnet":"10.3.0.0/24"}"#);
        let named = |networks: &[&NetworkConfig]| {
            remarks(networks.iter().enumerate().map(|(at, network)| (format!("ns/{at}"), *network)))
        };
        let told = named(&[&one, &other, &apart]);
        assert_eq!(
            told,
            [
                "networks ns/0 (10.1.0.0/24), ns/1 (10.2.0.0/24) have one name, \"x\", and different subnets: they share a pool of leases"
            ]
        );
        assert_eq!(named(&[&one, &one, &apart]), [""; 0]);
    }
}
