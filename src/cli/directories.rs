//! The runtime's directories, which `keep` watches and `uninstall` empties of Plexus' files; and those of Plexus, which
//! its configuration names.

use super::{Error, gc, trust};
use crate::api::{RunDirectory, StateDirectory};
use crate::cni::CniError;
use crate::engine::Settings;
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the runtime looks for configurations and plugins.
#[derive(Debug, Args)]
pub struct RuntimeDirectories {
    /// CNI configuration directory of the runtime
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    pub cni_conf_dir: PathBuf,

    /// Plugin directory of the runtime
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "DIRECTORY")]
    pub cni_bin_dir: PathBuf,
}

/// Every directory of a node that has something to do with Plexus.
#[derive(Debug, Args)]
pub struct NodeDirectories {
    /// Those of the runtime.
    #[command(flatten)]
    pub runtime: RuntimeDirectories,

    /// Run directory, with the daemon's socket [default: from the configuration]
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", value_name = "DIRECTORY")]
    run_directory: Option<PathBuf>,

    /// State directory, with the plugin's records [default: from the configuration]
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
}

impl NodeDirectories {
    /// As [`state`].
    ///
    /// # Errors
    /// As [`state`].
    pub fn state(&self) -> Result<StateDirectory, Error> {
        state(self.state_directory.as_deref(), &self.runtime.cni_conf_dir)
    }

    /// As [`run`].
    ///
    /// # Errors
    /// As [`state`].
    pub fn run(&self) -> Result<RunDirectory, Error> {
        run(self.run_directory.as_deref(), &self.runtime.cni_conf_dir)
    }
}

/// Where the records are.
#[derive(Debug, Args)]
pub struct RecordDirectories {
    /// State directory, with the plugin's records [default: from the configuration]
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,

    /// CNI configuration directory of the runtime, which contains the configuration of Plexus
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    cni_conf_dir: PathBuf,
}

impl RecordDirectories {
    /// The CNI configuration directory.
    pub fn cni_conf_dir(&self) -> &Path {
        &self.cni_conf_dir
    }

    /// As [`state`].
    ///
    /// # Errors
    /// As [`state`].
    pub fn state(&self) -> Result<StateDirectory, Error> {
        state(self.state_directory.as_deref(), &self.cni_conf_dir)
    }
}

/// The state directory: `given`, else that of the configuration which is installed in `cni_conf_dir`, else the default.
///
/// # Errors
/// Another user could have written that configuration.
pub fn state(given: Option<&Path>, cni_conf_dir: &Path) -> Result<StateDirectory, Error> {
    match given {
        Some(given) => Ok(StateDirectory::new(given)),
        None => Ok(installed(cni_conf_dir)?.map_or_else(StateDirectory::default, |settings| settings.state)),
    }
}

/// The run directory, found as [`state`].
///
/// # Errors
/// As [`state`].
pub fn run(given: Option<&Path>, cni_conf_dir: &Path) -> Result<RunDirectory, Error> {
    match given {
        Some(given) => Ok(RunDirectory::new(given)),
        None => Ok(installed(cni_conf_dir)?.map_or_else(RunDirectory::default, |settings| settings.run)),
    }
}

/// What the plugin is called with on this node; a wrong value of it has its default.
fn installed(cni_conf_dir: &Path) -> Result<Option<Settings>, Error> {
    trust::check(cni_conf_dir)?;
    let Some(text) = gc::installed(cni_conf_dir) else { return Ok(None) };
    let invalid = |e: CniError| Error::Networks { what: cni_conf_dir.display().to_string(), why: e.msg };
    Settings::review(&text).map(|(settings, _)| Some(settings)).map_err(invalid)
}
