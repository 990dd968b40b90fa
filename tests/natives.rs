//! `docs/reference/built-in-plugins.md` is made of the tables by which a native takes a configuration or leaves it to the program.
//!
//! `UPDATE=1 cargo test --test natives` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use plexus::cni::{PluginConfig, RawObject};
use plexus::delegate::Registry;
use plexus::delegate::ipam::leased::whereabouts;
use plexus::delegate::ipam::{host_local, leased, static_};
use plexus::delegate::keys::{COMMON, Key, Support};
use plexus::delegate::native::{TABLES, bridge};
use plexus::delegate::registry::{Natives, Runner};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = "\
# Built-in plugins

Plexus has built-in versions of some CNI plugins. They behave like the reference plugins v1.9.1, except for the
[intended differences](../evidence/differences.md). `tests/natives.rs` generates the tables from the code.

A built-in plugin is used only if it supports **every** key of the configuration. Otherwise Plexus starts the program of that type
in the plugin directory. Plexus starts the program if

- there is no built-in plugin of that type, or the setting [`natives`](../configuration.md) disables it;
- the configuration contains a key that is not listed below;
- a key occurs twice, ignoring upper and lower case;
- an address is an IPv4-mapped IPv6 address (`::ffff:…`);
- the table below has \"program\" for the value of a key.

IPAM is decided separately. A built-in plugin calls the IPAM program if the section `ipam` has an unsupported key. A program always
calls the IPAM program.

Each built-in plugin checks its configuration, and the requests of the pod, before Plexus attaches the first network of the pod. An
error found there does not use up an address of the default network. A program finds its errors only when it runs. A built-in plugin
also refuses values that the reference plugins accept and no pod can use:

- an address that is multicast, a broadcast address, or listed twice;
- a gateway of the other IP family, or of a route and outside of the subnets of the interface;
- an MTU below 1280 for IPv6;
- a `master` that is not an Ethernet interface;
- a section `ipam` with keys and no `type`, or with one misspelt key, if the rest is not usable.

Built-in `whereabouts` runs only if the setting `natives` names it. It ignores other keys than those below.
[From whereabouts](../how-to/from-whereabouts.md) has the differences.

The built-in `host-local` uses a `dataDir` only if root owns each directory of the path and nobody else may write to it.

At DEL Plexus deletes the interfaces of several such networks together, before it gives their addresses back. It does that for
networks of one plugin, without chained plugins. It does it for their programs, too, if it supports every key: each program runs
all the same, and finds its interface gone.

`plexusctl natives` shows which plugins of each network are built in and which are programs, and why. With the setting
`\"logLevel\": \"debug\"` the plugin logs this for every ADD and STATUS.
";

/// The objects in lists have keys too.
const PARTS: [(&str, &str, &[Key]); 6] = [
    (bridge::TYPE, "vlanTrunk", bridge::TRUNK_KEYS),
    (host_local::TYPE, "ranges", host_local::RANGE_KEYS),
    (host_local::TYPE, "routes", static_::ROUTE_KEYS),
    (leased::TYPE, "routes", static_::ROUTE_KEYS),
    (static_::TYPE, "addresses", static_::ADDRESS_KEYS),
    (static_::TYPE, "routes", static_::ROUTE_KEYS),
];

/// Those of a section that ignores other keys.
const LENIENT_PARTS: [(&str, &str, &[Key]); 3] = [
    (whereabouts::TYPE, "ipRanges", whereabouts::RANGE_KEYS),
    (whereabouts::TYPE, "routes", static_::ROUTE_KEYS),
    (whereabouts::TYPE, "addresses", static_::ADDRESS_KEYS),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "Every plugin", "", COMMON);
    for (kind, keys) in TABLES {
        section(&mut page, &format!("`{kind}`"), kind, keys);
    }
    for (kind, keys) in [
        (host_local::TYPE, host_local::KEYS),
        (leased::TYPE, leased::KEYS),
        (static_::TYPE, static_::KEYS),
        (whereabouts::TYPE, whereabouts::KEYS),
    ] {
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
    writeln!(page, "| key | support |\n|---|---|").unwrap();
    for key in keys {
        row(page, key.name, key.support);
        let all = PARTS.iter().chain(&LENIENT_PARTS);
        for (_, _, parts) in all.filter(|(of, list, _)| (*of, *list) == (kind, key.name)) {
            parts.iter().for_each(|part| row(page, &format!("{}[].{}", key.name, part.name), part.support));
        }
    }
}

