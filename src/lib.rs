//! Plexus attaches Kubernetes pods to several networks: a delegating CNI plugin that does the
//! node's work, a daemon that knows the cluster, and a tool for whoever operates them.
//!
//! | module | what |
//! |---|---|
//! | [`cni`] | the CNI protocol: invocation, configuration, result, versions, errors. Pure |
//! | [`nad`] | the NPWG standard: definition, selection, network status. Pure |
//! | [`ipam`] | addresses that are unique in the cluster: pools, blocks, who may take an address. Pure |
//! | [`sys`] | the machine: namespaces, netlink, processes, files. Knows nothing of CNI |
//! | [`delegate`] | one CNI plugin, a program or in process, and chains of them |
//! | [`store`] | the record of what is attached on this node |
//! | [`api`] | the words between plugin, CLI and daemon |
//! | [`facts`] | what a call must know of its pod and networks |
//! | [`engine`] | the verbs |
//! | `cluster` | pods and definitions from Kubernetes or a folder; publishing |
//! | `grpc` | one question over a unix socket, to the kubelet or a runtime |
//! | `keeper` | what others displace of the installation is put back; root's part of the DaemonSet |
//! | `daemon` | the daemon's wiring |
//! | `cli` | one file or folder a subcommand |
//!
//! Who may use whom is in `ARCHITECTURE.md` and enforced by `tests/modules.rs`.

#![cfg_attr(not(test), deny(clippy::disallowed_macros, clippy::disallowed_methods))]

pub mod api;
#[cfg(feature = "cluster")]
pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod cni;
#[cfg(feature = "cluster")]
pub mod daemon;
pub mod delegate;
pub mod engine;
pub mod facts;
#[cfg(feature = "cluster")]
pub mod grpc;
pub mod ipam;
#[cfg(feature = "cluster")]
pub mod keeper;
pub mod nad;
pub mod store;
pub mod sys;
