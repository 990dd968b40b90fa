//! Why the cluster could not be asked.

use crate::nad::{NadRef, PodRef};
use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

/// Why a question has no answer now. Every one of them can pass: the caller is told to try again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod is not there, or not yet seen.
    #[error("pod {0} does not exist")]
    NoSuchPod(PodRef),
    /// Only an older pod of that name is there.
    #[error("pod {pod} is not known yet: the known pod has UID {found}, the request is for {}", pod.uid().unwrap_or("any"))]
    OtherPod {
        /// Which one was asked for.
        pod: PodRef,
        /// Which one is there.
        found: String,
    },
    /// The folder of manifests cannot be read.
    #[error("network {nad} is not known: directory {} cannot be read", folder.display())]
    FolderUnread {
        /// Which one was asked for.
        nad: NadRef,
        /// The source directory.
        folder: PathBuf,
    },
    /// A manifest of the folder cannot be read, and it may be the one that has the network.
    #[error("network {nad} is in no manifest that can be read; {file}")]
    FileUnread {
        /// Which one was asked for.
        nad: NadRef,
        /// The file, and why it cannot be read.
        file: String,
    },
    /// The API server did not answer in time.
    #[error("{what}: no answer from the API server within {within:?}")]
    Deadline {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The API server does not let us.
    #[error("{what}: plexusd may not {permission}: {mend}")]
    Forbidden {
        /// What was asked.
        what: String,
        /// What has to be granted.
        permission: &'static str,
        /// What to do about it.
        mend: &'static str,
    },
    /// The API server cannot be reached, or said no.
    #[error("{what}: {reason}")]
    Api {
        /// What was asked.
        what: String,
        /// What it said.
        reason: String,
    },
}

/// What has to be granted to read pods.
pub(super) const READ_PODS: &str = "get, list and watch pods";

impl Error {
    /// Whether it is for want of a permission that pods cannot be read.
    pub fn hides_pods(&self) -> bool {
        matches!(self, Error::Forbidden { permission: READ_PODS, .. })
    }

    /// Whether it is for want of a permission.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Error::Forbidden { .. })
    }

    /// Says what to do where a permission is missing.
    #[must_use]
    pub(super) fn mended_by(self, mend: &'static str) -> Self {
        match self {
            Error::Forbidden { what, permission, .. } => Error::Forbidden { what, permission, mend },
            other => other,
        }
    }
}

/// Why the cluster cannot be reached at all, as we were told to reach it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The kubeconfig is missing or wrong.
    #[error("{}", of_kubeconfig(.0))]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Without one we have to be a pod of the cluster.
    #[error(
        "no cluster configuration: neither --kubeconfig nor $KUBECONFIG is set, and plexusd does not run in a pod: {0}"
    )]
    NoPod(#[from] kube::config::InClusterError),
    /// What they say cannot be used.
    #[error("the credentials or certificates cannot be used: {0}")]
    Credentials(String),
}

/// What is wrong with a kubeconfig: the file by its path, and the context by its name.
pub(super) fn of_kubeconfig(error: &kube::config::KubeconfigError) -> String {
    use kube::config::KubeconfigError as Error;
    match error {
        Error::ReadConfig(why, path) => format!("kubeconfig {}: {why}", path.display()),
        Error::CurrentContextNotSet => "kubeconfig: current-context is not set; name one with --context".to_owned(),
        Error::LoadContext(name) => format!("kubeconfig: there is no context {name:?}"),
        Error::LoadClusterOfContext(name) => {
            format!("kubeconfig: there is no cluster {name:?}, which the context names")
        }
        Error::FindPath => "kubeconfig: there is neither $KUBECONFIG nor ~/.kube/config".to_owned(),
        Error::MissingClusterUrl => "kubeconfig: the cluster of the context has no key server".to_owned(),
        other => format!("kubeconfig: {}", other.to_string().lines().next().unwrap_or_default()),
    }
}

/// What went wrong in one line, without what wraps it.
pub(super) fn reason(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        // No object is called so in this answer: the API server does not know the path.
        if status.code == 404 && status.message.contains("page not found") {
            return "the API server does not know this kind of objects: its CRD is not installed (for networks: `plexusctl crd | kubectl apply --server-side -f -`; for addresses: `kubectl apply --server-side -k crd/addresses`)".to_owned();
        }
        return status.message.clone();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.to_string() {
        // So a connection ends that is not made, or not secured, in time.
        text if text == "deadline has elapsed" => {
            "no connection was made in time: nothing answers there, or no TLS server".to_owned()
        }
        text => text,
    }
}

/// The same of an error that a watch went through.
pub(super) fn watch_reason(error: &kube::runtime::watcher::Error) -> String {
    use kube::runtime::watcher::Error;
    match error {
        Error::InitialListFailed(e) | Error::WatchStartFailed(e) | Error::WatchFailed(e) => reason(e),
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_named_as_a_person_writes_it() {
        let error = kube::config::Kubeconfig::read_from("/nonexistent/config").unwrap_err();
        assert_eq!(of_kubeconfig(&error), "kubeconfig /nonexistent/config: No such file or directory (os error 2)");
        let of = |error| ConfigurationError::Kubeconfig(error).to_string();
        assert_eq!(
            of(kube::config::KubeconfigError::LoadContext("prod".to_owned())),
            "kubeconfig: there is no context \"prod\""
        );
    }
}
