//! Names of links in messages: the one place that makes them, so that none is too long for its message.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::LinkAttribute;
use std::fmt;

/// `IFNAMSIZ` without the zero byte at the end.
const LONGEST: usize = 15;
/// `ALTIFNAMSIZ` without the zero byte at the end.
const LONGEST_ALTERNATIVE: usize = 127;
/// `IFLA_ALT_IFNAME`.
const ALTERNATIVE: u16 = 53;
/// How much of a text that is no name is shown.
const SHOWN: usize = 40;

/// The name of a link, or one of its alternative names (`ip link property add … altname`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkName(String);

/// A text that names no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a link: it {why}")]
pub struct InvalidLinkName {
    text: String,
    why: &'static str,
}

impl LinkName {
    /// Validates `text` as the kernel does.
    ///
    /// # Errors
    /// `text` is empty, longer than 127 bytes, or has control characters.
    pub fn new(text: &str) -> Result<Self, InvalidLinkName> {
        match fault(text, LONGEST_ALTERNATIVE) {
            None => Ok(LinkName(text.to_owned())),
            Some(why) => Err(InvalidLinkName::new(text, why)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl InvalidLinkName {
    fn new(text: &str, why: &'static str) -> Self {
        let text = match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        InvalidLinkName { text, why }
    }
}

/// The attribute that says which link is meant. A short alternative name is also found as a name.
pub(super) fn which(name: &str) -> Result<LinkAttribute, InvalidLinkName> {
    if name.len() <= LONGEST {
        return own(name);
    }
    let name = LinkName::new(name)?;
    Ok(LinkAttribute::Other(DefaultNla::new(ALTERNATIVE, [name.0.as_bytes(), b"\0"].concat())))
}

/// The attribute that gives a link its name.
pub(super) fn own(name: &str) -> Result<LinkAttribute, InvalidLinkName> {
    match fault(name, LONGEST) {
        None => Ok(LinkAttribute::IfName(name.to_owned())),
        Some(why) => Err(InvalidLinkName::new(name, why)),
    }
}

fn fault(text: &str, longest: usize) -> Option<&'static str> {
    match text {
        "" => Some("is empty"),
        _ if text.len() > longest && longest == LONGEST => Some("is longer than 15 bytes"),
        _ if text.len() > longest => Some("is longer than 127 bytes"),
        _ if text.contains(char::is_control) => Some("has control characters"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_length_makes_no_broken_message() {
        // M13: 65,532 bytes made the length of the attribute wrap, and the library panic.
        let long = "x".repeat(65_532);
        for bad in ["", "a\0b", "a\nb", &long, &"x".repeat(128)] {
            assert!(LinkName::new(bad).is_err() && which(bad).is_err() && own(bad).is_err());
        }
        assert!(which(&"x".repeat(127)).is_ok() && own("x".repeat(16).as_str()).is_err());
        let error = LinkName::new(&long).unwrap_err().to_string();
        assert!(error.len() < 150 && error.contains("127 bytes"), "{error}");
        assert!(matches!(which("eth0"), Ok(LinkAttribute::IfName(name)) if name == "eth0"));
    }
}
