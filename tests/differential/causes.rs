//! Texts without the cause of a difference: what is left must be understood alike, else it was not the cause.

use crate::mutate::Json;
use ipnet::IpNet;
use serde_json::Value;

/// `text` with 1 for each number that no 64-bit float can hold.
pub fn without_large_numbers(text: &str) -> String {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let (mut written, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest),
            '-' | '0'..='9' => rest.find(|c| !is_of_number(c)).unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let part = &rest[..length];
        let is_large = first != '"' && part.parse::<f64>().is_ok_and(f64::is_infinite);
        written.push_str(if is_large { "1" } else { part });
        rest = &rest[length..];
    }
    written
}

/// How long the string is with which `text` begins.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// `text` with the escape of U+FFFD for each half of a surrogate pair.
pub fn without_half_pairs(text: &str) -> String {
    let (mut written, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        written.push_str(before);
        let (replaced, length) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (&escape[..12], 12),
            (Some(0xd800..=0xdfff), _) => ("\\ufffd", 6),
            // Whatever is escaped, a second backslash begins no escape of its own.
            _ => {
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                (&escape[..length], length)
            }
        };
        written.push_str(replaced);
        rest = &escape[length..];
    }
    written + rest
}

/// The UTF-16 unit of the escape with which `text` begins.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// `text` with no zero before another digit in what is an address and its prefix length.
pub fn without_zeros(text: &str) -> String {
    fn of(json: Json) -> Json {
        match json {
            Json::List(list) => Json::List(list.into_iter().map(of).collect()),
            Json::Object(members) => Json::Object(members.into_iter().map(|(key, one)| (key, of(one))).collect()),
            Json::Text(text) => {
                let (address, length) = text.split_once('/').unwrap_or((&text, ""));
                // In hexadecimal digits a zero may stand behind a letter.
                let address = if address.contains(':') { address.to_owned() } else { trimmed(address) };
                let kept = format!("{address}/{}", trimmed(length));
                Json::Text(if kept.trim_matches('"').parse::<IpNet>().is_ok() { kept } else { text })
            }
        }
    }
    Json::read(text).map_or_else(|| text.to_owned(), |json| of(json).text())
}

/// `text` without the zeros that begin a longer number.
fn trimmed(text: &str) -> String {
    let mut kept = String::new();
    for (at, c) in text.char_indices() {
        let is_first = !kept.ends_with(|last: char| last.is_ascii_digit());
        let is_before = text[at + c.len_utf8()..].starts_with(|next: char| next.is_ascii_digit());
        kept.extend((c != '0' || !is_first || !is_before).then_some(c));
    }
    kept
}

/// `text` without the members of the outermost object that are `unwanted`.
pub fn without_members(text: &str, unwanted: fn(&str, &Json) -> bool) -> String {
    match Json::read(text) {
        Some(Json::Object(mut members)) => {
            members.retain(|(key, value)| !unwanted(key, value));
            Json::Object(members).text()
        }
        _ => text.to_owned(),
    }
}

/// What was understood, where a part of it could be compared as text only: with the cause taken out of that, too.
pub fn mended(value: &Value, without: fn(&str) -> String) -> Value {
    match value {
        Value::Array(list) => list.iter().map(|one| mended(one, without)).collect(),
        Value::Object(object) => object.iter().map(|(key, one)| (key.clone(), mended(one, without))).collect(),
        Value::String(text) if text.starts_with('{') => {
            let text = without(text);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        other => other.clone(),
    }
}

/// Which value counts where an object has a key of the standard's more than once, in whichever case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The last in the standard's case; without one, the last in another.
    Standard,
    /// The last in the standard's case, and no other.
    Exact,
    /// The last.
    Last,
    /// The last, with what those before it say and it does not; `null` says nothing.
    Merged,
    /// As before; `null` takes back what was said.
    Cleared,
    /// The one of this number, or the last: each is read, and a wrong one is refused.
    Number(usize),
}

/// What the others may do: Go's decoder does not tell which way a type is read, and libcni reads some keys twice.
pub const OTHERS: [Rule; 7] =
    [Rule::Standard, Rule::Exact, Rule::Last, Rule::Merged, Rule::Cleared, Rule::Number(0), Rule::Number(1)];

