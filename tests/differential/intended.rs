//! The differences that are intended, and why.

use crate::checks;
use serde_json::Value;
use std::net::IpAddr;

/// What one side understood, or why it refused.
pub type Side = Result<Value, String>;

/// What both made of one text.
pub struct Pair {
    pub ours: Side,
    pub theirs: Side,
}

impl Pair {
    pub fn is_alike(&self) -> bool {
        match (&self.ours, &self.theirs) {
            (Ok(ours), Ok(theirs)) => normal(ours) == normal(theirs),
            (Err(_), Err(_)) => true,
            _ => false,
        }
    }
}

/// What became of one text.
pub struct Outcome<'a> {
    pub kind: &'a str,
    pub text: &'a str,
    pub ours: &'a Side,
    pub theirs: &'a Side,
    /// Gives both other texts of that kind.
    pub ask: &'a dyn Fn(&[String]) -> Vec<Pair>,
}

impl Outcome<'_> {
    /// Plexus alone refuses it, with one of these words.
    pub fn refused(&self, words: &[&str]) -> bool {
        self.theirs.is_ok() && self.ours.as_ref().is_err_and(|why| words.iter().any(|word| why.contains(word)))
    }

    /// Plexus alone takes it; the others refuse it with one of these words.
    pub fn taken(&self, words: &[&str]) -> bool {
        self.ours.is_ok() && self.theirs.as_ref().is_err_and(|why| words.iter().any(|word| why.contains(word)))
    }

    /// What both make of `text`, which is this one without a cause: it must be alike, or another row must apply. None
    /// where the cause is not in this text at all.
    pub fn without(&self, text: &str) -> Option<Pair> {
        let pair = (self.ask)(&[text.to_owned()]).pop().filter(|_| text != self.text)?;
        let outcome = Outcome { text, ours: &pair.ours, theirs: &pair.theirs, ..*self };
        let is_explained = pair.is_alike() || find(&outcome).is_some();
        is_explained.then_some(pair)
    }

    pub fn is_network(&self) -> bool {
        matches!(self.kind, "list" | "nad")
    }
}

/// A class of differences.
pub struct Difference {
    pub id: &'static str,
    pub kind: &'static str,
    pub text: &'static str,
    pub plexus: &'static str,
    pub others: &'static str,
    pub reason: &'static str,
    is_it: fn(&Outcome) -> bool,
}

