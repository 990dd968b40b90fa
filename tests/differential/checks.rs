//! Whether a difference has the cause that a row of the table names: what is the same without it.

use crate::causes::{self, OF_LISTS, OTHERS, Rule};
use crate::intended::{Outcome, Side, is_same, normal};
use crate::mutate::Json;
use serde_json::Value;

/// The versions of CNI.
const RELEASES: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Plexus takes the same with 1 in place of each large number, and the others only then.
pub fn by_large_numbers(one: &Outcome) -> bool {
    one.taken(&["cannot unmarshal number"])
        && one
            .without(&causes::without_large_numbers(one.text))
            .is_some_and(|pair| is_same(&mended(one.ours, causes::without_large_numbers), &pair.ours))
}

/// The others take U+FFFD for each half of a pair; Plexus refuses it, or hands it on and takes the rest alike.
pub fn by_half_pairs(one: &Outcome) -> bool {
    let Some(pair) = one.without(&causes::without_half_pairs(one.text)) else { return false };
    let is_refused = one.ours.as_ref().is_err_and(|why| why.contains("hex escape") || why.contains("surrogate"));
    let is_handed_on = one.ours.is_ok() && is_same(&mended(one.ours, causes::without_half_pairs), &pair.ours);
    is_same(one.theirs, &pair.theirs) && (is_refused || is_handed_on)
}

/// Plexus reads an address with zeros as the one without them.
pub fn by_zeros(one: &Outcome) -> bool {
    let pair = one.without(&causes::without_zeros(one.text));
    one.taken(&["invalid CIDR address"]) && pair.is_some_and(|pair| is_same(&of_addresses(one.ours), &pair.ours))
}

/// The others read a prefix length with zeros as the one without them.
pub fn by_zeros_of_lengths(one: &Outcome) -> bool {
    let pair = one.without(&causes::without_zeros(one.text));
    one.refused(&["invalid IP address syntax"])
        && pair.is_some_and(|pair| is_same(&of_addresses(one.theirs), &pair.theirs))
}

/// What was understood, where what nobody read as an address has its zeros still.
fn of_addresses(side: &Side) -> Side {
    let value = side.clone()?;
    Ok(serde_json::from_str(&causes::without_zeros(&value.to_string())).unwrap_or(value))
}

fn mended(side: &Side, without: fn(&str) -> String) -> Side {
    side.as_ref().map(|value| causes::mended(value, without)).map_err(Clone::clone)
}