/// The keys that mean something, in the standard's case.
const ANNOTATION: [&str; 20] = [
    "name",
    "namespace",
    "interface",
    "ips",
    "mac",
    "infiniband-guid",
    "portMappings",
    "hostPort",
    "containerPort",
    "protocol",
    "hostIP",
    "bandwidth",
    "ingressRate",
    "ingressBurst",
    "egressRate",
    "egressBurst",
    "deviceID",
    "cni-args",
    "default-route",
    "ipam-claim-reference",
];
const NETWORK: [&str; 17] = [
    "cniVersion",
    "cniVersions",
    "name",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
    "type",
    "capabilities",
    "ipam",
    "dns",
    "nameservers",
    "domain",
    "search",
    "options",
    "prevResult",
    "runtimeConfig",
];
const RESULT: [&str; 28] = [
    "cniVersion",
    "interfaces",
    "name",
    "mac",
    "mtu",
    "sandbox",
    "socketPath",
    "pciID",
    "ips",
    "version",
    "address",
    "gateway",
    "interface",
    "routes",
    "dst",
    "gw",
    "advmss",
    "priority",
    "table",
    "scope",
    "dns",
    "nameservers",
    "domain",
    "search",
    "options",
    "ip4",
    "ip6",
    "ip",
];

/// What only a list has.
pub const OF_LISTS: [&str; 4] = ["cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins"];

/// The keys of whose value nobody but a plugin knows the keys.
const OPAQUE: [&str; 4] = ["cni-args", "capabilities", "prevResult", "runtimeConfig"];

fn standard(kind: &str) -> &'static [&'static str] {
    match kind {
        "annotation" => &ANNOTATION,
        "list" | "nad" => &NETWORK,
        "result" => &RESULT,
        _ => &[],
    }
}

/// `json` with each key once and in the standard's case: `top` chooses in the outermost object, `inner` elsewhere.
pub fn chosen(json: &Json, kind: &str, top: Rule, inner: Rule) -> Json {
    match json {
        Json::Text(text) => Json::Text(text.clone()),
        Json::List(list) => Json::List(list.iter().map(|one| chosen(one, kind, inner, inner)).collect()),
        Json::Object(members) => {
            let mut groups: Vec<(&str, Vec<&(String, Json)>)> = Vec::new();
            for member in members {
                let name = name_of(kind, &member.0);
                match groups.iter_mut().find(|(of, _)| *of == name) {
                    Some((_, group)) => group.push(member),
                    None => groups.push((name, vec![member])),
                }
            }
            let one = |(name, group): (&str, Vec<&(String, Json)>)| {
                let is_known = standard(kind).contains(&name) && !OPAQUE.contains(&name);
                let value = choice(name, &group, rule_of(kind, name, top))?;
                Some((name.to_owned(), chosen(&value, if is_known { kind } else { "" }, inner, inner)))
            };
            Json::Object(groups.into_iter().filter_map(one).collect())
        }
    }
}

/// Each way to keep one member where its key occurs twice, and all that it is in; elsewhere the standard's rule chooses.
pub fn each_kept(json: &Json, kind: &str) -> Vec<Json> {
    let by_standard = |one: &Json, kind: &str| chosen(one, kind, Rule::Standard, Rule::Standard);
    match json {
        Json::Text(_) => Vec::new(),
        Json::List(list) => {
            let with = |at: usize, kept: Json| {
                let mut all: Vec<Json> = list.iter().map(|one| by_standard(one, kind)).collect();
                all[at] = kept;
                Json::List(all)
            };
            let each = list.iter().enumerate();
            each.flat_map(|(at, one)| each_kept(one, kind).into_iter().map(move |kept| with(at, kept))).collect()
        }
        Json::Object(members) => {
            let is_of = |name: &str, key: &str| name == key || name_of(kind, key) == name;
            let mut all = Vec::new();
            for (key, value) in members {
                let name = name_of(kind, key);
                let is_known = standard(kind).contains(&name) && !OPAQUE.contains(&name);
                let inner = if is_known { kind } else { "" };
                let mut kept = each_kept(value, inner);
                if members.iter().filter(|(other, _)| is_of(name, other)).count() > 1 {
                    kept.push(by_standard(value, inner));
                }
                for value in kept {
                    let mut rest: Vec<(String, Json)> = members.clone();
                    rest.retain(|(other, _)| !is_of(name, other));
                    let Json::Object(mut rest) = by_standard(&Json::Object(rest), kind) else { continue };
                    rest.push((name.to_owned(), value));
                    all.push(Json::Object(rest));
                }
            }
            all
        }
    }
}

/// The key in the standard's case.
fn name_of<'a>(kind: &str, key: &'a str) -> &'a str {
    standard(kind).iter().find(|name| name.eq_ignore_ascii_case(key)).map_or(key, |name| *name)
}