/// The first that applies is taken.
pub const ALL: &[Difference] = &[
    Difference {
        id: "keys",
        kind: "all",
        text: "a key that occurs twice, or in another case than the standard's",
        plexus: "annotation, list and NAD: the key in the standard's case counts, then any other case; \
                 result: only the standard's case counts (of `cniVersion` as in a list), and a key that occurs twice is refused",
        others: "the last of them counts, and each must have the right type. \
                 Members of earlier objects that the last one does not have are kept, and `null` changes nothing. \
                 In a list only the standard's case counts; in each of its plugins it counts before any other",
        reason: "the order of keys in an object has no meaning",
        is_it: checks::by_keys,
    },
    Difference {
        id: "escapes",
        kind: "all",
        text: r#"half of a surrogate pair, such as `"\ud800"`"#,
        plexus: "refused; what plugins read is passed on as it is written",
        others: "replaced with U+FFFD",
        reason: "it is not Unicode",
        is_it: checks::by_half_pairs,
    },
    Difference {
        id: "large-numbers",
        kind: "all",
        text: "a number that no 64-bit float can hold, where the plugins read it",
        plexus: "passed on as it is written",
        others: "refused",
        reason: "the plugin that reads the number decides",
        is_it: checks::by_large_numbers,
    },
    Difference {
        id: "of-lists",
        kind: "NAD",
        text: "`cniVersions`, `disableCheck`, `disableGC` or `loadOnlyInlinedPlugins` next to the `type` of a single plugin",
        plexus: "as in a list",
        others: "passed on to the plugin, and not read",
        reason: "who writes them means them",
        is_it: checks::by_keys_of_lists,
    },
    Difference {
        id: "null-name",
        kind: "NAD",
        text: "`null` as the `name`",
        plexus: "as without the key: the name of the NAD",
        others: "an empty name; the plugin refuses it",
        reason: "generators write `null` for what is not set",
        is_it: checks::by_null_name,
    },
    Difference {
        id: "runtime",
        kind: "list, NAD",
        text: "`capabilities` and `prevResult` of a plugin",
        plexus: "taken out of what the plugin reads; a `prevResult` is the one of the plugin before",
        others: "left in it",
        reason: "they are the runtime's: a plugin would take an old result for the one of this call",
        is_it: |one| {
            let theirs = one.theirs.as_ref().map(checks::without_runtime_keys);
            one.is_network() && one.ours.as_ref().is_ok_and(|ours| theirs.is_ok_and(|it| normal(&it) == normal(ours)))
        },
    },
    Difference {
        id: "blank",
        kind: "annotation",
        text: "an annotation of white space",
        plexus: "no additional network",
        others: "a network without a name",
        reason: "it selects nothing",
        is_it: |one| one.kind == "annotation" && one.text.trim().is_empty(),
    },
    Difference {
        id: "names",
        kind: "annotation",
        text: "a network without a name, or with one that no object can have",
        plexus: "refused",
        others: "taken; the request to the API server fails",
        reason: "the pod gets the reason, without a request",
        is_it: |one| one.refused(&["it has no name", "is not a valid name"]),
    },
    Difference {
        id: "interfaces",
        kind: "annotation",
        text: "`interface` with a character that no interface can have; in the short form: one that only the JSON form takes",
        plexus: "what the kernel takes is taken, in both forms",
        others: "short form: lower-case letters, digits and `-`; JSON form: anything",
        reason: "one rule for both forms, and the kernel's",
        is_it: |one| one.refused(&["interface name"]) || one.taken(&["comma-delimited format"]),
    },
    Difference {
        id: "values",
        kind: "annotation",
        text: "an address, hardware address, port, protocol or rate that no plugin can use",
        plexus: "refused",
        others: "taken; the plugin fails, or ignores it",
        reason: "the message names the network and the key",
        is_it: |one| {
            one.kind == "annotation"
                && one.refused(&[
                    "is not an address",
                    "is not a hardware address",
                    "portMappings: ",
                    "bandwidth: ",
                    "not negative",
                    "whole number",
                ])
        },
    },
    Difference {
        id: "claims",
        kind: "annotation",
        text: "`ips` together with `ipam-claim-reference`",
        plexus: "taken; both reach the plugin",
        others: "refused, until 1.7.7 of the client",
        reason: "as in the newer client; plugins that know neither ignore one of them",
        is_it: checks::by_claims,
    },
    Difference {
        id: "nulls-in-lists",
        kind: "annotation, result",
        text: "`null` as an element of a list",
        plexus: "refused",
        others: "an empty element",
        reason: "an empty element means nothing",
        is_it: |one| one.kind != "list" && one.refused(&["has null where ", "is null where "]),
    },
    Difference {
        id: "null",
        kind: "list, NAD",
        text: "`null` as the value of `cniVersion`, `cniVersions`, `disableCheck`, `disableGC`, `loadOnlyInlinedPlugins` or `plugins`",
        plexus: "as without the key",
        others: "refused, where the value of most other keys may be `null`",
        reason: "generators write `null` for what is not set",
        is_it: |one| one.is_network() && one.taken(&["<nil>", "[]interface {}"]),
    },
    Difference {
        id: "versions",
        kind: "list, NAD",
        text: "`cniVersion` that is not a version, together with `cniVersions`",
        plexus: "the versions of `cniVersions` count",
        others: "refused",
        reason: "without `cniVersions` all accept it as an old version",
        is_it: |one| one.is_network() && one.taken(&["invalid cniVersion"]),
    },
    Difference {
        id: "unknown-versions",
        kind: "list, NAD",
        text: "a version in `cniVersions` that no release of CNI has, such as `1.1.00`",
        plexus: "the highest version that it knows",
        others: "the highest one",
        reason: "no plugin knows such a version",
        is_it: checks::by_unknown_version,
    },
    Difference {
        id: "of-plugins",
        kind: "list, NAD",
        text: "`ipam`, `dns` or `prevResult` of a plugin with a wrong type",
        plexus: "passed on to the plugin",
        others: "refused",
        reason: "the keys of a plugin are the plugin's; it refuses them",
        is_it: |one| one.is_network() && one.taken(&["PluginConf.", "DNS.dns", "IPAM."]),
    },
    Difference {
        id: "inlined",
        kind: "list, NAD",
        text: "`loadOnlyInlinedPlugins` without `plugins`",
        plexus: "refused when it is known that no other file has plugins",
        others: "refused at once",
        reason: "one check for every list without a plugin",
        is_it: |one| one.is_network() && one.taken(&["no 'plugins' key", "no plugins in list"]),
    },
    Difference {
        id: "types",
        kind: "list, NAD",
        text: "a `name`, plugin `type` or `capabilities` that cannot work",
        plexus: "refused",
        others: "taken; a later step fails",
        reason: "a name becomes a part of a path",
        is_it: |one| one.is_network() && one.refused(&["network name \"", "plugin type \"", "key \"capabilities\" "]),
    },
    Difference {
        id: "many",
        kind: "list, NAD",
        text: "more than 64 plugins",
        plexus: "refused",
        others: "taken",
        reason: "what a pod asks for is copied into each of them, on the node",
        is_it: |one| one.is_network() && one.refused(&[" plugins, more than 64"]),
    },
    Difference {
        id: "incomplete",
        kind: "result",
        text: "an address or route without its address",
        plexus: "refused",
        others: "an empty address",
        reason: "the network-status would contain it",
        is_it: |one| one.kind == "result" && one.refused(&["has an object without"]),
    },
    Difference {
        id: "zeros",
        kind: "result",
        text: "an IPv4 address with a prefix length and leading zeros, such as `010.0.0.1/24`",
        plexus: "read as decimal",
        others: "refused",
        reason: "nobody's plugin writes it; without a prefix length Plexus refuses it, too",
        is_it: checks::by_zeros,
    },
    Difference {
        id: "prefix-zeros",
        kind: "result",
        text: "a prefix length with leading zeros, such as `10.0.0.1/024`",
        plexus: "refused",
        others: "read as decimal",
        reason: "nobody's plugin writes it",
        is_it: checks::by_zeros_of_lengths,
    },
    Difference {
        id: "numbers",
        kind: "result",
        text: "a number that the kernel cannot have (a negative MTU, a table above 32 bits)",
        plexus: "refused",
        others: "taken",
        reason: "the network-status or a route would contain it",
        is_it: |one| one.kind == "result" && one.refused(&["not negative", "whole number"]),
    },
    Difference {
        id: "unread",
        kind: "result",
        text: "a wrong type where Plexus does not read it (`version` of an address), or a list with an object's members in their order",
        plexus: "taken",
        others: "refused",
        reason: "nothing depends on it",
        is_it: |one| one.kind == "result" && one.taken(&["version of type string", "cannot unmarshal array"]),
    },
];