/// Plexus takes the text as the one in which its rule has chosen among the keys, or refuses a key that a result has
/// twice; the others take it as one in which another rule has chosen; and with Plexus' choice both agree.
pub fn by_keys(one: &Outcome) -> bool {
    let Some(json) = Json::read(one.text) else { return false };
    let rule = if one.kind == "result" { Rule::Exact } else { Rule::Standard };
    let plain = causes::chosen(&json, one.kind, rule, rule);
    // Another way to write it is no other text.
    let Some(pair) = one.without(&plain.text()).filter(|_| plain != json) else { return false };
    let is_twice = one.kind == "result" && one.refused(&["has key "]) && has_a_key_twice(&json);
    let settled = |side: &Side, rule| Ok(read_by(side.clone()?, rule));
    if !is_twice && !is_same(&settled(one.ours, rule), &settled(&pair.ours, rule)) {
        return false;
    }
    let json = if one.kind == "nad" { causes::named(json) } else { json };
    let mut texts: Vec<String> = Vec::new();
    for (top, inner) in OTHERS.iter().flat_map(|top| OTHERS.map(|inner| (*top, inner))) {
        let mut json = causes::chosen(&json, one.kind, top, inner);
        if one.kind == "nad" {
            causes::empty_name_is_null(&mut json);
        }
        let text = json.text();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if is_single_without_type(one, &json) || is_wrong_of_several(one, &json) {
        return true;
    }
    let theirs: Vec<Side> = (one.ask)(&texts).into_iter().map(|pair| pair.theirs).collect();
    let is_understood = theirs.iter().any(|each| is_same(&apart(each, false), &apart(one.theirs, false)));
    // By which rule libcni looks into a plugin is not by which it hands it on.
    let is_handed_on = |rule: &Rule| {
        let found = apart(&settled(one.theirs, *rule), true);
        theirs.iter().any(|each| is_same(&apart(each, true), &found))
    };
    is_understood && OTHERS.iter().any(is_handed_on)
}

/// The NPWG client decides by one of several types that there is a single plugin, and libcni reads another one, which is empty: no
/// text with one type leads there.
fn is_single_without_type(one: &Outcome, json: &Json) -> bool {
    let is_empty = |rule: &Rule| match causes::chosen(json, one.kind, *rule, *rule) {
        Json::Object(members) => {
            let is_type = |(key, value): &(String, Json)| key == "type" && !["\"\"", "null"].contains(&&*value.text());
            !members.iter().any(is_type)
        }
        _ => true,
    };
    let has_both = OTHERS.iter().any(is_empty) && !OTHERS.iter().all(is_empty);
    one.kind == "nad" && has_both && one.taken(&["missing 'type'"])
}

/// The others refuse a value of a wrong type, of whichever key that occurs twice: each of them is read.
fn is_wrong_of_several(one: &Outcome, json: &Json) -> bool {
    const WRONG: &str = "cannot unmarshal";
    let texts: Vec<String> = causes::each_kept(json, one.kind).iter().map(Json::text).collect();
    let is_wrong = |side: &Side| side.as_ref().is_err_and(|why| why.contains(WRONG));
    one.taken(&[WRONG]) && (one.ask)(&texts).iter().any(|pair| is_wrong(&pair.theirs))
}

fn has_a_key_twice(json: &Json) -> bool {
    match json {
        Json::Text(_) => false,
        Json::List(list) => list.iter().any(has_a_key_twice),
        Json::Object(members) => members
            .iter()
            .enumerate()
            .any(|(at, (key, value))| members[..at].iter().any(|(before, _)| before == key) || has_a_key_twice(value)),
    }
}

/// What each plugin reads, with one choice among the keys: the plugin chooses for itself, and is not asked here.
fn read_by(mut value: Value, rule: Rule) -> Value {
    for stdin in stdins(&mut value) {
        let text = stdin.as_str().map_or_else(|| stdin.to_string(), str::to_owned);
        if let Some(json) = Json::read(&text) {
            let text = causes::chosen(&json, "nad", rule, rule).text();
            *stdin = serde_json::from_str(&text).unwrap_or(Value::String(text));
        }
    }
    value
}

/// Only what the plugins read, or all but that.
fn apart(side: &Side, is_stdin: bool) -> Side {
    let mut value = side.clone()?;
    let read: Vec<Value> = stdins(&mut value).map(Value::take).collect();
    Ok(if is_stdin { Value::Array(read) } else { value })
}

fn stdins(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    let plugins = value.get_mut("plugins").and_then(Value::as_array_mut);
    plugins.into_iter().flatten().filter_map(|plugin| plugin.get_mut("stdin"))
}

/// Takes `keys` out of what the plugins read.
fn take_out(value: &mut Value, keys: &[&str]) {
    for stdin in stdins(value).filter_map(Value::as_object_mut) {
        stdin.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// What libcni hands on, without what Plexus does not.
pub fn without_runtime_keys(value: &Value) -> Value {
    let mut value = value.clone();
    take_out(&mut value, &["capabilities", "prevResult"]);
    value
}

/// Plexus knows the version that it chose, the others do not know theirs, and all else is the same.
pub fn by_unknown_version(one: &Outcome) -> bool {
    let (Ok(ours), Ok(theirs), true) = (one.ours, one.theirs, one.is_network()) else { return false };
    let version = |value: &Value| value["version"].as_str().map(str::to_owned);
    let is_known = |value: &Value| version(value).is_some_and(|version| RELEASES.contains(&version.as_str()));
    let mut changed = without_runtime_keys(theirs);
    changed["version"] = ours["version"].clone();
    stdins(&mut changed).for_each(|stdin| stdin["cniVersion"] = ours["version"].clone());
    is_known(ours) && !is_known(theirs) && normal(&changed) == normal(ours)
}

/// Without the keys of a list beside the `type`, both agree; the others understand nothing else then, and Plexus
/// nothing but the flags and the version.
pub fn by_keys_of_lists(one: &Outcome) -> bool {
    let Some(Json::Object(members)) = Json::read(one.text) else { return false };
    let is_type = |(key, value): &(String, Json)| key == "type" && value.text().starts_with('"');
    if one.kind != "nad" || !members.iter().any(is_type) {
        return false;
    }
    let text = causes::without_members(one.text, |key, _| OF_LISTS.contains(&key));
    let Some(pair) = one.without(&text) else { return false };
    let rest = |side: &Side, more: &[&str]| -> Side {
        let mut value = side.clone()?;
        take_out(&mut value, &[&OF_LISTS, more].concat());
        for key in ["version", "disableCheck", "disableGC", "onlyInlined"].iter().filter(|_| !more.is_empty()) {
            value[*key] = Value::Null;
        }
        Ok(value)
    };
    let words = OF_LISTS.map(|key| format!("\"{key}\""));
    let is_refused = one.refused(&["incompatible CNI versions: "])
        || one.refused(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let more = ["cniVersion"];
    is_same(&rest(one.theirs, &[]), &rest(&pair.theirs, &[]))
        && (is_refused || is_same(&rest(one.ours, &more), &rest(&pair.ours, &more)))
}

/// The others understand an empty name, and Plexus the same as without the key: then both agree.
pub fn by_null_name(one: &Outcome) -> bool {
    let text = causes::without_members(one.text, |key, value| key == "name" && value.text() == "null");
    let Some(pair) = one.without(&text).filter(|_| one.kind == "nad") else { return false };
    let mut theirs = one.theirs.clone();
    let is_empty = theirs.as_ref().is_ok_and(|value| value["name"] == "");
    if let (Ok(theirs), Ok(named)) = (&mut theirs, &pair.theirs) {
        theirs["name"] = named["name"].clone();
        stdins(theirs).for_each(|stdin| stdin["name"] = named["name"].clone());
    }
    is_same(one.ours, &pair.ours) && is_same(&theirs, &pair.theirs) && (is_empty || theirs.is_err())
}

/// Without the claim both agree, and Plexus understands nothing else then.
pub fn by_claims(one: &Outcome) -> bool {
    const CLAIM: &str = "ipam-claim-reference";
    let Some(Json::List(mut elements)) = Json::read(one.text) else { return false };
    for element in &mut elements {
        if let Json::Object(members) = element {
            members.retain(|(key, _)| !key.eq_ignore_ascii_case(CLAIM));
        }
    }
    let mut ours = one.ours.clone();
    for element in ours.iter_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
        element.remove(CLAIM);
    }
    one.taken(&["a static IP and a reference of an IPAM claim"])
        && one.without(&Json::List(elements).text()).is_some_and(|pair| is_same(&ours, &pair.ours))
}
