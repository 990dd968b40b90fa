//! Which cluster a command asks, by the options that kubectl has.

use super::Error;
use crate::cluster::Inquiry;
use crate::nad::is_dns_label;
use clap::Args;
use std::path::PathBuf;

/// The value of an option that names a namespace: the API server takes nothing else, and `..` in a path would ask for another one.
///
/// # Errors
/// No namespace can have that name.
pub fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) { Ok(text.to_owned()) } else { Err("no namespace can have this name".to_owned()) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_label() {
        assert_eq!(namespace("kube-system").unwrap(), "kube-system");
        for text in ["", "..", "a/b", "A", "a.b", "*", &"a".repeat(64)] {
            assert!(namespace(text).is_err(), "{text}");
        }
    }
}
