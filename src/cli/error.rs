//! Why a command could not be carried out: one line, with the object's name and what to do about it.

use crate::engine::disk::DiskError;
use std::io;
use std::path::PathBuf;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answer could not be printed.
    #[error("the answer cannot be printed: {0}")]
    Output(#[source] io::Error),
    /// The records cannot be read.
    #[error("the records in {folder} cannot be read: {source}{}", hint(.source, "name another folder with --state-directory"))]
    Records {
        /// Where they are.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No configuration of a default network.
    #[error("{source}; name the file of the cluster's own network with --primary")]
    Primary {
        /// What is wrong with it, or with the folder.
        source: DiskError,
    },
    /// There is no file but ours and Multus'.
    #[error(
        "{folder} holds no configuration of a cluster network{skipped}; install one first, or name its file with --primary"
    )]
    NoPrimary {
        /// Where one was looked for.
        folder: PathBuf,
        /// What is there instead.
        skipped: String,
    },
    /// The default network would call us again.
    #[error(
        "{path} cannot be the default network: it delegates to {kind}, which would never end; name the cluster's own network with --primary"
    )]
    Recursion {
        /// Which file.
        path: PathBuf,
        /// The plugin's type.
        kind: String,
    },
    /// A runtime would not read the folder that chaining relies on.
    #[error("{path} cannot be chained behind: {why}; use --mode delegate")]
    NotChainable {
        /// The primary's file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The file of settings is no usable one.
    #[error("settings in {}: {}; the keys are described in docs/configuration.md", path.display(), mistakes.join("; "))]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<String>,
    },
    /// Multus' configuration cannot be turned into ours.
    #[error("Multus' configuration {}: {}", path.display(), mistakes.join("; "))]
    Multus {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<String>,
    },
    /// Networks, or the configuration they are judged by, cannot be read.
    #[error("{what}: {why}")]
    Networks {
        /// Which file or folder.
        what: String,
        /// Why.
        why: String,
    },
    /// The plugin did not sweep.
    #[error("{} did not sweep: {why}", plugin.display())]
    Sweep {
        /// Which program.
        plugin: PathBuf,
        /// Why.
        why: String,
    },
    /// The plugin that should be installed.
    #[error("the plugin {path} cannot be read: {source}; name it with --plugin")]
    Plugin {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to go cannot be removed.
    #[error("{path} cannot be removed: {source}{}", hint(.source, "see that its folder is writable"))]
    Remove {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written: {source}{}", hint(.source, "see that its folder is writable"))]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What helps is most often to be root; otherwise `other`.
fn hint(error: &io::Error, other: &str) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run this as root".to_owned(),
        _ => format!("; {other}"),
    }
}
