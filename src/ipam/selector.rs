//! Which nodes use a pool, by their labels: what Kubernetes calls a label selector.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels that a node has to have. All requirements hold together, and without any every node is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// Labels with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is required.
    pub operator: Operator,
    /// The values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What is required of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It has none of the values, or the node does not have it.
    NotIn,
    /// The node has it.
    Exists,
    /// The node does not have it.
    DoesNotExist,
}

impl NodeSelector {
    /// Whether a node with `labels` is meant.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        let meets = |it: &Requirement| {
            let value = labels.get(&it.key);
            let is_listed = value.is_some_and(|value| it.values.contains(value));
            match it.operator {
                Operator::In => is_listed,
                Operator::NotIn => !is_listed,
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        };
        self.match_labels.iter().all(has) && self.match_expressions.iter().all(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared_as_in_kubernetes() {
        let labels =
            BTreeMap::from([("zone", "a"), ("gpu", "")].map(|(key, value)| (key.to_owned(), value.to_owned())));
        let of = |json: &str| serde_json::from_str::<NodeSelector>(json).unwrap().selects(&labels);
        let one = |key: &str, operator: &str, values: &str| {
            of(&format!(r#"{{"matchExpressions":[{{"key":"{key}","operator":"{operator}","values":[{values}]}}]}}"#))
        };
        assert!(of("{}") && of(r#"{"matchLabels":{"zone":"a"}}"#) && !of(r#"{"matchLabels":{"zone":"b"}}"#));
        assert!(!of(r#"{"matchLabels":{"zone":"a"},"matchExpressions":[{"key":"gpu","operator":"DoesNotExist"}]}"#));
        assert!(one("zone", "In", r#""b","a""#) && !one("zone", "In", r#""b""#) && !one("x", "In", r#""a""#));
        assert!(!one("zone", "NotIn", r#""a""#) && one("zone", "NotIn", r#""b""#) && one("x", "NotIn", r#""a""#));
        assert!(one("gpu", "Exists", "") && !one("x", "Exists", "") && one("x", "DoesNotExist", ""));
        assert!(serde_json::from_str::<NodeSelector>(r#"{"matchExpressions":[{"key":"a","operator":"Gt"}]}"#).is_err());
    }
}
