//! `TRACEPARENT`: to which distributed trace a call belongs (W3C Trace Context, section 3.2).

use std::fmt;

/// The variable. Programs that are called inherit it.
pub const VARIABLE: &str = "TRACEPARENT";

/// A trace, as other programs of it write it into their logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// The trace of `parent`, the value of [`VARIABLE`]; none where it is not such a value.
    pub fn of(parent: &str) -> Option<Self> {
        let mut parts = parent.split('-');
        let mut hex = |digits: usize| {
            let is_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
            parts.next().filter(|part| part.len() == digits && part.bytes().all(is_hex))
        };
        let (version, trace, span, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may have more parts; version 00 has not, and ff is none.
        let is_version = version != "ff" && (version != "00" || parts.next().is_none());
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        (is_version && span.bytes().any(|b| b != b'0')).then_some(TraceId(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_the_standard_has_it() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for good in [format!("00-{id}-b7ad6b7169203331-01"), format!("01-{id}-b7ad6b7169203331-01-more")] {
            assert_eq!(TraceId::of(&good).unwrap().to_string(), id);
        }
        for bad in [
            String::new(),
            id.to_owned(),
            format!("00-{id}-b7ad6b7169203331"),
            format!("00-{id}-b7ad6b7169203331-01-more"),
            format!("ff-{id}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()),
            format!("00-{id}-0000000000000000-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            format!("00-+{}-b7ad6b7169203331-01", &id[1..]),
        ] {
            assert_eq!(TraceId::of(&bad), None, "{bad}");
        }
    }
}