pub fn find(outcome: &Outcome) -> Option<&'static str> {
    ALL.iter().find(|one| (one.is_it)(outcome)).map(|one| one.id)
}

pub fn ids() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|one| one.id)
}

/// Whether the same was understood, or refused with the same words.
pub fn is_same(one: &Side, other: &Side) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => normal(one) == normal(other),
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

/// What means the same is written the same.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.iter().map(normal).collect()),
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| {
                let value = match key.as_str() {
                    "protocol" => protocol(value),
                    "stdin" => numbers(value),
                    _ => normal(value),
                };
                (key.clone(), value)
            });
            let is_default = |value: &Value| {
                *value == Value::Null
                    || *value == 0.0
                    || *value == ""
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            members.filter(|(_, value)| !is_default(value)).collect()
        }
        Value::String(text) => {
            text.parse::<IpAddr>().map_or_else(|_| value.clone(), |address| address.to_string().into())
        }
        Value::Number(number) => number.as_f64().into(),
        other => other.clone(),
    }
}

/// What a plugin reads is the same, but for how a number is written: libcni writes each anew.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(numbers).collect(),
        Value::Object(object) => object.iter().map(|(key, one)| (key.clone(), numbers(one))).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other.clone(),
    }
}

/// Plexus writes it always, in lower case, as the portmap plugin needs it; without one it is TCP.
fn protocol(value: &Value) -> Value {
    match value.as_str() {
        Some("") | None => Value::Null,
        Some(text) if text.eq_ignore_ascii_case("tcp") => Value::Null,
        Some(text) => text.to_lowercase().into(),
    }
}