fn row(page: &mut String, key: &str, support: Support) {
    let text = match support {
        Support::Implemented => "yes".to_owned(),
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

/// Who runs `config`.
fn runner(config: &Value) -> Runner {
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    Registry::new(Natives::default()).runners(&plugin).main
}

/// Who gives its addresses, asked by a bridge.
fn ipam_runner(section: &Value) -> Runner {
    let config = json!({"type": "bridge", "ipam": section});
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    Registry::new(Natives::default()).runners(&plugin).ipam.unwrap()
}

/// What the page says of each key is what happens to a configuration that has it.
#[test]
fn the_tables_decide() {
    let declined = |key: &Key| matches!(key.support, Support::DeclinedWhenTrue(_));
    for (kind, keys) in TABLES {
        for key in COMMON.iter().chain(*keys).filter(|key| !["type", "ipam"].contains(&key.name)) {
            let value = if declined(key) { json!(true) } else { Value::Null };
            let found = runner(&json!({"type": kind, key.name: value}));
            assert_eq!(matches!(found, Runner::Program(_)), declined(key), "{kind}: {}: {found:?}", key.name);
        }
        assert!(matches!(runner(&json!({"type": kind, "future": 1})), Runner::Program(_)), "{kind}");
    }
    for (kind, keys) in
        [(host_local::TYPE, host_local::KEYS), (leased::TYPE, leased::KEYS), (static_::TYPE, static_::KEYS)]
    {
        for key in keys.iter().filter(|key| key.name != "type") {
            let section = json!({"type": kind, key.name: Value::Null});
            assert_eq!(ipam_runner(&section), Runner::Native, "{kind}: {}", key.name);
        }
        assert!(matches!(ipam_runner(&json!({"type": kind, "future": 1})), Runner::Program(_)), "{kind}");
    }
}

/// Sections of whereabouts go to its program where nobody has chosen otherwise.
#[test]
fn whereabouts_is_chosen() {
    let runner = |natives: &str| {
        let config = r#"{"type": "bridge", "ipam": {"type": "whereabouts", "range": "10.0.0.0/24", "comment": 1}}"#;
        let plugin = PluginConfig::new(RawObject::parse(config).unwrap()).unwrap();
        Registry::new(serde_json::from_str(natives).unwrap()).runners(&plugin).ipam.unwrap()
    };
    for (natives, built_in) in [
        ("true", false),
        (r#"{"whereabouts": true}"#, true),
        (r#"{"whereabouts": false}"#, false),
        (r#"{"bridge": true}"#, false),
        (r#"["bridge", "whereabouts"]"#, true),
        (r#"["bridge"]"#, false),
    ] {
        assert_eq!(runner(natives) == Runner::Native, built_in, "{natives}");
    }
}

/// The parts are known where the page says so, and nothing else is.
#[test]
fn the_parts_decide() {
    for (kind, list, keys) in &PARTS {
        let judge = |part: Value| match *kind {
            bridge::TYPE => runner(&json!({"type": kind, *list: [part]})),
            _ if *list == "ranges" => ipam_runner(&json!({"type": kind, *list: [[part]]})),
            _ => ipam_runner(&json!({"type": kind, *list: [part]})),
        };
        keys.iter()
            .for_each(|key| assert_eq!(judge(json!({key.name: 1})), Runner::Native, "{kind} {list} {}", key.name));
        assert!(matches!(judge(json!({"future": 1})), Runner::Program(_)), "{kind} {list}");
    }
}
