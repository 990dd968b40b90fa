//! `docs/reference/built-in-plugins.md` is made of the tables by which a native takes a configuration or leaves it to the program.
//!
//! `UPDATE=1 cargo test --test natives` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use plexus::cni::{PluginConfig, RawObject};
use plexus::delegate::Registry;
use plexus::delegate::ipam::{host_local, static_};
use plexus::delegate::keys::{COMMON, Key, Support};
use plexus::delegate::native::{TABLES, bridge};
use plexus::delegate::registry::{Carrier, Natives};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = "\
# Natives

Plugins that Plexus carries out in its own process. What they make is what the reference plugins v1.9.1 make; what they do
differently, and why, is [one list](../evidence/differences.md). The tables on this page are made of the code by
`tests/natives.rs`.

A native takes a configuration only when it understands **all** of it. The whole configuration goes to the program in the
plugin folder when

- the plugin's type has no table here, or `natives` switches it off (`docs/configuration.md`);
- one key is in no table below: natives never guess at what a newer plugin does;
- a key is there twice, however its letters are written: which one counts would depend on the order in which Go reads them;
- an address is written as IPv4 in IPv6 (`::ffff:…`), which Go takes for IPv4 and the kernel does not;
- a key has a value for which its table says \"program\".

The address plugin is judged apart: a native asks the program for addresses where the section `ipam` is not for the native,
while a program always starts the address plugin itself.

Before the first network of a pod is attached, each native judges its configuration and what the pod requests. So a mistake
costs the default network no address. A program cannot be asked. What the reference plugins take, and no pod can use, is
refused there too: an address that is multicast, a broadcast or there twice; a gateway of the other family or in no subnet
of the interface; an MTU below 1280 for IPv6; a link of the node as `master` that is no Ethernet link; a section `ipam` with
keys and no `type`. So is a section whose one unknown key is a known one with a slip, if the rest cannot be used.

The native `host-local` uses a `dataDir` only if root owns each directory of the path and nobody else may write to it.

`plexusctl natives` says of each network of a node, of a manifest or of a cluster who carries it out, and why, with `-o json`
for programs. STATUS cannot say it: it answers nothing when all is well. With `logLevel` `debug` every ADD and every STATUS
writes it to stderr.
";

/// The objects in lists have keys too.
const PARTS: [(&str, &str, &[Key]); 5] = [
    (bridge::TYPE, "vlanTrunk", bridge::TRUNK_KEYS),
    (host_local::TYPE, "ranges", host_local::RANGE_KEYS),
    (host_local::TYPE, "routes", static_::ROUTE_KEYS),
    (static_::TYPE, "addresses", static_::ADDRESS_KEYS),
    (static_::TYPE, "routes", static_::ROUTE_KEYS),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "Every plugin", "", COMMON);
    for (kind, keys) in TABLES {
        section(&mut page, &format!("`{kind}`"), kind, keys);
    }
    for (kind, keys) in [(host_local::TYPE, host_local::KEYS), (static_::TYPE, static_::KEYS)] {
        section(&mut page, &format!("`ipam` of type `{kind}`"), kind, keys);
    }
    page
}

fn section(page: &mut String, heading: &str, kind: &str, keys: &[Key]) {
    writeln!(page, "\n## {heading}\n").unwrap();
    if keys.is_empty() {
        writeln!(page, "No keys of its own.").unwrap();
        return;
    }
    writeln!(page, "| key | native |\n|---|---|").unwrap();
    for key in keys {
        row(page, key.name, key.support);
        for (_, _, parts) in PARTS.iter().filter(|(of, list, _)| (*of, *list) == (kind, key.name)) {
            parts.iter().for_each(|part| row(page, &format!("{}[].{}", key.name, part.name), part.support));
        }
    }
}

fn row(page: &mut String, key: &str, support: Support) {
    let text = match support {
        Support::Implemented => "implemented".to_owned(),
        Support::DeclinedWhenTrue(why) => format!("`true`: program, because {why}"),
    };
    writeln!(page, "| `{key}` | {text} |").unwrap();
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/built-in-plugins.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == written, "docs/reference/built-in-plugins.md is old; UPDATE=1 cargo test --test natives writes it");
}

/// Who carries out `config`.
fn carrier(config: &Value) -> Carrier {
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    Registry::new(Natives::default()).carriers(&plugin).main
}

/// Who gives its addresses, asked by a bridge.
fn ipam_carrier(section: &Value) -> Carrier {
    let config = json!({"type": "bridge", "ipam": section});
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    Registry::new(Natives::default()).carriers(&plugin).ipam.unwrap()
}

/// What the page says of each key is what happens to a configuration that has it.
#[test]
fn the_tables_decide() {
    let declined = |key: &Key| matches!(key.support, Support::DeclinedWhenTrue(_));
    for (kind, keys) in TABLES {
        for key in COMMON.iter().chain(*keys).filter(|key| !["type", "ipam"].contains(&key.name)) {
            let value = if declined(key) { json!(true) } else { Value::Null };
            let found = carrier(&json!({"type": kind, key.name: value}));
            assert_eq!(matches!(found, Carrier::Program(_)), declined(key), "{kind}: {}: {found:?}", key.name);
        }
        assert!(matches!(carrier(&json!({"type": kind, "future": 1})), Carrier::Program(_)), "{kind}");
    }
    for (kind, keys) in [(host_local::TYPE, host_local::KEYS), (static_::TYPE, static_::KEYS)] {
        for key in keys.iter().filter(|key| key.name != "type") {
            let section = json!({"type": kind, key.name: Value::Null});
            assert_eq!(ipam_carrier(&section), Carrier::Native, "{kind}: {}", key.name);
        }
        assert!(matches!(ipam_carrier(&json!({"type": kind, "future": 1})), Carrier::Program(_)), "{kind}");
    }
}

/// The parts are known where the page says so, and nothing else is.
#[test]
fn the_parts_decide() {
    for (kind, list, keys) in &PARTS {
        let judge = |part: Value| match *kind {
            bridge::TYPE => carrier(&json!({"type": kind, *list: [part]})),
            _ if *list == "ranges" => ipam_carrier(&json!({"type": kind, *list: [[part]]})),
            _ => ipam_carrier(&json!({"type": kind, *list: [part]})),
        };
        keys.iter()
            .for_each(|key| assert_eq!(judge(json!({key.name: 1})), Carrier::Native, "{kind} {list} {}", key.name));
        assert!(matches!(judge(json!({"future": 1})), Carrier::Program(_)), "{kind} {list}");
    }
}
