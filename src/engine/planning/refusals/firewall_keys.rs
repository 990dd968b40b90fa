//! Keys whose values a reference plugin pastes into rules of the host's firewall. With a line end in one of them a
//! definition could add rules of its own, or delete the host's. The plugins do not look; so we do, before they are called.

use crate::cni::json;
use crate::cni::{CniError, Code, NetworkConfig, folds_to};
use serde_json::Value;

/// Of portmap and firewall: names of chains and tables, and parts of rules. A definition may also have a `runtimeConfig`
/// of its own, with addresses that become parts of rules.
pub const KEYS: [&str; 10] = [
    "conditionsV4",
    "conditionsV6",
    "externalSetMarkChain",
    "markMasqBit",
    "backend",
    "ingressPolicy",
    "iptablesAdminChainName",
    "firewalldZone",
    "masqAll",
    "runtimeConfig",
];

/// Refuses `network`, called `label`, where such a value holds a control character, or names a program for iptables to run.
///
/// # Errors
/// Code 7, naming plugin and key.
pub fn refuse(label: &str, network: &NetworkConfig) -> Result<(), CniError> {
    for plugin in &network.plugins {
        for (key, raw) in plugin.object.iter().filter(|(key, _)| KEYS.iter().any(|own| folds_to(key, own))) {
            let why = json::parse(raw.get()).map_or(Some("it cannot be read"), |value| wrong(&value));
            if let Some(why) = why {
                let kind = &plugin.kind;
                return Err(CniError::new(
                    Code::InvalidConfig,
                    format!("network {label}: plugin {kind}: key {key:?} is refused: {why}"),
                ));
            }
        }
    }
    Ok(())
}

fn wrong(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) if text.contains(char::is_control) => Some("it has a control character"),
        Value::String(text) if is_modprobe(text) => Some("it names a program that iptables would run (--modprobe)"),
        Value::Array(items) => items.iter().find_map(wrong),
        Value::Object(members) => members.values().find_map(wrong),
        _ => None,
    }
}

/// `--modprobe=…` or `-M…`. As getopt_long(3) has it, a long option may be cut short as long as it is the only one,
/// and a short one may stand behind others that take no value.
fn is_modprobe(text: &str) -> bool {
    const WITHOUT_VALUE: [char; 8] = ['4', '6', 'V', 'b', 'f', 'n', 'v', 'x'];
    let option = text.split('=').next().unwrap_or_default();
    let short = text.strip_prefix('-').map(|letters| letters.trim_start_matches(WITHOUT_VALUE));
    short.is_some_and(|letters| letters.starts_with('M'))
        || (option.len() >= "--mo".len() && "--modprobe".starts_with(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(plugin: &str) -> Option<String> {
        let network = NetworkConfig::parse(&format!(r#"{{"name":"n","plugins":[{{"type":"a"}},{plugin}]}}"#), None);
        refuse("ns/n", &network.unwrap()).err().map(|e| e.msg)
    }

    #[test]
    fn no_rule_comes_with_a_value() {
        // N1
        for (key, value) in [
            ("conditionsV4", r#"["accept\nadd table inet x","b"]"#),
            ("ConditionsV6", r#"["a\u0000b"]"#),
            ("conditionſV4", r#"["a\nb"]"#),
            ("iptableſAdminChainName", r#""--modprobe=/tmp/x""#),
            ("bac\u{212a}end", r#""nft\n""#),
            ("externalSetMarkChain", r#""x\ty""#),
            ("backend", r#""nftables\u0085""#),
            ("firewalldZone", r#"{"x":["a\rb"]}"#),
            ("runtimeConfig", r#"{"portMappings":[{"hostIP":"10.0.0.1\nadd"}]}"#),
            ("conditionsV4", r#"["--modprobe=/tmp/x"]"#),
            ("conditionsV4", r#"["--mod=/tmp/x"]"#),
            ("conditionsV4", r#"["-M","/tmp/x"]"#),
            ("conditionsV4", r#"["-vM/tmp/x"]"#),
        ] {
            let refusal = refused(&format!(r#"{{"type":"portmap","{key}":{value}}}"#)).unwrap_or_default();
            assert!(["ns/n", "portmap", key].iter().all(|part| refusal.contains(part)), "{key} {value}: {refusal}");
        }
        for fine in [
            r#"{"type":"portmap","conditionsV4":["-s","10.0.0.0/8","-m","statistic","--mode","random"],"markMasqBit":5}"#,
            r#"{"type":"portmap","conditionsV4":null,"backend":"iptables"}"#,
            r#"{"type":"portmap","note":"a\nb"}"#,
        ] {
            assert_eq!(refused(fine), None, "{fine}");
        }
    }
}
