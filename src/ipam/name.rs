//! The name of a pool.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Begins the names of pools that no AddressPool describes: those are DNS labels.
const IMPLIED: &str = "whereabouts.";
/// A longer name of a network is replaced by a number: a name is also the value of a label.
const LONGEST: usize = 40;

/// The name of an AddressPool, a DNS label; or that of a pool that sections of whereabouts imply. It is a part of the names
/// of objects and files.
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
        let valid = text.len() <= 63 && is_label(text.strip_prefix(IMPLIED).unwrap_or(&text));
        if valid { Ok(PoolName(text)) } else { Err(InvalidPoolName(text)) }
    }

    /// The pool of the sections of whereabouts with this `network_name`. Other names have other pools.
    pub fn implied(network_name: &str) -> Self {
        let name = match network_name {
            "" => "default".to_owned(),
            name if is_label(name) && name.len() <= LONGEST => format!("net-{name}"),
            name => format!("hash-{:016x}", number_of(name)),
        };
        PoolName(format!("{IMPLIED}{name}"))
    }

    /// Whether sections of whereabouts imply it. No AddressPool has its name, and each of its blocks is one address.
    pub fn is_implied(&self) -> bool {
        self.0.starts_with(IMPLIED)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A number for `content` (FNV-1a), in which no cryptographic property is needed.
pub fn number_of(content: impl AsRef<[u8]>) -> u64 {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    content.as_ref().iter().fold(0xcbf2_9ce4_8422_2325, add)
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
        for bad in [
            "",
            "whereabouts.",
            "whereabouts..",
            "whereabouts.a.b",
            "lan.a",
            "..",
            "a/b",
            "a.b",
            "-a",
            "a-",
            "Lan",
            "a_b",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(PoolName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_implied_pool_has_a_name_that_no_object_has() {
        let long = "n".repeat(80);
        let names = ["", "default", "blue", "net-blue", "Blue", "a_b", "hash-0", &long];
        let implied: Vec<PoolName> = names.iter().map(|name| PoolName::implied(name)).collect();
        for (at, name) in implied.iter().enumerate() {
            assert!(name.is_implied() && PoolName::new(name.as_str()).as_ref() == Ok(name), "{name}");
            assert!(!implied[..at].contains(name), "{name}");
        }
        assert_eq!(implied[2].as_str(), "whereabouts.net-blue");
        assert!(!PoolName::new("whereabouts").unwrap().is_implied());
    }
}
