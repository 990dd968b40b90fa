//! What is said on the daemon's socket: one JSON document a line.
//!
//! Whoever connects says [`Request::Hello`] first and may send its question at once; the daemon
//! answers each line with one line. Unknown members are passed over and an unknown request is
//! answered [`Reply::Unsupported`], so that neighbouring releases work together.

use crate::api::Cached;
use crate::cni::ContainerId;
use crate::ipam::PoolName;
use crate::ipam::reservation::Whose;
use crate::nad::{Definition, NadRef, PodRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// A longer line is refused by both sides. Annotations of 256 KiB and dozens of NADs fit.
pub const MAX_LINE: usize = 4 << 20;
/// The name of the daemon's remark that its directory of manifests cannot be read.
pub const SOURCE_DIRECTORY: &str = "source-directory";

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `plexus`, `plexusd` or `plexusctl`.
    pub program: String,
    /// See [`VERSION`].
    pub version: u32,
}

impl Hello {
    /// The greeting of `program`.
    pub fn from_program(program: &str) -> Self {
        Hello { program: program.to_owned(), version: VERSION }
    }
}

/// A line to the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Comes first.
    Hello(Hello),
    /// What must be known to attach a pod?
    Facts(FactsRequest),
    /// The publication of this sandbox is in its folder: publish it, answer when it is done.
    Publish(ContainerId),
    /// This node needs more of a pool of addresses: lease it, and answer when it is granted.
    Lease(LeaseRequest),
    /// How is the daemon?
    Health {
        /// Test the admission policy before: a person asks, who may have just changed it. A former daemon ignores this.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        test: bool,
    },
    /// What does the daemon know?
    Cached {},
    /// What does the daemon count?
    Metrics {},
    /// Which of these pools of addresses give this node no new address? Nothing is leased.
    Pools(Vec<PoolName>),
}

/// A line from the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Facts`].
    Facts(Facts),
    /// To [`Request::Publish`].
    Published(Published),
    /// To [`Request::Lease`]: the grant is written.
    Leased {
        /// What is kept for the pod that asks, where it asks for that.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<IpAddr>,
    },
    /// To [`Request::Health`].
    Health(Health),
    /// To [`Request::Cached`].
    Cached(Cached),
    /// To [`Request::Metrics`]: what `/metrics` answers.
    Metrics(String),
    /// To [`Request::Pools`]: their names, each with the reason.
    Pools(BTreeMap<String, String>),
    /// The request is not known to this daemon.
    Unsupported(String),
    /// The question cannot be answered now: one line for a person. The caller should try again.
    Unavailable(String),
    /// The question will never be answered as it is: one line for a person. To a [`Request::Lease`] that asks for what is kept.
    Refused(String),
}

impl Reply {
    /// What it answers, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Reply::Hello(_) => "hello",
            Reply::Facts(_) => "facts",
            Reply::Published(_) => "published",
            Reply::Leased { .. } => "leased",
            Reply::Health(_) => "health",
            Reply::Cached(_) => "cached",
            Reply::Metrics(_) => "metrics",
            Reply::Pools(_) => "pools",
            Reply::Unsupported(_) => "unsupported",
            Reply::Unavailable(_) => "unavailable",
            Reply::Refused(_) => "refused",
        }
    }
}

/// What this node needs of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRequest {
    /// The pool.
    pub pool: PoolName,
    /// The families (4, 6) of which no address is free; none where a confirmation is needed.
    #[serde(default)]
    pub families: Vec<u8>,
    /// One of these addresses is needed, each from the first to the last: of a pool that has no object with ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<(IpAddr, IpAddr)>,
    /// The addresses that are kept for this interface are needed, wherever it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_for: Option<Whose>,
    /// Reserved addresses that others have on this node: none of them is kept for it from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<IpAddr>,
    /// The boot ID that the plugin sees: the daemon in its container may see another one, where a container is the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
}

