//! The examples in the table of rules.

use super::command::lint;
use plexus::cli::lint::check;
use plexus::cli::lint::judged::Machine;
use plexus::cli::lint::rule::{Example, Needs, Rule, Severity};
use plexus::cli::lint::rules;
use plexus::engine::Settings;
use serde_json::Value;
use std::collections::BTreeSet;

/// An example as whole manifests.
pub fn manifests(example: Example) -> String {
    let bridge = |name: &str| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{ name: {name} }}\nspec:\n  config: '{{ \"cniVersion\": \"1.0.0\", \"type\": \"bridge\" }}'\n---\n"
        )
    };
    match example {
        Example::Config(config) => format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{ name: example }}\nspec:\n  config: |\n    {config}\n"
        ),
        Example::Annotation(annotation) => format!(
            "{}{}apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: |\n      {annotation}\nspec: {{ containers: [] }}\n",
            bridge("a"),
            bridge("b")
        ),
        Example::Manifests(text) => text.to_owned(),
    }
}

/// What an example is judged by: its own settings, a node without programs and with a bridge that does not filter.
fn found(rule: &Rule, example: Example) -> Vec<(&'static str, Severity, String)> {
    let text = manifests(example);
    let own = text.lines().next().and_then(|line| line.strip_prefix("# settings: ")).unwrap_or("{}");
    let mut settings: serde_json::Value = serde_json::from_str(own).unwrap();
    settings["name"] = "x".into();
    settings["cniVersion"] = "1.0.0".into();
    settings["delegates"] = serde_json::json!([{"cniVersion": "1.0.0", "name": "default", "type": "primary"}]);
    let settings = Settings::parse(&settings.to_string()).unwrap();
    let machine = (rule.needs == Needs::Node)
        .then(|| Machine { bridges: [("br0".to_owned(), false)].into(), ..Machine::default() });
    let findings = check(&text, rule.needs == Needs::Cluster, &settings, machine);
    findings.into_iter().map(|f| (f.rule.id, f.rule.severity, f.found.text)).collect()
}

#[test]
fn every_rule_finds_its_bad_example_and_not_its_good_one() {
    let mut wrong = Vec::new();
    for rule in rules::all() {
        let bad = found(rule, rule.bad);
        if !bad.iter().any(|(id, ..)| *id == rule.id) {
            wrong.push(format!("{}: its bad example is not found: {bad:?}", rule.id));
        }
        // An error of another rule would hide what is shown.
        let others: Vec<_> =
            bad.iter().filter(|(id, severity, _)| *id != rule.id && *severity == Severity::Error).collect();
        if !others.is_empty() {
            wrong.push(format!("{}: its bad example has other errors: {others:?}", rule.id));
        }
        let good: Vec<_> = found(rule, rule.good)
            .into_iter()
            .filter(|(id, severity, _)| *id == rule.id || *severity == Severity::Error)
            .collect();
        if !good.is_empty() {
            wrong.push(format!("{}: its good example is found: {good:?}", rule.id));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Nobody who asks a cluster has files to give.
#[test]
fn no_fix_for_a_cluster_is_about_files() {
    let settings = Settings::parse(r#"{"name":"x","cniVersion":"1.0.0"}"#).unwrap();
    for rule in rules::all() {
        let findings = check(&manifests(rule.bad), true, &settings, None);
        for one in findings.iter().filter(|one| one.found.object.is_some()) {
            assert!(!one.fix().contains("give lint"), "{}: {}", one.rule.id, one.fix());
        }
    }
}

#[test]
fn ids_are_unique_and_sentences_are_sentences() {
    let ids: Vec<&str> = rules::all().map(|rule| rule.id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for rule in rules::all() {
        assert!(rule.id.starts_with("PX") && rule.id.len() == 5, "{}", rule.id);
        for text in [rule.what, rule.fix] {
            assert!(!text.ends_with('.') && !text.contains('\n') && text.len() > 10, "{}: {text}", rule.id);
        }
        for (id, _, text) in found(rule, rule.bad) {
            assert!(!text.contains('\n') && !text.ends_with('.'), "{id}: {text}");
        }
    }
    assert!(ids.len() > 45, "{}", ids.len());
}

/// On a node the links have their own MTU, and a network of the manifests does not count.
#[test]
fn an_mtu_is_compared_with_that_of_the_link_on_the_node() {
    let text =
        manifests(Example::Config(r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mtu": 1600 }"#));
    let settings = Settings::parse(r#"{"name":"x","cniVersion":"1.0.0"}"#).unwrap();
    for (mtu, found) in [(1500, 1), (9000, 0)] {
        let machine = Machine { mtus: [("eth1".to_owned(), mtu)].into(), ..Machine::default() };
        let findings = check(&text, false, &settings, Some(machine));
        assert_eq!(findings.iter().filter(|finding| finding.rule.id == "PX074").count(), found, "{findings:?}");
    }
}

/// The words by which messages of built-in plugins belong to rules: one of each that a built-in plugin has.
#[test]
fn places_are_those_of_the_keys() {
    let text = manifests(Example::Config(
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "brigde" }"#,
    ));
    let settings = Settings::parse(r#"{"name":"x","cniVersion":"1.0.0"}"#).unwrap();
    let findings = check(&text, false, &settings, None);
    let mode = findings.iter().find(|finding| finding.rule.id == "PX011").unwrap();
    assert!(text[mode.found.place.at..].starts_with("\"mode\""), "{}", &text[mode.found.place.at..]);
}

/// What `rule` has against `text` with `settings`: message and fix.
pub fn of_rule(rule: &str, text: &str, settings: &str) -> Vec<[String; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["x.yaml", "s.json"].map(|name| folder.path().join(name).display().to_string());
    paths.iter().zip([text, settings]).for_each(|(path, text)| std::fs::write(path, text).unwrap());
    let output = lint(&["-o", "json", "--settings", &paths[1], &paths[0]]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let findings = document["findings"].as_array().unwrap().iter().filter(|one| one["rule"] == rule);
    findings.map(|one| ["message", "fix"].map(|key| one[key].as_str().unwrap().to_owned())).collect()
}

/// A program runs for several reasons, and the same step does not end each.
#[test]
fn the_fix_is_of_the_reason_why_a_program_runs() {
    let network = |config: &str| format!("{NETWORK}'{config}'\n");
    let whereabouts = network(
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#,
    );
    let bridge = |more: &str| network(&format!(r#"{{ "cniVersion": "1.0.0", "type": "bridge"{more} }}"#));
    let set = |natives: &str| format!(r#"{{"natives":{natives}}}"#);
    for (text, settings, message, fix) in [
        (&whereabouts, "{}", "the program whereabouts runs", "docs/how-to/from-whereabouts.md"),
        (&bridge(""), &*set("false"), "switched off by the setting natives", "change the setting natives"),
        (&bridge(r#", "mtu": 1500, "mtu": 1400"#), "{}", "key \"mtu\" occurs twice", "remove one of the two keys"),
        (&bridge(r#", "colour": "red""#), "{}", "key \"colour\" is not known", "remove the key if"),
    ] {
        let found = of_rule("PX042", text, settings);
        let [[found_message, found_fix]] = found.as_slice() else { panic!("{text}: {found:?}") };
        assert!(found_message.contains(message) && found_fix.contains(fix), "{text}: {found:?}");
    }
    // Where Plexus gives the addresses there is nothing to do.
    assert!(of_rule("PX042", &whereabouts, &set(r#"{"whereabouts": true}"#)).is_empty());
}

const NETWORK: &str =
    "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: { name: a }\nspec:\n  config: ";
