//! The annotation with which pods select networks, in both forms.

use super::{assert_is_dns_name, assert_is_link, text};
use plexus::nad::{Selection, selection};
use serde_json::{Map, Value, json, value::RawValue};

/// What is understood can be written again, in both forms, and is understood the same.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(mut selections) = selection::parse(text, "own") else { return };
    // What means nothing is not written again.
    selections.iter_mut().for_each(|selection| selection.unknown.clear());
    for selection in &selections {
        assert_is_dns_name(selection.nad.namespace());
        assert_is_dns_name(selection.nad.name());
        selection.interface.iter().for_each(|name| assert_is_link(name.as_str()));
    }
    let list = format!("[{}]", selections.iter().map(as_json).collect::<Vec<_>>().join(","));
    assert_eq!(selection::parse(&list, "other").unwrap(), selections, "{list}");
    if let Some(short) = as_short(&selections) {
        assert_eq!(selection::parse(&short, "other").unwrap(), selections, "{short}");
    }
}

/// `selection` in the JSON form; `cni-args` byte for byte.
pub fn as_json(selection: &Selection) -> String {
    let mut object = Map::new();
    object.insert("name".into(), selection.nad.name().into());
    object.insert("namespace".into(), selection.nad.namespace().into());
    let mut add = |key: &str, value: Value| _ = (!value.is_null()).then(|| object.insert(key.into(), value));
    add("interface", json!(selection.interface));
    add("ips", json!(selection.ips));
    add("mac", json!(selection.mac));
    add("infiniband-guid", json!(selection.infiniband_guid));
    add("portMappings", json!(selection.port_mappings));
    add("bandwidth", json!(selection.bandwidth));
    add("deviceID", json!(selection.device_id));
    add("default-route", json!(selection.default_route));
    add("ipam-claim-reference", json!(selection.ipam_claim_reference));
    let text = Value::Object(object).to_string();
    let args = selection.cni_args.as_ref().map(|args| args.to_raw());
    match args.as_deref().map(RawValue::get) {
        Some(args) => format!("{},\"cni-args\":{args}}}", text.strip_suffix('}').unwrap_or_default()),
        None => text,
    }
}

/// `selections` in the short form, where it can say all of them.
fn as_short(selections: &[Selection]) -> Option<String> {
    let short = |selection: &Selection| {
        let only_names = Selection { interface: selection.interface.clone(), ..Selection::of(selection.nad.clone()) };
        // A dot is for the JSON form; `"` and the like make it the JSON form.
        let interface = selection.interface.as_ref().map(|name| name.as_str()).unwrap_or_default();
        if *selection != only_names
            || selection.nad.name().contains('.')
            || interface.contains(['[', '{', '"', ',', '@'])
        {
            return None;
        }
        let at = if interface.is_empty() { "" } else { "@" };
        Some(format!("{}{at}{interface}", selection.nad))
    };
    let all: Option<Vec<String>> = selections.iter().map(short).collect();
    all.map(|all| all.join(" , "))
}
