//! What the kernel has of what a record contains. Nothing is changed.

use crate::cli::runs_as::Plugin;
use crate::cni::NetworkConfig;
use crate::delegate::Registry;
use crate::store::{Attachment, Record, State};
use crate::sys::capabilities::may_change_networks;
use crate::sys::netlink::Socket;
use crate::sys::netns::Netns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One network: its record, compared with the kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The interface.
    pub interface: String,
    /// `<namespace>/<NAD>`, or the name of the default network.
    pub network: String,
    /// `planned`, `attached` or `owed`.
    pub state: State,
    /// The plugins, in their order.
    pub plugins: String,
    /// The way each of them runs now: inside Plexus, or as a program.
    #[serde(rename = "runsAs", default)]
    pub runs_as: Vec<Plugin>,
    /// The differences from the record; empty for none.
    pub drift: Vec<String>,
    /// The reason if the kernel was not looked at; null if it was.
    pub unseen: Option<String>,
    /// The error of the failed removal; null for none.
    pub debt: Option<String>,
}

/// What is read of a link and its addresses.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its hardware address; none where there is no such link.
    pub mac: Option<String>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<String>,
}

/// Compares `record` with the kernel; `registry` is by what plugins run on this node.
pub fn compare(record: &Record, registry: &Registry) -> Vec<Compared> {
    let path = record.netns.as_deref();
    let socket = path.ok_or_else(|| "the record has no network namespace".to_owned()).and_then(|path| {
        if !may_change_networks() {
            return Err("this process may not look into the network namespaces of pods".to_owned());
        }
        let netns = Netns::open(path).map_err(|e| e.to_string())?;
        Socket::in_netns(&netns).map_err(|e| e.to_string())
    });
    let (mut socket, unseen) = match socket {
        Ok(socket) => (Some(socket), None),
        Err(why) => (None, Some(why)),
    };
    let one = |attachment: &Attachment| {
        let seen = match (socket.as_mut(), &unseen) {
            (Some(socket), _) => look(socket, attachment.ifname.as_str()),
            (None, why) => Err(why.clone().unwrap_or_default()),
        };
        let config = NetworkConfig::parse(attachment.config.get(), None).ok();
        Compared {
            interface: attachment.ifname.to_string(),
            network: attachment.network.clone(),
            state: attachment.state,
            plugins: config.as_ref().map(NetworkConfig::kinds).unwrap_or_default(),
            runs_as: config.iter().flat_map(|one| &one.plugins).map(|one| Plugin::of(one, registry)).collect(),
            drift: seen.as_ref().map(|seen| drift(attachment, seen)).unwrap_or_default(),
            unseen: seen.err(),
            debt: attachment.debt.as_ref().map(|debt| debt.error.clone()),
        }
    };
    record.attachments.iter().map(one).collect()
}

fn look(socket: &mut Socket, name: &str) -> Result<Seen, String> {
    let Some(link) = socket.link_by_name(name).map_err(|e| e.to_string())? else { return Ok(Seen::default()) };
    let addresses = socket.addresses(Some(link.index)).map_err(|e| e.to_string())?;
    Ok(Seen {
        mac: Some(link.mac.to_string()),
        addresses: addresses.into_iter().map(|address| address.net.to_string()).collect(),
    })
}

/// What differs. Only what the result of ADD names is compared.
pub fn drift(attachment: &Attachment, seen: &Seen) -> Vec<String> {
    let Some(result) = attachment.add_result() else { return Vec::new() };
    let name = attachment.ifname.as_str();
    let inside = result.interfaces.iter().find(|one| !one.sandbox.is_empty() && one.name == name);
    let Some(mac) = &seen.mac else {
        // A plugin may configure something else than an interface.
        return inside.map(|_| format!("there is no interface {name}")).into_iter().collect();
    };
    let mut drift = Vec::new();
    if let Some(told) = inside.map(|one| &one.mac).filter(|told| !told.is_empty() && !told.eq_ignore_ascii_case(mac)) {
        drift.push(format!("MAC is {mac} instead of {told}"));
    }
    let told = result.ips.iter().filter(|ip| result.interface_of(ip).is_none_or(|one| one.name == name));
    let lost = told.map(|ip| ip.address.to_string()).filter(|address| !seen.addresses.contains(address));
    drift.extend(lost.map(|address| format!("address {address} is gone")));
    drift
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named() {
        let text = json!({"call": "eth0", "network": "n/a", "ifname": "net1", "state": "attached",
            "config": {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]},
            "result": {"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:0A", "sandbox": "/x"}],
                "ips": [{"address": "10.0.0.7/24", "interface": 0}]}});
        let attachment: Attachment = serde_json::from_str(&text.to_string()).unwrap();
        let seen = |mac: Option<&str>, addresses: &[&str]| Seen {
            mac: mac.map(str::to_owned),
            addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(drift(&attachment, &seen(Some("02:00:00:00:00:0a"), &["10.0.0.7/24", "fe80::1/64"])), [""; 0]);
        assert_eq!(drift(&attachment, &seen(None, &[])), ["there is no interface net1"]);
        assert_eq!(
            drift(&attachment, &seen(Some("02:00:00:00:00:0b"), &[])),
            ["MAC is 02:00:00:00:00:0b instead of 02:00:00:00:00:0A", "address 10.0.0.7/24 is gone"]
        );
    }
}
