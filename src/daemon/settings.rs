//! What the daemon is told at its start: by options or by the environment, nothing else.

use crate::api::{RunDirectory, StateDirectory};
use crate::cluster::{self, Access, Cluster};
use crate::keeper::POD_RESOURCES_SOCKET;
use crate::nad::PodRef;
use anyhow::Context;
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing_subscriber::filter::LevelFilter;

/// The Plexus daemon: provides the plugin with pods and networks, and writes network-status.
#[derive(Clone, Debug, Parser)]
#[command(name = "plexusd", version)]
pub struct Settings {
    /// Directory with the plugin's records; with --source-directory a network-status file is kept as long as its record
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", default_value = StateDirectory::DEFAULT, value_name = "DIRECTORY")]
    pub state_directory: PathBuf,

    /// Directory with the socket and the network-status updates that wait
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", default_value = RunDirectory::DEFAULT, value_name = "DIRECTORY")]
    pub run_directory: PathBuf,

    /// Path of the kubeconfig; default: $KUBECONFIG, then the pod's service account
    #[arg(long, env = "PLEXUS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of this node in the cluster; default: $NODE_NAME, then the host name
    #[arg(long, env = "PLEXUS_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Read pods and NetworkAttachmentDefinitions from the manifests in this directory instead of the API server
    #[arg(long, env = "PLEXUS_SOURCE_DIRECTORY", value_name = "DIRECTORY")]
    pub source_directory: Option<PathBuf>,

    /// Socket of the kubelet's pod-resources API, which reports the devices of pods
    #[arg(long, env = "PLEXUS_POD_RESOURCES_SOCKET", default_value = POD_RESOURCES_SOCKET, value_name = "SOCKET")]
    pub pod_resources_socket: PathBuf,

    /// CNI configuration directory of the runtime: the daemon restores Plexus' file there, at most three times an hour;
    /// without it nothing is restored
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", value_name = "DIRECTORY")]
    pub cni_conf_dir: Option<PathBuf>,

    /// Plugin directory of the runtime: the daemon restores the plugin in the same way
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", value_name = "DIRECTORY", requires = "cni_conf_dir")]
    pub cni_bin_dir: Option<PathBuf>,

    /// Be the controller of addresses instead: free the blocks of nodes that were removed. It needs no node
    #[arg(long, env = "PLEXUS_ADDRESS_CONTROLLER", conflicts_with = "source_directory")]
    pub address_controller: bool,

    /// Name of the daemon's own pod, on which it tests whether the admission policy protects its token
    #[arg(long, env = "PLEXUS_POD_NAME", value_name = "NAME", requires = "pod_namespace")]
    pub pod_name: Option<String>,

    /// Namespace of that pod
    #[arg(long, env = "PLEXUS_POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// Write no network-status, and be not ready, unless that test finds the policy
    #[arg(long, env = "PLEXUS_REQUIRE_POLICY", requires = "pod_name")]
    pub require_policy: bool,

    /// Address for /metrics, /healthz and /readyz; without it the daemon opens no port
    #[arg(long, env = "PLEXUS_METRICS_ADDRESS", value_name = "ADDRESS:PORT", value_parser = address)]
    pub metrics_address: Option<SocketAddr>,

    /// Serve them with TLS, and only to holders of a token that may get the path /metrics (for a scraper outside of the node)
    #[arg(long, env = "PLEXUS_METRICS_AUTHORIZATION", requires = "metrics_address")]
    pub metrics_authorization: bool,

    /// Time that the API server keeps a watch open; a silent, broken connection is noticed soon after it
    #[arg(long, env = "PLEXUS_WATCH_SECONDS", default_value_t = cluster::WATCH_SECONDS, value_name = "SECONDS")]
    pub watch_seconds: u32,

    /// Pause before a network-status that a policy denied is tried again
    #[arg(long, env = "PLEXUS_DENIED_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub denied_seconds: u32,

    /// Format of log lines
    #[arg(long, env = "PLEXUS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Log level: off, error, warn, info, debug or trace
    #[arg(long, env = "PLEXUS_LOG_LEVEL", default_value = "info", value_name = "LEVEL", value_parser = log_level)]
    pub log_level: LevelFilter,
}

/// An address and a port. IPv6 needs no brackets: a manifest only knows the node's address, whatever its family.
fn address(text: &str) -> Result<SocketAddr, String> {
    let without_brackets = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    text.parse()
        .ok()
        .or_else(without_brackets)
        .ok_or_else(|| "expected an IP address and a port, as 10.0.0.1:9472".to_owned())
}

/// The level `text`, by its name here or in the plugin's configuration.
fn log_level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "warning" => Ok(LevelFilter::WARN),
        "verbose" => Ok(LevelFilter::INFO),
        _ => text.parse().map_err(|_| "expected off, error, warn, info, debug or trace".to_owned()),
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object for each line
    Json,
    /// Human-readable lines
    Text,
}

impl Settings {
    /// The state directory's layout.
    pub fn state_directory(&self) -> StateDirectory {
        StateDirectory::new(&self.state_directory)
    }

    /// The run directory's layout.
    pub fn run_directory(&self) -> RunDirectory {
        RunDirectory::new(&self.run_directory)
    }

    /// The cluster that the settings name.
    pub(super) async fn cluster(&self) -> anyhow::Result<Cluster> {
        let (state, run) = (self.state_directory(), self.run_directory());
        if let Some(folder) = &self.source_directory {
            return Ok(Cluster::in_directory(folder.clone(), state, run));
        }
        let access = Access::open(self.kubeconfig.clone()).await.context("reach the cluster")?;
        let cluster = Cluster::in_kubernetes(access, self.node_name()?, self.watch_seconds, state, run);
        Ok(cluster.with_canary(self.own_pod()?, self.require_policy))
    }

    fn own_pod(&self) -> anyhow::Result<Option<PodRef>> {
        let (Some(namespace), Some(name)) = (&self.pod_namespace, &self.pod_name) else { return Ok(None) };
        PodRef::new(namespace, name, None).map(Some).context("read the pod of this daemon")
    }

    /// What tells this process from others of its kind.
    pub(super) fn identity(&self) -> anyhow::Result<String> {
        self.pod_name.clone().map_or_else(|| self.node_name(), Ok)
    }

    fn node_name(&self) -> anyhow::Result<String> {
        if let Some(name) = self.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok()) {
            return Ok(name);
        }
        let name = nix::unistd::gethostname().context("read the host name")?;
        Ok(name.to_string_lossy().to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_layout() {
        let settings = Settings::try_parse_from(["plexusd"]).unwrap();
        assert_eq!(settings.state_directory(), StateDirectory::default());
        assert_eq!(settings.run_directory(), RunDirectory::default());
        assert_eq!((settings.log_format, settings.log_level), (LogFormat::Json, LevelFilter::INFO));
    }

    #[test]
    fn an_address_of_either_family_is_read() {
        for (text, read) in [
            ("192.0.2.1:9472", "192.0.2.1:9472"),
            ("[2001:db8::1]:9472", "[2001:db8::1]:9472"),
            ("2001:db8::1:9472", "[2001:db8::1]:9472"),
        ] {
            assert_eq!(address(text).unwrap(), read.parse().unwrap());
        }
        for bad in ["9472", ":9472", "node:9472", "192.0.2.1", "2001:db8::1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (bad, named) in [
            ("--metrics-address=9000", "--metrics-address"),
            ("--log-format=xml", "json"),
            ("--log-level=loud", "--log-level"),
        ] {
            let error = Settings::try_parse_from(["plexusd", bad]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
