//! The runtime's directories, which `keep` watches and `uninstall` empties of Plexus' files.

use crate::api::{RunDirectory, StateDirectory};
use clap::Args;
use std::path::PathBuf;

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
