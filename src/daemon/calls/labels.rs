//! The values of labels: few, whatever is reported.

use crate::api::calls::{Refusal, SWEEP};
use std::collections::BTreeSet;

/// What is not one of the known values.
pub(super) const OTHER: &str = "other";
/// So many types of plugins have labels of their own.
const MOST_KINDS: usize = 32;
/// A longer type is not shown.
const LONGEST_KIND: usize = 63;

const VERBS: [&str; 6] = ["ADD", "DEL", "CHECK", "STATUS", "GC", SWEEP];

/// A verb.
pub(super) fn verb(verb: &str) -> &'static str {
    VERBS.into_iter().find(|known| *known == verb).unwrap_or(OTHER)
}

/// The class of a CNI error code: who has to do something.
pub(super) fn outcome(code: u32) -> &'static str {
    match code {
        0 => "ok",
        // Of the runtime's call, of the configuration, of an annotation or of a NAD.
        1 | 2 | 4 | 6 | 7 => "configuration",
        3 | 5 | 8 => "node",
        11 => "retry",
        50 | 51 => "unavailable",
        101 | 102 => "drift",
        _ => "plugin",
    }
}

/// Who ran a plugin.
pub(super) fn by(program: bool) -> &'static str {
    if program { "program" } else { "built-in" }
}

/// Why a datagram was refused.
pub(super) fn of_refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Long => "long",
        Refusal::Unreadable => "unreadable",
        Refusal::Version => "version",
    }
}

/// The types of plugins that have been seen, the first ones by their name.
#[derive(Debug, Default)]
pub(super) struct Kinds(BTreeSet<String>);

impl Kinds {
    /// The value of the label for the type `kind`.
    pub(super) fn label(&mut self, kind: String) -> String {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if kind.is_empty() || kind.len() > LONGEST_KIND || !kind.bytes().all(is_plain) {
            return OTHER.to_owned();
        }
        if !self.0.contains(&kind) {
            if self.0.len() == MOST_KINDS {
                return OTHER.to_owned();
            }
            self.0.insert(kind.clone());
        }
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::{Code, Verb};

    #[test]
    fn every_verb_and_every_code_of_ours_has_a_value() {
        for known in [Verb::Add, Verb::Del, Verb::Check, Verb::Status, Verb::Gc] {
            assert_eq!(verb(known.as_str()), known.as_str());
        }
        assert_eq!(verb("ADD\n"), OTHER);
        let table = [
            (Code::IncompatibleVersion, "configuration"),
            (Code::UnknownContainer, "node"),
            (Code::Environment, "configuration"),
            (Code::Io, "node"),
            (Code::Decode, "configuration"),
            (Code::InvalidConfig, "configuration"),
            (Code::Namespace, "node"),
            (Code::TryAgain, "retry"),
            (Code::Unavailable, "unavailable"),
            (Code::DelegateFailed, "plugin"),
            (Code::Drifted, "drift"),
            (Code::AlreadyAttached, "drift"),
            (Code::Delegate(999), "plugin"),
        ];
        for (code, class) in table {
            assert_eq!(outcome(code.number()), class, "{code:?}");
        }
        assert_eq!(outcome(0), "ok");
    }

    #[test]
    fn types_of_plugins_are_bounded() {
        let mut kinds = Kinds::default();
        for number in 0..1000 {
            let kind = format!("kind-{number}");
            let label = kinds.label(kind.clone());
            assert_eq!(label, if number < MOST_KINDS { kind } else { OTHER.to_owned() });
        }
        assert_eq!(kinds.label("kind-0".to_owned()), "kind-0");
        for odd in ["", "a\"b", "a\nb", "é"].map(str::to_owned).into_iter().chain([("x").repeat(64)]) {
            assert_eq!(Kinds::default().label(odd), OTHER);
        }
    }
}
