//! Validated names. Past the edge of the program no plain string is accepted for these.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A text that is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {why}")]
pub struct InvalidName {
    what: &'static str,
    text: String,
    why: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// Says which character rule `text` breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(&text) {
                    None => Ok($name(text)),
                    Some(why) => Err(InvalidName { what: $what, text, why }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                $name::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name!(
    /// `CNI_CONTAINERID`: alphanumeric first, then also `_`, `.`, `-` (CNI-ENV-06). Safe as a file name.
    ContainerId,
    "container ID",
    |text| identifier(text).or((text.len() > 200).then_some("is longer than 200 bytes"))
);

name!(
    /// The `name` of a network configuration, with the same characters as a container ID (CNI-CFG-03).
    NetworkName,
    "network name",
    identifier
);

name!(
    /// The name of a link, as Linux accepts it (CNI-ENV-07).
    IfName,
    "interface name",
    interface
);

name!(
    /// The `type` of a plugin: the name of an executable file, never a path (CNI-CFG-11).
    PluginType,
    "plugin type",
    |text| match text {
        "" => Some("is empty"),
        "." | ".." => Some("is not a file name"),
        _ if text.contains(['/', '\\']) => Some("must be a file name, not a path"),
        _ if text.contains(char::is_control) => Some("may not hold control characters"),
        _ => None,
    }
);

fn identifier(text: &str) -> Option<&'static str> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => Some("is empty"),
        Some(first) if !first.is_ascii_alphanumeric() => Some("must begin with a letter or a digit"),
        Some(_) if !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) => {
            Some("may hold only letters, digits, '_', '.' and '-'")
        }
        Some(_) => None,
    }
}

fn interface(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        "." | ".." => Some("is not a link name"),
        // net.ipv4.conf has folders of these names, and the kernel makes no link whose own would be one of them.
        "all" | "default" => Some("is a name that Linux keeps for the settings of all links"),
        _ if text.len() > 15 => Some("is longer than 15 bytes"),
        _ if text.contains(['/', ':']) || text.contains(char::is_whitespace) => {
            Some("may not hold '/', ':' or white space")
        }
        // The kernel puts a number in the place of "%d", and refuses any other '%'.
        _ if text.contains('%') => Some("may not hold '%'"),
        _ if text.contains(char::is_control) => Some("may not hold control characters"),
        // The kernel looks at bytes, and takes 0xa0 for a space: "à" is 0xc3 0xa0.
        _ if text.bytes().any(|b| b == 0xa0) => Some("holds a character that Linux takes for white space"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        // CNI-CFG-03, CNI-ENV-06
        for good in ["a", "A.b_c-1", "0"] {
            assert!(NetworkName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a/b", "a b", "é", "../x", "a\n"] {
            assert!(NetworkName::new(bad).is_err(), "{bad}");
            assert!(ContainerId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names() {
        // CNI-ENV-07
        for bad in [
            "",
            ".",
            "..",
            "a:b",
            "a/b",
            "a b",
            "sixteen-bytes-xx",
            "a\u{a0}b",
            "a%d",
            "a\u{1b}b",
            "à",
            "a\0",
            "all",
            "default",
        ] {
            assert!(IfName::new(bad).is_err(), "{bad}");
        }
        for good in ["fifteen-bytes-x", "é", "a.b-c_d@e"] {
            assert!(IfName::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn plugin_types() {
        // CNI-CFG-11
        for bad in ["", "../x", "a/b", "..", "a\0", "a\nb"] {
            assert!(PluginType::new(bad).is_err(), "{bad}");
        }
        assert!(PluginType::new("host-local").is_ok());
    }
}
