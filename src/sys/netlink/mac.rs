//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

/// A hardware address of any length; empty where a link has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(Vec<u8>);

/// A text that is not a hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hardware address")]
pub struct InvalidMac(String);

impl Mac {
    /// The address with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Mac(bytes.to_vec())
    }

    /// Whether it is the address of one Ethernet card: six bytes, no group, not zero. The kernel gives links no other.
    pub fn is_of_one_card(&self) -> bool {
        self.0.len() == 6 && self.0[0] & 1 == 0 && !self.is_zero()
    }

    /// Whether no bit is set.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Mac {
    /// Lower case with colons, as in results (CNI-RES-01).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;

    /// Accepts what Go's `net.ParseMAC` accepts, since that reads the same configurations:
    /// 6, 8 or 20 bytes as `00:11:…`, `00-11-…` or `0011.2233.…`.
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let (separator, digits) = match text.as_bytes().get(2) {
            Some(b':') => (':', 2),
            Some(b'-') => ('-', 2),
            _ => ('.', 4),
        };
        let mut bytes = Vec::with_capacity(6);
        for group in text.split(separator) {
            if group.len() != digits || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            for at in (0..digits).step_by(2) {
                bytes.push(u8::from_str_radix(&group[at..at + 2], 16).map_err(|_| invalid())?);
            }
        }
        if matches!(bytes.len(), 6 | 8 | 20) { Ok(Mac(bytes)) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_go() {
        for text in ["0A:00:00:00:00:01", "0a-00-00-00-00-01", "0a00.0000.0001"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "0a:00:00:00:00:01");
        }
        assert_eq!("00:11:22:33:44:55:66:77".parse::<Mac>().unwrap().as_bytes().len(), 8);
        for bad in
            ["", "0a:00:00:00:00", "0a:00:00:00:00:0g", "a:0:0:0:0:1", "0a:00-00:00:00:01", "+a:00:00:00:00:01", "é"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
