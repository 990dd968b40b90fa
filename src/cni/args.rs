//! `CNI_ARGS`: `KEY=VALUE` pairs joined by `;`.

use std::fmt;

/// The pairs of `CNI_ARGS`, in the order in which the runtime gave them (CNI-ARG-01).
///
/// Reading is lenient (a piece without `=` is kept as it is): the delegates judge what they use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs(Vec<(String, Option<String>)>);

impl CniArgs {
    /// Splits `text`; empty pieces are dropped.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split(';').filter(|piece| !piece.is_empty()).map(|piece| match piece.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (piece.to_owned(), None),
        });
        CniArgs(pairs.collect())
    }

    /// The value of `key`; the last one wins, an empty value is none.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).and_then(|(_, v)| v.as_deref()).filter(|v| !v.is_empty())
    }

    /// Sets `key`, in place where it is already there; where it is there several times, all of them
    /// become this one.
    pub fn set(&mut self, key: &str, value: &str) {
        let at = self.0.iter().position(|(k, _)| k == key);
        self.0.retain(|(k, _)| k != key);
        self.0.insert(at.unwrap_or(self.0.len()), (key.to_owned(), Some(value.to_owned())));
    }
}

impl fmt::Display for CniArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ";" };
            match value {
                Some(value) => write!(f, "{separator}{key}={value}")?,
                None => write!(f, "{separator}{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_last_wins() {
        // CNI-ARG-01
        let args = CniArgs::parse("K8S_POD_NAME=p;IgnoreUnknown=1;A=b=c;K8S_POD_NAME=q;");
        assert_eq!(args.get("K8S_POD_NAME"), Some("q"));
        assert_eq!(args.get("A"), Some("b=c"));
        assert_eq!(args.get("nothing"), None);
        assert_eq!(args.to_string(), "K8S_POD_NAME=p;IgnoreUnknown=1;A=b=c;K8S_POD_NAME=q");
    }

    #[test]
    fn set_replaces_or_appends() {
        let mut args = CniArgs::parse("A=1");
        args.set("A", "2");
        args.set("IP", "10.0.0.1,fd00::1");
        assert_eq!(args.to_string(), "A=2;IP=10.0.0.1,fd00::1");
        // The last one wins where it is read.
        let mut args = CniArgs::parse("B=1;IP=1;IP=2;IP;C=1");
        args.set("IP", "3");
        assert_eq!(args.to_string(), "B=1;IP=3;C=1");
    }
}
