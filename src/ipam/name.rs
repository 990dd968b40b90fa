//! The name of a pool.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A DNS label: it is a part of the names of objects and files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolName(String);

/// A text that is no name of a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool name {0:?} is not a DNS label: up to 63 lower-case letters, digits and '-'")]
pub struct InvalidPoolName(String);

impl PoolName {
    /// Validates `text`.
    ///
    /// # Errors
    /// It is no DNS label.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPoolName> {
        let text = text.into();
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-');
        if valid && !text.ends_with('-') { Ok(PoolName(text)) } else { Err(InvalidPoolName(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PoolName {
    type Error = InvalidPoolName;
    fn try_from(text: String) -> Result<Self, InvalidPoolName> {
        PoolName::new(text)
    }
}

impl From<PoolName> for String {
    fn from(name: PoolName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for good in ["lan", "a", "lan-2", "0", &"a".repeat(63)] {
            assert!(PoolName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "a.b", "-a", "a-", "Lan", "a_b", "a b", &"a".repeat(64)] {
            assert!(PoolName::new(bad).is_err(), "{bad}");
        }
    }
}
