//! The runtime's directories, which `keep` watches and `uninstall` empties of Plexus' files.

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
