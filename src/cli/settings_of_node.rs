//! The configuration by which `plan` and `lint` judge: that of this node, and a file of settings.

use super::config::keys;
use super::{Error, gc, trust};
use crate::cni::{CniError, RawObject};
use crate::engine::Settings;
use clap::Args;
use std::path::PathBuf;

/// The default network of a node that is not this one. No network of a cluster has a name like that.
pub const UNKNOWN_DEFAULT: &str = "unknown-default-network.plexus.dev";

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct SettingsArguments {
    /// CNI configuration directory of the runtime, which contains the configuration of Plexus if this is a node
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    pub cni_conf_dir: PathBuf,

    /// JSON file with settings of the plugin, as for install; they replace those of this node
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

impl SettingsArguments {
    /// Reads it; without an installation every key has its default, and the default network is unknown.
    ///
    /// # Errors
    /// A file cannot be read, or a key has a wrong value.
    pub fn read(&self) -> Result<Settings, Error> {
        trust::check(&self.cni_conf_dir)?;
        let installed = gc::installed(&self.cni_conf_dir);
        let invalid = |e: CniError| Error::Networks { what: self.cni_conf_dir.display().to_string(), why: e.msg };
        let text = installed.unwrap_or_else(elsewhere);
        let mut object = RawObject::parse(&text)
            .map_err(|e| Error::Networks { what: self.cni_conf_dir.display().to_string(), why: e.to_string() })?;
        for (key, value) in keys::read(self.settings.as_deref(), None, None)?.others {
            object.set_value(&key, &value);
        }
        Settings::parse(&object.to_json()).map_err(invalid)
    }
}

/// The configuration of a node of which nothing is known.
pub fn elsewhere() -> String {
    format!(
        r#"{{"name":"plexus","cniVersion":"1.0.0","type":"plexus","delegates":[{{"cniVersion":"1.0.0","name":"{UNKNOWN_DEFAULT}","type":"{UNKNOWN_DEFAULT}"}}]}}"#
    )
}
