//! Why the cluster could not be asked.

use crate::nad::{NadRef, PodRef};
use std::path::PathBuf;
use std::time::Duration;

/// Why a question has no answer now. Every one of them can pass: the caller is told to try again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod is not there, or not yet seen.
    #[error("pod {0} does not exist")]
    NoSuchPod(PodRef),
    /// Only an older pod of that name is there.
    #[error("pod {pod} is not known yet: the one of that name has uid {found}, asked is {}", pod.uid.as_deref().unwrap_or("any"))]
    OtherPod {
        /// Which one was asked for.
        pod: PodRef,
        /// Which one is there.
        found: String,
    },
    /// A name that no pod can have.
    #[error("{0} is not a name that a pod can have")]
    InvalidPod(PodRef),
    /// The folder of manifests was never read.
    #[error("network {nad} is not known: folder {} cannot be read", folder.display())]
    FolderUnread {
        /// Which one was asked for.
        nad: NadRef,
        /// The source directory.
        folder: PathBuf,
    },
}

/// How long a question waits for what is on its way.
pub(crate) const POD_PATIENCE: Duration = Duration::from_millis(1000);
