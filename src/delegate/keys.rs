//! Which configuration keys a native understands.
//!
//! A native never approximates: a configuration with one key that is not implemented here goes to
//! the program. The tables are also what the documentation of natives is made from.

use crate::cni::{RawObject, folds_to, spelling};

/// A key that a native or an address plugin knows of.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written; any letter case is accepted, as in Go.
    pub name: &'static str,
    /// What happens with it.
    pub support: Support,
}

/// What happens with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it does in the reference plugin.
    Implemented,
    /// `true` sends the configuration to the program; `false` and `null` are its default.
    DeclinedWhenTrue(&'static str),
}

/// An implemented key.
pub const fn key(name: &'static str) -> Key {
    Key { name, support: Support::Implemented }
}

/// A key whose `true` needs the program, and why.
pub const fn declined(name: &'static str, why: &'static str) -> Key {
    Key { name, support: Support::DeclinedWhenTrue(why) }
}

/// The keys that every main plugin has. `capabilities` is for the runtime alone and never reaches a plugin.
pub const COMMON: &[Key] = &[
    key("cniVersion"),
    key("name"),
    key("type"),
    key("ipam"),
    key("dns"),
    key("args"),
    key("runtimeConfig"),
    key("prevResult"),
    key("capabilities"),
    key("cni.dev/valid-attachments"),
    key("cni.dev/attachments"),
];

/// Why a configuration is not for the native.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// It is switched off.
    #[error("built-in {0} is switched off by the setting natives")]
    Off(&'static str),
    /// It runs only where the setting names it.
    #[error("built-in {0} needs its name in the setting natives")]
    NotChosen(&'static str),
    /// There is no such native.
    #[error("there is no built-in {0}")]
    NoNative(String),
    /// A key is not in the table.
    #[error("key {0:?} is not known")]
    Unknown(String),
    /// A key occurs twice: which one counts depends on the order in which Go reads them.
    #[error("key {0:?} occurs twice")]
    Twice(String),
    /// A value that needs something a native has not.
    #[error("{key}: {why}")]
    Needs {
        /// The key.
        key: String,
        /// What it needs.
        why: &'static str,
    },
}

/// Whether every key of `object` is in `tables` and asks for nothing that is declined.
///
/// # Errors
/// The first key that is not.
pub fn understand(object: &RawObject, tables: &[&[Key]]) -> Result<(), Declined> {
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in object.iter() {
        if seen.iter().any(|other| folds_to(other, name)) {
            return Err(Declined::Twice(name.to_owned()));
        }
        seen.push(name);
        let known = tables.iter().copied().flatten().find(|key| folds_to(name, key.name));
        match known.map(|key| key.support) {
            None => return Err(Declined::Unknown(name.to_owned())),
            Some(Support::Implemented) => {}
            Some(Support::DeclinedWhenTrue(_)) if matches!(value.get(), "false" | "null") => {}
            Some(Support::DeclinedWhenTrue(why)) => return Err(Declined::Needs { key: name.to_owned(), why }),
        }
    }
    Ok(())
}

/// The key of `tables` that is probably meant by `key`.
pub fn nearest(key: &str, tables: &[&'static [Key]]) -> Option<&'static str> {
    spelling::nearest(key, tables.iter().copied().flatten().map(|known| known.name))
}

/// What to say of a `key` that is in none of `tables`.
pub fn unknown(key: &str, tables: &[&'static [Key]]) -> String {
    let meant = nearest(key, tables).map(|meant| format!("{meant:?}"));
    format!("unknown key {key:?}{}", spelling::hint(meant))
}

/// As [`understand`] for each object of the list `key`; anything else is left to whoever reads the value.
///
/// # Errors
/// The first key that is not understood.
pub fn understand_list(object: &RawObject, key: &str, table: &[Key]) -> Result<(), Declined> {
    let items: Vec<RawObject> = object.read(key).ok().flatten().unwrap_or_default();
    items.iter().try_for_each(|item| understand(item, &[table]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unknown_key_is_enough() {
        let table: &[Key] = &[key("mtu"), declined("ipMasq", "needs a firewall")];
        let understand = |text: &str| understand(&RawObject::parse(text).unwrap(), &[COMMON, table]);
        assert_eq!(understand(r#"{"type":"x","MTU":1,"ipmasq":false}"#), Ok(()));
        assert_eq!(understand(r#"{"mtu":1,"future":1}"#), Err(Declined::Unknown("future".into())));
        assert_eq!(understand(r#"{"mtu":1,"Mtu":2}"#), Err(Declined::Twice("Mtu".into())));
        assert_eq!(understand(r#"{"ipMasq":false,"ipMaſq":true}"#), Err(Declined::Twice("ipMaſq".into())));
        assert!(matches!(understand(r#"{"ipMaſq":true}"#), Err(Declined::Needs { .. })));
        assert!(matches!(understand(r#"{"ipMasq":true}"#), Err(Declined::Needs { .. })));
    }
}
