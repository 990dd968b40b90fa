//! CNI error objects and their codes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An event of Kubernetes has 1,024 bytes.
const MAX_MSG: usize = 4096;
/// What else went wrong goes to logs only.
const MAX_DETAILS: usize = 16 << 10;

/// The error codes we answer with (CNI-ERR-04, CNI-ERR-05; 100 and up are ours, CNI-ERR-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: the configuration's version is not spoken, or lacks the verb.
    IncompatibleVersion,
    /// 3: the container is unknown. Only ever on CHECK: on ADD the runtime could skip its DEL.
    UnknownContainer,
    /// 4: a `CNI_…` variable is missing or malformed.
    Environment,
    /// 5: reading or writing failed.
    Io,
    /// 6: something that should be JSON is not.
    Decode,
    /// 7: the configuration, the annotation or a network attachment definition is wrong.
    InvalidConfig,
    /// 8: `CNI_NETNS` is not a network namespace, or our own.
    Namespace,
    /// 11: not now: daemon or API server away, or a deadline passed.
    TryAgain,
    /// 50: STATUS: a plain pod could not be attached.
    Unavailable,
    /// 100: a delegate ended without a CNI error of its own.
    DelegateFailed,
    /// 101: CHECK: what is attached differs from the record.
    Drifted,
    /// 102: ADD for what is attached already (CNI-ADD-05).
    AlreadyAttached,
    /// A delegate's own code, passed on unchanged.
    Delegate(u32),
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Code::IncompatibleVersion => 1,
            Code::UnknownContainer => 3,
            Code::Environment => 4,
            Code::Io => 5,
            Code::Decode => 6,
            Code::InvalidConfig => 7,
            Code::Namespace => 8,
            Code::TryAgain => 11,
            Code::Unavailable => 50,
            Code::DelegateFailed => 100,
            Code::Drifted => 101,
            Code::AlreadyAttached => 102,
            Code::Delegate(number) => number,
        }
    }
}

/// The object a failing plugin prints (CNI-ERR-01).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniError {
    /// The version of the request; reference plugins leave it out (CNI-ERR-02).
    #[serde(rename = "cniVersion", default, skip_serializing_if = "String::is_empty")]
    pub cni_version: String,
    /// See [`Code`].
    pub code: u32,
    /// One line for whoever reads `kubectl describe pod`.
    #[serde(default)]
    pub msg: String,
    /// What else went wrong, e.g. while undoing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error with `code` and a one-line message.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        CniError {
            cni_version: String::new(),
            code: code.number(),
            msg: one_line(&msg.into(), MAX_MSG),
            details: String::new(),
        }
    }

    /// Appends to the details, on their line.
    #[must_use]
    pub fn with_details(mut self, details: impl AsRef<str>) -> Self {
        let details = one_line(details.as_ref(), MAX_DETAILS.saturating_sub(self.details.len()));
        if !details.is_empty() {
            if !self.details.is_empty() {
                self.details.push_str("; ");
            }
            self.details.push_str(&details);
        }
        self
    }

    /// Says which object the error is about: `prefix: msg`.
    #[must_use]
    pub fn about(mut self, prefix: impl fmt::Display) -> Self {
        self.msg = format!("{prefix}: {}", self.msg);
        self
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, " ({})", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for CniError {}

/// Folds a text of several lines into one of at most `limit` bytes, without what would steer a terminal.
fn one_line(text: &str, limit: usize) -> String {
    // Some of it may be of a delegate, which can print megabytes.
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = &text[..end];
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        // CNI-ERR-04, CNI-ERR-05, CNI-ERR-03
        let table = [
            (Code::IncompatibleVersion, 1),
            (Code::UnknownContainer, 3),
            (Code::Environment, 4),
            (Code::Io, 5),
            (Code::Decode, 6),
            (Code::InvalidConfig, 7),
            (Code::Namespace, 8),
            (Code::TryAgain, 11),
            (Code::Unavailable, 50),
            (Code::DelegateFailed, 100),
            (Code::Drifted, 101),
            (Code::AlreadyAttached, 102),
            (Code::Delegate(999), 999),
        ];
        for (code, number) in table {
            assert_eq!(code.number(), number, "{code:?}");
        }
    }

    #[test]
    fn messages_are_one_line() {
        let error = CniError::new(Code::Io, "a\n  b\n\n").about("network x").with_details("c").with_details("d");
        assert_eq!(error.msg, "network x: a; b");
        assert_eq!(error.details, "c; d");
    }

    #[test]
    fn errors_without_version_and_details_are_read() {
        // CNI-ERR-02
        let error: CniError = serde_json::from_str(r#"{"code":7,"msg":"x"}"#).unwrap();
        assert_eq!((error.code, error.msg.as_str(), error.details.as_str()), (7, "x", ""));
    }
}
