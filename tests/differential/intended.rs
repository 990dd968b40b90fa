//! The differences that are intended, and why.

use serde_json::Value;
use std::net::IpAddr;

/// What became of one text.
pub struct Outcome<'a> {
    pub kind: &'a str,
    pub text: &'a str,
    pub ours: &'a Result<Value, String>,
    pub theirs: &'a Result<Value, String>,
}

impl Outcome<'_> {
    /// Plexus alone refuses it, with one of these words.
    fn refused(&self, words: &[&str]) -> bool {
        self.theirs.is_ok() && self.ours.as_ref().is_err_and(|why| words.iter().any(|word| why.contains(word)))
    }

    /// Plexus alone takes it; the others refuse it with one of these words.
    fn taken(&self, words: &[&str]) -> bool {
        self.ours.is_ok() && self.theirs.as_ref().is_err_and(|why| words.iter().any(|word| why.contains(word)))
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

/// The versions of CNI.
const RELEASES: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The first that applies is taken.
pub const ALL: &[Difference] = &[
    Difference {
        id: "keys",
        kind: "all",
        text: "a key that occurs twice, or in another case than the standard's",
        plexus: "annotation and list: the key in the standard's case counts, then any other case; result: only the standard's case counts, and a key that occurs twice is refused",
        others: "the last of them counts; in a list only the standard's case",
        reason: "the order of keys in an object has no meaning",
        // Of a list Plexus alone reads what is in another case, and refuses what is wrong in it.
        is_it: |one| {
            let anywhere = ["has key ", "incompatible CNI versions: "];
            let in_list = [" is expected", "is neither true nor false", "\"plugins\" is ", "it has no \"type\""];
            // Others read a result by the last version: as one of 0.1.0, it has no address.
            let versions = one.text.to_lowercase().matches("\"cniversion\"").count();
            let of_version = one.kind == "result" && versions > 1 && one.refused(&[" is expected", "a wrong value"]);
            let is_refused = one.refused(&anywhere) || one.kind == "list" && one.refused(&in_list) || of_version;
            has_odd_keys(one.text) && (one.ours.is_ok() || is_refused)
        },
    },
    Difference {
        id: "escapes",
        kind: "all",
        text: r#"half of a surrogate pair, such as `"\ud800"`"#,
        plexus: "refused; what plugins read is passed on as it is written",
        others: "replaced with U+FFFD",
        reason: "it is not Unicode",
        is_it: |one| one.refused(&["hex escape", "surrogate"]) || (one.text.contains("\\ud800") && one.ours.is_ok()),
    },
    Difference {
        id: "large-numbers",
        kind: "all",
        text: "a number that no 64-bit float can hold, where the plugins read it",
        plexus: "passed on as it is written",
        others: "refused",
        reason: "the plugin that reads the number decides",
        is_it: |one| {
            let is_number = one.theirs.as_ref().is_err_and(|why| why.contains("cannot unmarshal number"));
            one.text.contains("1e400") && one.ours.is_ok() || is_number && one.taken(&["of type float64"])
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
        kind: "list",
        text: "`null` as the value of `cniVersion`, `cniVersions`, `disableCheck`, `disableGC`, `loadOnlyInlinedPlugins` or `plugins`",
        plexus: "as without the key",
        others: "refused, where the value of most other keys may be `null`",
        reason: "generators write `null` for what is not set",
        is_it: |one| one.kind == "list" && one.taken(&["<nil>", "[]interface {}"]),
    },
    Difference {
        id: "versions",
        kind: "list",
        text: "`cniVersion` that is not a version, together with `cniVersions`",
        plexus: "the versions of `cniVersions` count",
        others: "refused",
        reason: "without `cniVersions` all accept it as an old version",
        is_it: |one| one.kind == "list" && one.taken(&["invalid cniVersion"]),
    },
    Difference {
        id: "unknown-versions",
        kind: "list",
        text: "a version in `cniVersions` that no release of CNI has, such as `1.1.00`",
        plexus: "the highest version that it knows",
        others: "the highest one",
        reason: "no plugin knows such a version",
        is_it: |one| {
            let version = |side: &Result<Value, String>| Some(side.as_ref().ok()?["version"].as_str()?.to_owned());
            let is_known = |side| version(side).is_some_and(|version| RELEASES.contains(&version.as_str()));
            one.kind == "list" && one.theirs.is_ok() && is_known(one.ours) && !is_known(one.theirs)
        },
    },
    Difference {
        id: "of-plugins",
        kind: "list",
        text: "`ipam`, `dns` or `prevResult` of a plugin with a wrong type",
        plexus: "passed on to the plugin",
        others: "refused",
        reason: "the keys of a plugin are the plugin's; it refuses them",
        is_it: |one| one.kind == "list" && one.taken(&["PluginConf.", "DNS.dns", "IPAM."]),
    },
    Difference {
        id: "inlined",
        kind: "list",
        text: "`loadOnlyInlinedPlugins` without `plugins`",
        plexus: "refused when it is known that no other file has plugins",
        others: "refused at once",
        reason: "one check for every list without a plugin",
        is_it: |one| one.kind == "list" && one.taken(&["no 'plugins' key", "no plugins in list"]),
    },
    Difference {
        id: "types",
        kind: "list",
        text: "a `name`, plugin `type` or `capabilities` that cannot work",
        plexus: "refused",
        others: "taken; a later step fails",
        reason: "a name becomes a part of a path",
        is_it: |one| one.kind == "list" && one.refused(&["network name \"", "plugin type \"", "key \"capabilities\" "]),
    },
    Difference {
        id: "many",
        kind: "list",
        text: "more than 64 plugins",
        plexus: "refused",
        others: "taken",
        reason: "what a pod asks for is copied into each of them, on the node",
        is_it: |one| one.kind == "list" && one.refused(&[" plugins, more than 64"]),
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
        is_it: |one| one.kind == "result" && one.taken(&["invalid CIDR address"]) && has_leading_zero(one.text),
    },
    Difference {
        id: "prefix-zeros",
        kind: "result",
        text: "a prefix length with leading zeros, such as `10.0.0.1/024`",
        plexus: "refused",
        others: "read as decimal",
        reason: "nobody's plugin writes it",
        is_it: |one| one.kind == "result" && one.refused(&["invalid IP address syntax"]) && one.text.contains("/0"),
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

/// Whether a part of an address begins with a zero that is not all of it.
fn has_leading_zero(text: &str) -> bool {
    let parts = text.split(|c: char| !c.is_ascii_digit());
    parts.into_iter().any(|part| part.len() > 1 && part.starts_with('0'))
}

/// Whether an object of `text` has a key twice, or one that is not in the standard's case.
fn has_odd_keys(text: &str) -> bool {
    let mut scopes: Vec<Vec<String>> = vec![Vec::new()];
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '"']) {
        let sign = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match sign {
            b'{' => scopes.push(Vec::new()),
            b'}' => drop(scopes.pop()),
            _ => {
                let Some(end) = rest.find('"') else { return false };
                let word = &rest[..end];
                rest = &rest[end + 1..];
                let Some(scope) = scopes.last_mut().filter(|_| rest.trim_start().starts_with(':')) else { continue };
                let folded = word.to_lowercase();
                if scope.contains(&folded) || (word.len() > 1 && word == word.to_uppercase()) {
                    return true;
                }
                scope.push(folded);
            }
        }
    }
    false
}

/// What means the same is written the same.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.iter().map(normal).collect()),
        Value::Object(object) => {
            let members = object.iter().map(|(key, value)| {
                let value = if key == "protocol" { protocol(value) } else { normal(value) };
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

/// Plexus writes it always, in lower case, as the portmap plugin needs it; without one it is TCP.
fn protocol(value: &Value) -> Value {
    match value.as_str() {
        Some("") | None => Value::Null,
        Some(text) if text.eq_ignore_ascii_case("tcp") => Value::Null,
        Some(text) => text.to_lowercase().into(),
    }
}
