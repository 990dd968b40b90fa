//! One call of the plugin's program: what it was called with, and what it works with.

use super::settings::{LogLevel, Settings};
use crate::cni::invocation::Target;
use crate::cni::trace_context::TraceId;
use crate::cni::{CniError, Code, Invocation, NetworkConfig};
use crate::delegate::Registry;
use crate::facts::{KeptClient, NodeBlocks};
use crate::nad::PodRef;
use crate::store::Store;
use crate::sys::netns::{self, Netns};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A call, its configuration, and the side effects' owners.
#[derive(Debug)]
pub struct Turn {
    /// The environment.
    pub invocation: Invocation,
    /// The configuration.
    pub settings: Settings,
    /// Who runs plugins.
    pub registry: Registry,
    /// The records.
    pub store: Store,
    /// The connection to the daemon.
    pub daemon: KeptClient,
    /// When the process began to work.
    pub began: Instant,
    /// The distributed trace to which the call belongs, if the runtime names one.
    pub trace: Option<TraceId>,
    /// Nothing is attached, and nothing may be written: it is only planned.
    pub is_rehearsal: bool,
    /// The namespace that was opened first.
    netns: OnceLock<Arc<Netns>>,
}

impl Turn {
    /// The call of `invocation` with `settings`.
    pub fn new(invocation: Invocation, settings: Settings) -> Self {
        Turn {
            registry: Registry::new(settings.natives.clone())
                .with_lessor(Arc::new(NodeBlocks::new(settings.state.clone(), settings.run.clone()))),
            store: Store::new(&settings.state),
            daemon: KeptClient::default(),
            began: Instant::now(),
            trace: None,
            is_rehearsal: false,
            netns: OnceLock::new(),
            invocation,
            settings,
        }
    }

    /// The namespace at `path`; that of the call is opened once.
    ///
    /// # Errors
    /// As [`Netns::open`].
    pub fn netns(&self, path: &Path) -> Result<Arc<Netns>, netns::Error> {
        if let Some(known) = self.netns.get().filter(|known| known.path() == path) {
            return Ok(Arc::clone(known));
        }
        let opened = Arc::new(Netns::open(path)?);
        // Another one may be kept already.
        let _ = self.netns.set(Arc::clone(&opened));
        Ok(opened)
    }

    /// As [`Turn::new`] to plan what a call would do. It logs nothing: its caller reports.
    pub fn rehearsal(invocation: Invocation, mut settings: Settings) -> Self {
        settings.log_level = LogLevel::Off;
        Turn { is_rehearsal: true, ..Turn::new(invocation, settings) }
    }

    /// Whether this is not the node of the pod: nothing of this machine matters then.
    pub fn is_elsewhere(&self) -> bool {
        self.is_rehearsal && self.invocation.target.as_ref().is_none_or(|target| target.netns.is_none())
    }

    /// The attachment the call is about.
    ///
    /// # Errors
    /// The verb is about none; reading the environment has refused that already.
    pub fn target(&self) -> Result<&Target, CniError> {
        self.invocation.target.as_ref().ok_or_else(|| CniError::new(Code::Environment, "the call names no container"))
    }

    /// The pod, as the runtime names it in `CNI_ARGS`; none where it names none, or one that cannot exist.
    pub fn pod(&self) -> Option<PodRef> {
        self.named_pod().ok().flatten()
    }

    /// As [`Turn::pod`], where the pod's networks must not be lost.
    ///
    /// # Errors
    /// Code 11: it is a name that no pod can have.
    pub fn named_pod(&self) -> Result<Option<PodRef>, CniError> {
        let get = |key| self.invocation.args.get(key);
        let (Some(namespace), Some(name)) = (get("K8S_POD_NAMESPACE"), get("K8S_POD_NAME")) else { return Ok(None) };
        let pod = PodRef::new(namespace, name, get("K8S_POD_UID"));
        pod.map(Some).map_err(|e| CniError::new(Code::TryAgain, format!("CNI_ARGS: {e}")))
    }

    /// Where plugins are looked for: `extraPluginDir`, then `CNI_PATH`, or the usual folder.
    pub fn path(&self) -> Vec<PathBuf> {
        let configured = self.settings.bin_dir.iter().cloned();
        let mut path: Vec<PathBuf> = configured.chain(self.invocation.path.iter().cloned()).collect();
        if path.is_empty() {
            path.push("/opt/cni/bin".into());
        }
        path
    }

    /// When a call for the whole sandbox must be over: `budget` after its begin.
    pub fn until(&self, budget: Duration) -> Instant {
        self.began + budget
    }

    /// What is left of `budget`, see [`Turn::until`].
    pub fn left(&self, budget: Duration) -> Duration {
        self.until(budget).saturating_duration_since(Instant::now())
    }

    /// Tells an operator something on stderr, if the configured level asks for it.
    pub fn log(&self, level: LogLevel, text: impl Display) {
        if level <= self.settings.log_level {
            let call =
                self.invocation.target.as_ref().map(|target| format!(" {} {}", target.container_id, target.ifname));
            let pod = self.pod().map(|pod| format!(" of pod {pod}")).unwrap_or_default();
            let trace = self.trace.map(|trace| format!(", trace {trace}")).unwrap_or_default();
            let call = call.unwrap_or_default();
            crate::sys::tell(format_args!("plexus {}{call}{pod}{trace}: {text}", self.invocation.verb));
        }
    }

    /// Something went wrong and was survived.
    pub fn warn(&self, text: impl Display) {
        self.log(LogLevel::Error, text);
    }

    /// Tells at level debug who runs the plugins of `network`: what nobody can see from outside.
    pub fn log_runners(&self, network: &NetworkConfig) {
        if self.settings.log_level < LogLevel::Debug {
            return;
        }
        for plugin in &network.plugins {
            let runners = self.registry.runners(plugin);
            let ipam = plugin.ipam.as_ref().zip(runners.ipam);
            let ipam = ipam.map_or_else(String::new, |(kind, runner)| format!(", {kind} {runner}"));
            self.log(LogLevel::Debug, format!("network {}: {} {}{ipam}", network.name, plugin.kind, runners.main));
        }
    }
}