/// What a call must know of a pod and its networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactsRequest {
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRef>,
    /// The runtime did not hand over the pod's annotations: answer with them, and with the networks they name.
    #[serde(default)]
    pub annotations_wanted: bool,
    /// Where the default-network annotation looks without a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_network_namespace: Option<String>,
    /// Networks that are known to be needed.
    #[serde(default)]
    pub networks: Vec<NadRef>,
    /// Networks of which the plugin has copies: the daemon leaves word of what becomes of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<NadRef>,
    /// No pod is waiting for the answer: a tool looks at pod and networks as they are now. The daemon waits for no network
    /// that could have been made a moment ago. The question changes neither its readiness nor what it watches. A former
    /// daemon ignores this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inspection: bool,
}

impl FactsRequest {
    /// A tool's question about `networks`, and about `pod` with its annotations. The only one that a tool asks.
    pub fn of_tool(pod: Option<PodRef>, networks: Vec<NadRef>) -> Self {
        FactsRequest { annotations_wanted: pod.is_some(), pod, networks, inspection: true, ..FactsRequest::default() }
    }
}

/// The answer to a [`FactsRequest`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The pod's annotations that are ours to read; none unless they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The definitions of the networks, each once.
    #[serde(default)]
    pub definitions: Vec<Definition>,
    /// Networks of which it is certain that they do not exist.
    #[serde(default)]
    pub missing: Vec<NadRef>,
    /// Of some of them the network of the same namespace that is probably meant. A former daemon does not tell it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meant: Vec<(NadRef, NadRef)>,
    /// Devices allocated to the pod, by resource, in the order in which they are to be used. Only
    /// where a definition names a resource.
    #[serde(default)]
    pub devices: BTreeMap<String, Vec<String>>,
}

/// How a publication ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Published {
    /// The pod has it.
    Written,
    /// The pod is gone; there is nothing to do.
    Gone,
    /// Not yet: it is retried.
    Retrying(String),
    /// Refused by policy; it is not retried.
    Refused(String),
}

/// The daemon's state, as `/readyz` and the CLI tell it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The daemon's release.
    pub release: String,
    /// Every readiness check passes.
    pub ready: bool,
    /// The readiness checks by name, each with the reason if it does not pass, otherwise empty.
    pub guards: BTreeMap<String, String>,
    /// Remarks for the operator by name. The daemon can be ready nevertheless.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, String>,
    /// The number of NADs in the daemon's memory.
    pub definitions: usize,
    /// The number of network-statuses that the daemon has to write.
    pub unpublished: usize,
    /// The age of the last STATUS call of the runtime, in seconds; absent if the daemon heard of none. Some runtimes call
    /// STATUS every few seconds, others never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_age: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_documented() {
        let line = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(
            line(&Request::Hello(Hello::from_program("plexus"))),
            r#"{"hello":{"program":"plexus","version":1}}"#
        );
        assert_eq!(line(&Request::Publish(ContainerId::new("c").unwrap())), r#"{"publish":"c"}"#);
        assert_eq!(line(&Request::Health { test: false }), r#"{"health":{}}"#);
    }

    #[test]
    fn unknown_members_are_passed_over() {
        // FAULT-8
        let facts: Request =
            serde_json::from_str(r#"{"facts":{"future":1,"networks":[{"namespace":"a","name":"b","x":1}]}}"#).unwrap();
        assert!(matches!(facts, Request::Facts(facts) if facts.networks.len() == 1 && !facts.annotations_wanted));
        // A plugin of a former release only names the pool, one of a later release says more.
        for text in [r#"{"lease":{"pool":"lan"}}"#, r#"{"lease":{"pool":"lan","families":[],"future":1}}"#] {
            let lease: Request = serde_json::from_str(text).unwrap();
            assert!(matches!(lease, Request::Lease(lease) if lease.pool.as_str() == "lan" && lease.within.is_empty()));
        }
    }
}
