//! The status of an AddressPool, which the controller of addresses writes.

use crate::ipam::usage::{Part, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller of addresses has seen of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    /// Addresses in leased blocks, and all that can be given, for people: 512/4080.
    #[serde(rename = "use", skip_serializing_if = "String::is_empty")]
    pub in_use: String,
    /// The IPv4 addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v4: Option<PartStatus>,
    /// The IPv6 addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v6: Option<PartStatus>,
    /// How many blocks nodes lease.
    pub blocks: u32,
    /// How many nodes lease blocks.
    pub nodes: u32,
    /// Accepted, Overlaps and Exhausted.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<PoolCondition>,
}

/// The addresses of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PartStatus {
    /// Addresses that can be given to pods.
    pub capacity: i64,
    /// Those of them that are in blocks which nodes lease.
    pub leased: i64,
}

/// A condition, as Kubernetes has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolCondition {
    /// Its type.
    #[serde(rename = "type")]
    #[schemars(length(max = 63))]
    pub kind: String,
    /// True or False.
    #[schemars(length(max = 10))]
    pub status: String,
    /// Why, in one word.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when it has this status.
    #[schemars(length(max = 40))]
    pub last_transition_time: String,
    /// The generation of the pool that was judged.
    pub observed_generation: i64,
}

impl PoolStatus {
    /// What is leased, without conditions.
    pub fn of(usage: &Usage) -> Self {
        let part = |part: Part| {
            let of = PartStatus { capacity: clamped(part.capacity), leased: clamped(part.leased) };
            (of != PartStatus::default()).then_some(of)
        };
        PoolStatus {
            in_use: text(usage),
            v4: part(usage.v4),
            v6: part(usage.v6),
            blocks: u32::try_from(usage.blocks).unwrap_or(u32::MAX),
            nodes: u32::try_from(usage.nodes.len()).unwrap_or(u32::MAX),
            conditions: Vec::new(),
        }
    }

    /// The condition `kind`.
    pub fn condition(&self, kind: &str) -> Option<&PoolCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// `512/4080`, and of two families `IPv4 512/4080, IPv6 64/2^64`.
pub fn text(usage: &Usage) -> String {
    let parts: Vec<_> = usage.parts().collect();
    let one = |part: &Part| format!("{}/{}", part.leased, compact(part.capacity));
    match parts.as_slice() {
        [] => "0/0".to_owned(),
        [(_, part)] => one(part),
        several => several.iter().map(|(name, part)| format!("{name} {}", one(part))).collect::<Vec<_>>().join(", "),
    }
}

/// The capacity of an IPv6 range is a power of two for people.
pub fn compact(number: u64) -> String {
    let is_readable = number < 1_000_000_000;
    if is_readable { number.to_string() } else { format!("2^{}", (u128::from(number) + 1).ilog2()) }
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_is_short() {
        let usage = |v4: (u64, u64), v6: (u64, u64)| Usage {
            v4: Part { capacity: v4.1, leased: v4.0 },
            v6: Part { capacity: v6.1, leased: v6.0 },
            ..Usage::default()
        };
        assert_eq!(text(&usage((0, 0), (0, 0))), "0/0");
        assert_eq!(text(&usage((512, 4080), (0, 0))), "512/4080");
        assert_eq!(text(&usage((5, 13), (64, u64::MAX))), "IPv4 5/13, IPv6 64/2^64");
        let status = PoolStatus::of(&usage((0, 0), (64, u64::MAX)));
        assert_eq!((status.in_use.as_str(), status.v4), ("64/2^64", None));
        assert_eq!(status.v6, Some(PartStatus { capacity: i64::MAX, leased: 64 }));
    }
}
