//! Which pods have addresses of pools by the records of this node.

use crate::cni::{AddResult, NetworkConfig, Version};
use crate::delegate::ipam::{asked_by, leased};
use crate::ipam::PoolName;
use crate::store::{Attachment, Record, State};
use std::net::IpAddr;

/// An attachment with an address of a pool, by the records.
pub struct Recorded {
    /// The pool.
    pub pool: PoolName,
    /// The address.
    pub address: IpAddr,
    /// The ID of the sandbox.
    pub container: String,
    /// The interface in the sandbox.
    pub ifname: String,
    /// The pod; the ID of the sandbox where the runtime did not pass it.
    pub pod: String,
    /// Whether it is attached, and not owed.
    pub is_attached: bool,
    /// Whether the pod asked for this address, or gets those that are kept for it.
    pub is_asked_for: bool,
}

/// Every address of a pool in `records`.
pub fn recorded(records: &[Record]) -> Vec<Recorded> {
    records.iter().flat_map(|record| record.attachments.iter().flat_map(move |one| of(record, one))).collect()
}

fn of(record: &Record, attachment: &Attachment) -> Vec<Recorded> {
    let Ok(network) = NetworkConfig::parse(attachment.config.get(), None) else { return Vec::new() };
    let pools = leased::pools(&network);
    let [pool] = pools.as_slice() else { return Vec::new() };
    let result = attachment.result.as_ref().and_then(|raw| AddResult::parse(raw.get(), Version::NEWEST).ok());
    let is_sticky = network.plugins.iter().any(|plugin| leased::sticky_pool(plugin).is_some());
    let asked = asked_by(&network, &attachment.capability_args, &attachment.args);
    let recorded = |address| Recorded {
        pool: pool.clone(),
        address,
        container: record.container_id.to_string(),
        ifname: attachment.ifname.to_string(),
        pod: record.pod.as_ref().map_or_else(|| record.container_id.to_string(), ToString::to_string),
        is_attached: attachment.state == State::Attached,
        is_asked_for: is_sticky || asked.contains(&address),
    };
    result.into_iter().flat_map(|result| result.ips).map(|ip| recorded(ip.address.addr())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The record of a pod with 10.0.0.9, whose attachment has `more`.
    fn asked(ipam: &serde_json::Value, more: &serde_json::Value) -> bool {
        let config =
            json!({"cniVersion": "1.0.0", "name": "n", "type": "macvlan", "ipam": ipam, "args": more["cniArgs"]});
        let mut attachment = json!({"call": "eth0", "network": "ns/n", "ifname": "net1", "state": "attached", "config": config,
            "result": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]}});
        for key in ["capabilityArgs", "args"] {
            if !more[key].is_null() {
                attachment[key] = more[key].clone();
            }
        }
        let record = json!({"version": 1, "containerId": "c", "pod": null, "attachments": [attachment]});
        let all = recorded(&[serde_json::from_value(record).unwrap()]);
        assert_eq!((all.len(), all[0].address.to_string().as_str()), (1, "10.0.0.9"));
        all[0].is_asked_for
    }

    #[test]
    fn a_record_has_what_the_pod_asked_for() {
        let pool = json!({"type": "plexus-ipam", "pool": "lan"});
        assert!(!asked(&pool, &json!({"args": "IgnoreUnknown=1;K8S_POD_NAME=p"})));
        assert!(!asked(&pool, &json!({"capabilityArgs": {"ips": ["10.0.0.8/24"]}})), "another one");
        assert!(asked(&pool, &json!({"capabilityArgs": {"ips": ["10.0.0.9/24"]}})));
        assert!(asked(&pool, &json!({"args": "IgnoreUnknown=1;IP=fd00::9,10.0.0.9"})));
        assert!(asked(&pool, &json!({"cniArgs": {"cni": {"ips": ["10.0.0.9"]}}})));
        assert!(asked(&json!({"type": "plexus-ipam", "pool": "lan", "sticky": true}), &json!({})));
    }
}
