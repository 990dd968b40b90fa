//! How a plugin in this process can fail.

use crate::cni::json::{InvalidJson, InvalidValue};
use crate::cni::result::ResultError;
use crate::cni::version::UnknownVersion;
use crate::cni::{CniError, Code};
use crate::delegate;
use crate::sys::{netlink, netns};
use std::io;

/// Why a plugin in this process failed; the plugin is named by whoever turns it into a [`delegate::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be what is meant.
    #[error("{0}")]
    Config(String),
    /// A key of the wrong type.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// The configuration is no JSON object.
    #[error("configuration: {0}")]
    Json(#[from] InvalidJson),
    /// A version of the configuration that we do not speak.
    #[error(transparent)]
    Version(#[from] UnknownVersion),
    /// The call lacks something every call of its verb has.
    #[error("the call has no {0}")]
    Incomplete(&'static str),
    /// The namespace is gone, none, or our own.
    #[error(transparent)]
    Netns(#[from] netns::Error),
    /// The namespace is our own.
    #[error("{0} is the plugin's own network namespace")]
    OwnNetns(String),
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// A file or setting could not be read or written.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried on what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A result could not be read or written.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The address plugin failed: its own error goes on.
    #[error(transparent)]
    Ipam(#[from] delegate::Error),
    /// It could not be attached as configured.
    #[error("{0}")]
    Failed(String),
    /// It may succeed later: addresses come back, or a daemon.
    #[error("{0}")]
    TryAgain(String),
    /// CHECK: what is there differs from what ADD made.
    #[error("{0}")]
    Drifted(String),
}

/// What every untyped failure of a reference plugin has (CNI-ERR-05): callers that know it from there see the same.
const INTERNAL: Code = Code::Delegate(999);

impl Failure {
    /// The error of the native called `plugin`.
    pub fn of(self, plugin: &str) -> delegate::Error {
        let code = match &self {
            // Its text names the address plugin, and its code is its own (CNI-DLG-08).
            Failure::Ipam(_) => None,
            Failure::Config(_) | Failure::Value(_) => Some(Code::InvalidConfig),
            Failure::Json(_) => Some(Code::Decode),
            Failure::Version(_) => Some(Code::IncompatibleVersion),
            Failure::Incomplete(_) => Some(Code::Environment),
            Failure::Netns(_) | Failure::OwnNetns(_) => Some(Code::Namespace),
            Failure::Io { .. } => Some(Code::Io),
            Failure::TryAgain(_) => Some(Code::TryAgain),
            Failure::Drifted(_) => Some(Code::Drifted),
            Failure::Netlink(_) | Failure::Result(_) | Failure::Failed(_) => Some(INTERNAL),
        };
        match (self, code) {
            (Failure::Ipam(error), _) => error,
            (error, code) => delegate::Error::Refused {
                plugin: plugin.to_owned(),
                error: CniError::new(code.unwrap_or(INTERNAL), error.to_string()),
            },
        }
    }
}
