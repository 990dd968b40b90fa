//! A copy of a NAD that the daemon leaves for the plugin.

use crate::nad::{Definition, NadRef};
use serde::{Deserialize, Serialize};

/// A file in [`super::RunDirectory::networks`]. Its modification time is when it was last known to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NetworkCopy {
    /// The NAD as it is.
    Known(Definition),
    /// There is no such NAD any more, whatever an older copy says.
    Gone {
        /// Which one it was.
        gone: NadRef,
    },
}

impl NetworkCopy {
    /// Which NAD it is about.
    pub fn nad(&self) -> &NadRef {
        match self {
            NetworkCopy::Known(definition) => &definition.nad,
            NetworkCopy::Gone { gone } => gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_told_apart() {
        let nad = NadRef::new("a", "b").unwrap();
        let known = NetworkCopy::Known(Definition::new(nad.clone(), Some("{}".to_owned()), |_| None));
        let gone = NetworkCopy::Gone { gone: nad };
        for (copy, text) in [
            (known, r#"{"nad":{"namespace":"a","name":"b"},"config":"{}"}"#),
            (gone, r#"{"gone":{"namespace":"a","name":"b"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&copy).unwrap(), text);
            assert_eq!(serde_json::from_str::<NetworkCopy>(text).unwrap(), copy);
        }
    }
}