/// The NPWG client looks for a `name` in the standard's case only, and adds the NAD's where there is none: that counts.
pub fn named(json: Json) -> Json {
    let Json::Object(mut members) = json else { return json };
    let is_name = |(key, value): &(String, Json)| key == "name" && value.text() != "\"\"";
    if members.iter().rfind(|(key, _)| key == "name").is_none_or(|last| !is_name(last)) {
        members.retain(|(key, _)| !key.eq_ignore_ascii_case("name"));
    }
    Json::Object(members)
}

/// A name that is chosen and empty stays so, where the client has seen another: it would put the NAD's in its place.
pub fn empty_name_is_null(json: &mut Json) {
    let Json::Object(members) = json else { return };
    for (_, value) in members.iter_mut().filter(|(key, value)| key == "name" && value.text() == "\"\"") {
        *value = Json::Text("null".to_owned());
    }
}

/// Plexus reads the version of a result before it reads the result, and as that of a network.
fn rule_of(kind: &str, name: &str, rule: Rule) -> Rule {
    if kind == "result" && name == "cniVersion" && rule == Rule::Exact { Rule::Standard } else { rule }
}

fn choice(name: &str, group: &[&(String, Json)], rule: Rule) -> Option<Json> {
    let last = |members: &mut dyn DoubleEndedIterator<Item = &&(String, Json)>| Some(members.next_back()?.1.clone());
    let exact = || last(&mut group.iter().filter(|(key, _)| key == name));
    match rule {
        Rule::Standard => exact().or_else(|| last(&mut group.iter())),
        Rule::Exact => exact(),
        Rule::Last => last(&mut group.iter()),
        Rule::Merged => group.iter().map(|(_, value)| value.clone()).reduce(|one, next| merged(one, next, false)),
        Rule::Cleared => group.iter().map(|(_, value)| value.clone()).reduce(|one, next| merged(one, next, true)),
        Rule::Number(number) => group.get(number.min(group.len() - 1)).map(|(_, value)| value.clone()),
    }
}

/// What is left of `one` when Go reads `next` into it.
fn merged(one: Json, next: Json, clears: bool) -> Json {
    match (one, next) {
        (Json::Object(mut one), Json::Object(next)) => {
            one.extend(next);
            Json::Object(one)
        }
        (Json::List(one), Json::List(next)) => {
            let mut before = one.into_iter();
            let each = next.into_iter().map(|next| match before.next() {
                Some(one) => merged(one, next, clears),
                None => next,
            });
            Json::List(each.collect())
        }
        (one, Json::Text(null)) if null == "null" && !clears => one,
        (_, next) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_replaced_outside_of_strings() {
        assert_eq!(
            without_large_numbers(r#"{"1e400":[1e400,-1e0400,1e3,"\"1e400"]}"#),
            r#"{"1e400":[1,1,1e3,"\"1e400"]}"#
        );
    }

    #[test]
    fn only_halves_of_pairs_are_replaced() {
        assert_eq!(
            without_half_pairs(r#"\ud800 \\ud800 \ud83d\ude00 \udc00\n"#),
            r#"\ufffd \\ud800 \ud83d\ude00 \ufffd\n"#
        );
    }

    #[test]
    fn zeros_of_addresses_are_taken_out() {
        let text = r#"{"a":"010.00.0.1/024","b":"fd00::5/064","c":"fd00::0005/64","d":"02:00","e":[10.05]}"#;
        let kept = r#"{"a":"10.0.0.1/24","b":"fd00::5/64","c":"fd00::0005/64","d":"02:00","e":[10.05]}"#;
        assert_eq!(without_zeros(text), kept);
    }

    #[test]
    fn one_value_is_chosen() {
        let json =
            Json::read(r#"{"type":1,"TYPE":2,"dns":{"domain":3},"DNS":{"search":4},"x":5,"X":6,"x":7}"#).unwrap();
        for (rule, kept) in [
            (Rule::Standard, r#"{"type":1,"dns":{"domain":3},"x":7,"X":6}"#),
            (Rule::Last, r#"{"type":2,"dns":{"search":4},"x":7,"X":6}"#),
            (Rule::Merged, r#"{"type":2,"dns":{"domain":3,"search":4},"x":7,"X":6}"#),
        ] {
            assert_eq!(chosen(&json, "list", rule, rule).text(), kept, "{rule:?}");
        }
        let json = Json::read(r#"{"TYPE":2}"#).unwrap();
        assert_eq!(chosen(&json, "list", Rule::Exact, Rule::Exact).text(), "{}");
    }
}
