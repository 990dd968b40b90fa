//! Which cluster a command asks, by the options that kubectl has.

use super::Error;
use crate::cluster::Inquiry;
use clap::Args;
use std::path::PathBuf;

/// The options.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterAccess {
    /// Kubeconfig of the cluster [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterAccess {
    /// Whether the command line names a cluster.
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// Whether there is a kubeconfig where kubectl looks for one.
    pub fn is_configured() -> bool {
        let set = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty());
        let of_home = set("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
        set("KUBECONFIG").is_some() || of_home.is_some_and(|path| path.exists())
    }

    /// The way to that cluster.
    ///
    /// # Errors
    /// See [`Inquiry::open`].
    pub fn open(&self) -> Result<Inquiry, Error> {
        Ok(Inquiry::open(self.kubeconfig.as_deref(), self.context.as_deref())?)
    }
}
