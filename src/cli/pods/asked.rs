//! The pod that a person asks for, and who can answer.

use super::{DEFAULT_NAMESPACE, named};
use crate::cli::Error;
use crate::cli::kubeconfig::{ClusterAccess, namespace};
use crate::cluster::Inquiry;
use clap::Args;

/// How a command line names a pod of a cluster.
#[derive(Debug, Args)]
pub struct PodOption {
    /// The pod: NAMESPACE/NAME, or NAME
    #[arg(value_name = "POD")]
    pod: String,

    /// Namespace of the pod [default: that of the context]
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,

    #[command(flatten)]
    access: ClusterAccess,
}

/// The pod, and its cluster.
pub struct Asked {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The cluster, or why it cannot be asked.
    pub inquiry: Result<Inquiry, String>,
}

impl PodOption {
    /// Finds both. A node has something to show without the API server, unless the command line names a cluster.
    ///
    /// # Errors
    /// The cluster cannot be asked, and this is no node; no pod can have that name.
    pub fn find(&self, is_node: bool) -> Result<Asked, Error> {
        let inquiry = match self.access.open() {
            Ok(inquiry) => Ok(inquiry),
            Err(e) if is_node && !self.access.is_given() => Err(e.to_string()),
            Err(e) => return Err(e),
        };
        let of_context = inquiry.as_ref().map_or(DEFAULT_NAMESPACE, |inquiry| inquiry.namespace());
        let (namespace, name) = named(&self.pod, self.namespace.as_deref().unwrap_or(of_context))?;
        Ok(Asked { namespace, name, inquiry })
    }
}
