//! One CNI plugin, in this process or a program on disk, and chains of them.

pub mod chain;
pub mod error;
pub mod external;
pub mod failure;
pub mod ipam;
pub mod keys;
pub mod kinds;
pub mod measure;
pub mod native;
mod on_link;
mod poll;
pub mod prepare;
pub mod registry;
pub mod remarks;
pub mod stdin;
pub mod wire;

pub use chain::Chain;
pub use error::Error;
pub use prepare::{Ground, Reached, SeenLinks};
pub use registry::Registry;

use crate::cni::{CniArgs, ContainerId, IfName, PluginConfig};
use crate::sys::lock::FileLock;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A CNI plugin.
///
/// Every verb may be called again: what is already as it should be is success.
pub trait Delegate: Send + Sync {
    /// Whether it is a program on disk.
    fn is_program(&self) -> bool {
        false
    }

    /// Judges what ADD will be called with, and makes nothing. A program cannot be asked.
    ///
    /// # Errors
    /// ADD could not succeed.
    fn prepare(&self, _call: &Call<'_>, _ground: &mut Ground<'_>) -> Result<Reached, Error> {
        Ok(None)
    }

    /// Attaches; answers the result as JSON in the version of the configuration.
    ///
    /// # Errors
    /// Nothing is promised about what is left: the caller follows with [`Delegate::del`].
    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Error>;

    /// Detaches. Succeeds when there is nothing left, with or without a namespace (CNI-DEL-03, CNI-DEL-04).
    ///
    /// # Errors
    /// Something is left and has to be deleted later.
    fn del(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Is what ADD made still there?
    ///
    /// # Errors
    /// It is not, or cannot be looked at.
    fn check(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Could something be attached?
    ///
    /// # Errors
    /// Not now (codes 50 and 51).
    fn status(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Frees what belongs to no valid attachment.
    ///
    /// # Errors
    /// Some of it could not be freed.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error>;
}

/// What all calls for one attachment have in common.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The container; none on STATUS and GC.
    pub container_id: Option<&'a ContainerId>,
    /// The interface; none on STATUS and GC.
    pub ifname: Option<&'a IfName>,
    /// The namespace; none where it is gone or not concerned.
    pub netns: Option<&'a Path>,
    /// `CNI_ARGS` of this attachment, the same on every verb (CNI-ARG-02).
    pub args: &'a CniArgs,
    /// Folders in which plugins are looked for.
    pub path: &'a [PathBuf],
    /// What each plugin may take.
    pub patience: Duration,
    /// When all of them must be over.
    pub deadline: Instant,
    /// No earlier call can have left anything of this attachment: the node knew nothing of its sandbox.
    pub is_first: bool,
    /// The sandbox's lock. A started program inherits it, so that an orphan still holds it.
    pub lock: Option<&'a FileLock>,
}

impl<'a> Scope<'a> {
    /// When a plugin must be over that begins now, a program or a built-in one.
    pub fn plugin_deadline(&self) -> Instant {
        (Instant::now() + self.patience).min(self.deadline)
    }

    /// A call that is about no container: STATUS and GC (CNI-STA-06, CNI-GC-03).
    pub fn of_node(args: &'a CniArgs, path: &'a [PathBuf], patience: Duration, deadline: Instant) -> Self {
        Scope {
            container_id: None,
            ifname: None,
            netns: None,
            args,
            path,
            patience,
            deadline,
            is_first: false,
            lock: None,
        }
    }
}

/// One call of one plugin.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The attachment.
    pub scope: &'a Scope<'a>,
    /// The plugin, as its network declares it.
    pub plugin: &'a PluginConfig,
    /// The configuration it is handed: the same bytes for a program and for a native.
    pub stdin: String,
}
