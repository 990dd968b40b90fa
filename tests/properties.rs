//! What holds for every input of a kind, and not only for examples.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use plexus::api::StateDirectory;
use plexus::cni::{AddResult, ContainerId, IfName, NetworkName, RawObject, Version};
use plexus::nad::{NadRef, selection};
use plexus::store::{Attachment, Found, Record, State, Store};
use plexus::sys::files::Durability;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Texts near the border between names and what is none.
fn nearly_a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_./:@%\\- -]{0,20}",
        "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9-]{1,5}){0,3}",
        ".{0,16}",
        "[a-z]{250,260}",
    ]
}

fn dns_label() -> impl Strategy<Value = String> {
    "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?"
}

fn link() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.-]{1,15}".prop_filter("a name", |name| name != "." && name != "..")
}

/// A JSON value as somebody could have written it: white space, any number, any escape.
fn written_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        r#""([a-zé \u{1F600}]|\\u[0-9a-b][0-9a-f]{3}|\\n|\\"|\\\\|\\/){0,10}""#,
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let member = (r#"[a-zA-Z.]{0,6}"#, inner.clone()).prop_map(|(key, value)| format!("\"{key}\" :{value}"));
        prop_oneof![
            vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(" ,"))),
            vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

/// An object's members: keys, often the same in another letter case, and values as written.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("(mtu|Mtu|MTU|name|[a-zA-Z]{1,3})", written_value()), 0..8)
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_ipv6_mapped().into()),
    ]
}

/// An address with a prefix length, and without.
fn network() -> impl Strategy<Value = (String, IpAddr)> {
    (address(), 0..=128_u8)
        .prop_map(|(ip, length)| (format!("{ip}/{}", length.min(if ip.is_ipv4() { 32 } else { 128 })), ip))
}

