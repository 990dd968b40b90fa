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

    /// Run directory, with the daemon's socket
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", default_value = RunDirectory::DEFAULT, value_name = "DIRECTORY")]
    pub run_directory: PathBuf,

    /// State directory, with the plugin's records
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", default_value = StateDirectory::DEFAULT, value_name = "DIRECTORY")]
    pub state_directory: PathBuf,
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
