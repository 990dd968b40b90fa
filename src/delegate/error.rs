//! How a delegate can fail.

use crate::cni::spelling;
use crate::cni::{CniError, Code};
use crate::delegate::kinds;
use std::path::PathBuf;
use std::time::Duration;

/// Why a delegate's call failed. Every text names the plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It answered with a CNI error object; its code goes on unchanged (CNI-DLG-08).
    #[error("plugin {plugin}: {error}")]
    Refused {
        /// Its type.
        plugin: String,
        /// What it said.
        error: CniError,
    },
    /// There is no such program.
    #[error("plugin {plugin} is missing: no such file in {}{}", listed(path), meant(plugin))]
    Missing {
        /// Its type.
        plugin: String,
        /// Where it was looked for.
        path: Vec<PathBuf>,
    },
    /// What is there cannot be executed.
    #[error("plugin {plugin}: {} exists, but cannot be executed: {why}", program.display())]
    NotExecutable {
        /// Its type.
        plugin: String,
        /// The file.
        program: PathBuf,
        /// Why.
        why: String,
    },
    /// It did not end in time and was killed with its process group.
    #[error("plugin {plugin} was killed: no answer within {} s", after.as_secs())]
    Deadline {
        /// Its type.
        plugin: String,
        /// How long it had.
        after: Duration,
    },
    /// It was not started: the time of the call was over.
    #[error("plugin {plugin} was not started: no time is left in this call")]
    NoTime {
        /// Its type.
        plugin: String,
    },
    /// It ended without an answer we could use.
    #[error("plugin {plugin} {what}")]
    Broken {
        /// Its type.
        plugin: String,
        /// E.g. "was killed by signal 9", "printed no result: …".
        what: String,
    },
    /// It could not be started, or we could not talk to it.
    #[error("plugin {plugin}: {what}: {source}")]
    Io {
        /// Its type.
        plugin: String,
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

fn listed(path: &[PathBuf]) -> String {
    path.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The type that is probably meant is more probable than a program of nearly its name.
fn meant(plugin: &str) -> String {
    spelling::hint(kinds::meant(plugin).map(|meant| format!("{meant:?}")))
}

impl Error {
    /// Whether there is no program that could be started: no attempt will find one until a person puts it there.
    pub fn is_of_program(&self) -> bool {
        matches!(self, Error::Missing { .. } | Error::NotExecutable { .. })
    }

    /// With what may be the reason for a refusal, which the plugin did not name.
    #[must_use]
    pub fn with_hint(self, hint: &str) -> Self {
        match self {
            Error::Refused { plugin, mut error } => {
                error.msg = format!("{} ({hint})", error.msg);
                Error::Refused { plugin, error }
            }
            Error::Broken { plugin, what } => Error::Broken { plugin, what: format!("{what} ({hint})") },
            other => other,
        }
    }

    /// The error for the runtime.
    pub fn to_cni(&self) -> CniError {
        let code = match self {
            Error::Refused { plugin, error } => {
                return CniError {
                    code: error.code,
                    ..CniError::new(Code::DelegateFailed, format!("plugin {plugin}: {}", error.msg))
                }
                .with_details(&error.details);
            }
            Error::Missing { .. } => Code::InvalidConfig,
            Error::Deadline { .. } | Error::NoTime { .. } => Code::TryAgain,
            Error::Broken { .. } => Code::DelegateFailed,
            Error::NotExecutable { .. } | Error::Io { .. } => Code::Io,
        };
        CniError::new(code, self.to_string())
    }
}