/// A result of the newest version.
fn result() -> impl Strategy<Value = Value> {
    let interface = (link(), option::of("[0-9a-f]{2}(:[0-9a-f]{2}){5}"), any::<u16>(), any::<bool>()).prop_map(
        |(name, mac, mtu, inside)| json!({"name": name, "mac": mac, "mtu": mtu, "sandbox": if inside { "/run/netns/x" } else { "" }}),
    );
    let ip = (network(), option::of(address()), option::of(-1..3))
        .prop_map(|((net, _), gateway, interface)| json!({"address": net, "gateway": gateway, "interface": interface}));
    let route = (network(), option::of(address()), option::of(any::<u32>()))
        .prop_map(|((dst, _), gw, mtu)| json!({"dst": dst, "gw": gw, "mtu": mtu}));
    (vec(interface, 0..3), vec(ip, 0..4), vec(route, 0..4)).prop_map(
        |(interfaces, ips, routes)| json!({"cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips, "routes": routes}),
    )
}

fn attachment() -> impl Strategy<Value = Attachment> {
    (link(), members(), option::of(written_value()), "[A-Z=;é\"\\\\\u{0}-\u{1f}]{0,12}").prop_map(
        |(ifname, config, result, args)| Attachment {
            call: IfName::new("eth0").unwrap(),
            network: "ns/n".to_owned(),
            ifname: IfName::new(ifname).unwrap(),
            default: false,
            state: State::Attached,
            config: RawValue::from_string(object(&config)).unwrap(),
            capability_args: RawObject::parse(&object(&config)).unwrap(),
            args,
            path: vec!["/opt/cni/bin".into()],
            device_info_file: None,
            // A record writes no result as null.
            result: result.filter(|text| text != "null").map(|text| RawValue::from_string(text).unwrap()),
            gateways: None,
            refused: false,
            debt: None,
        },
    )
}

proptest! {
    #[test]
    fn identifiers_are_those_of_the_reference(text in nearly_a_name()) {
        // CNI-CFG-03, CNI-ENV-06: ^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let expected = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(legal);
        prop_assert_eq!(NetworkName::new(text.as_str()).is_ok(), expected);
        prop_assert_eq!(ContainerId::new(text.as_str()).is_ok(), expected && text.len() <= 200);
    }

    #[test]
    fn interface_names_are_those_of_linux(text in nearly_a_name()) {
        // CNI-ENV-07; that Linux takes them is asked of Linux itself, in hostile_input.
        let legal = |c: char| !c.is_whitespace() && !c.is_control() && !"/:%".contains(c);
        let expected = (1..=15).contains(&text.len())
            && !matches!(text.as_str(), "." | "..")
            && text.chars().all(legal)
            && !text.as_bytes().contains(&0xa0);
        prop_assert_eq!(IfName::new(text.as_str()).is_ok(), expected);
    }

    #[test]
    fn references_are_dns_names(text in nearly_a_name()) {
        // NPWG-NAD-06: [a-z0-9]([-a-z0-9]*[a-z0-9])?, joined by dots
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let label = |label: &str| {
            !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        };
        let expected = text.len() <= 253 && text.split('.').all(label);
        prop_assert_eq!(NadRef::new("ns", &text).is_ok(), expected);
        let read = serde_json::from_value::<NadRef>(json!({"namespace": text, "name": "n"}));
        prop_assert_eq!(read.is_ok(), expected);
    }

    #[test]
    fn the_short_form_says_what_was_meant(
        elements in vec((option::of(dns_label()), dns_label(), option::of(link()), "[ \t]{0,2}"), 1..10),
    ) {
        let element = |(namespace, name, interface, space): &(Option<String>, String, Option<String>, String)| {
            let namespace = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            let interface = interface.as_ref().map(|interface| format!("@{interface}")).unwrap_or_default();
            format!("{space}{namespace}{name}{interface}{space}")
        };
        let text = elements.iter().map(element).collect::<Vec<_>>().join(",");
        // NPWG-ANN-02, NPWG-ANN-03, NPWG-ANN-04
        let selections = selection::parse(&text, "own").unwrap();
        prop_assert_eq!(selections.len(), elements.len());
        for (selection, (namespace, name, interface, _)) in selections.iter().zip(&elements) {
            prop_assert_eq!(selection.nad.namespace(), namespace.as_deref().unwrap_or("own"));
            prop_assert_eq!(selection.nad.name(), name);
            prop_assert_eq!(selection.interface.as_ref().map(IfName::as_str), interface.as_deref());
        }
    }

    #[test]
    fn the_json_form_says_what_was_meant(
        name in dns_label(), ips in vec(network(), 0..4), gateways in vec(address(), 0..3), args in members(),
    ) {
        let ips: Vec<String> = ips.into_iter().map(|(net, _)| net).collect();
        let args = object(&args);
        let (ips_text, gateways_text) = (json!(ips), json!(gateways));
        let text = format!(r#"[{{"name":"{name}","ips":{ips_text},"default-route":{gateways_text},"cni-args":{args}}}]"#);
        // NPWG-KEY-03, NPWG-KEY-10, NPWG-KEY-16
        let selection = selection::parse(&text, "own").unwrap().remove(0);
        prop_assert_eq!(selection.ips, ips);
        let canonical = gateways.iter().map(IpAddr::to_canonical).collect::<Vec<_>>();
        prop_assert_eq!(selection.default_route, Some(canonical));
        prop_assert_eq!(selection.cni_args.unwrap().to_json(), args);
    }

    #[test]
    fn values_survive_byte_for_byte(members in members()) {
        // CNI-CFG-14: duplicated keys, numbers of any size, escapes and white space inside.
        let text = object(&members);
        let read = RawObject::parse(&text).unwrap();
        prop_assert_eq!(read.to_json(), text.as_str());
        prop_assert_eq!(RawObject::parse(read.to_raw().get()).unwrap(), read);
    }

    #[test]
    fn a_key_is_found_as_go_finds_it(members in members()) {
        let read = RawObject::parse(&object(&members)).unwrap();
        for key in ["mtu", "MTU", "name", "absent"] {
            let last = |same: &dyn Fn(&str) -> bool| members.iter().rev().find(|(name, _)| same(name));
            let expected = last(&|name| name == key).or_else(|| last(&|name| name.eq_ignore_ascii_case(key)));
            prop_assert_eq!(read.get(key).map(RawValue::get), expected.map(|(_, value)| value.as_str()));
            let mut changed = read.clone();
            changed.set_value(key, "new");
            // What is set is the only one, and nothing else has moved.
            prop_assert_eq!(changed.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key)).count(), 1);
            let others = |object: &RawObject| -> Vec<(String, String)> {
                let others = object.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(key));
                others.map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect()
            };
            prop_assert_eq!(others(&changed), others(&read));
        }
    }

    #[test]
    fn merging_is_setting_each(old in members(), new in members()) {
        let (old, new) = (RawObject::parse(&object(&old)).unwrap(), RawObject::parse(&object(&new)).unwrap());
        let (mut merged, mut set) = (old.clone(), old);
        merged.merge(&new);
        new.iter().for_each(|(key, value)| set.set(key, value.to_owned()));
        prop_assert_eq!(merged, set);
    }

    #[test]
    fn a_conversion_invents_nothing(result in result()) {
        let newest = AddResult::parse(&result.to_string(), Version::NEWEST).unwrap();
        for version in Version::ALL {
            // CNI-CONV-01, CNI-CONV-02, CNI-CONV-03, CNI-CONV-04
            let Ok(raw) = newest.to_raw(version) else {
                prop_assert!(version < Version::V0_3_0 && newest.ips.is_empty());
                continue;
            };
            let back = AddResult::parse(raw.get(), Version::NEWEST).unwrap();
            let again = back.to_raw(version).unwrap();
            prop_assert_eq!(again.get(), raw.get());
            if version >= Version::V1_0_0 {
                prop_assert_eq!(&back, &newest);
            } else if version >= Version::V0_3_0 {
                prop_assert_eq!((&back.ips, &back.routes), (&newest.ips, &newest.routes));
            }
            for ip in &back.ips {
                let same = |known: &&plexus::cni::result::IpConfig| known.address == ip.address && known.gateway == ip.gateway;
                prop_assert!(newest.ips.iter().find(same).is_some());
            }
            for route in &back.routes {
                prop_assert!(newest.routes.iter().any(|known| known.dst == route.dst && known.gw == route.gw));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_record_cut_anywhere_tells_its_beginning(attachments in vec(attachment(), 0..3)) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let (store, id) = (Store::new(&state), ContainerId::new("c1").unwrap());
        let record =
            Record { created: 7, attachments, ..Record::empty(&id) };
        store.write(&record, Durability::Cached).unwrap();
        let told = |record: &Record| record.attachments.iter().map(|a| serde_json::to_string(a).unwrap()).collect::<Vec<_>>();
        let whole = std::fs::read(state.record(&id)).unwrap();
        let Found::Record(read) = store.look(&id).unwrap() else { panic!("not a record") };
        prop_assert_eq!(serde_json::to_vec(&read).unwrap(), whole.as_slice());
        let mut before = 0;
        for length in 0..whole.len() {
            std::fs::write(state.record(&id), &whole[..length]).unwrap();
            let Found::Salvaged { record: part, damage } = store.look(&id).unwrap() else { panic!("taken for whole") };
            prop_assert!(damage.contains("c1"));
            let part = told(&part);
            prop_assert!(part.len() >= before, "{length} bytes tell less than one byte fewer");
            prop_assert_eq!(&part[..], &told(&record)[..part.len()]);
            before = part.len();
        }
        prop_assert_eq!(before, record.attachments.len());
    }
}
