//! What `lint` finds in the pod's own networks and annotations: a slip that no plugin refuses gives another network than meant.

use crate::cli::diagnosis::{Check, Fault};
use crate::cli::lint;
use crate::cli::lint::rule::{Finding, Severity, with_page};
use crate::cli::natives::DEFAULTS;
use crate::cli::objects::Objects;
use crate::cli::plan::rehearse::{self, Stage};
use crate::cli::plan::subjects::Subject;
use crate::cli::settings_of_node::elsewhere;
use crate::engine::Settings;

/// Rules that say nothing about what a pod gets; or that other checks of `why` look at, with more evidence; or that depend on
/// settings or on pools that were not asked for.
const ASIDE: [&str; 12] =
    ["PX006", "PX018", "PX026", "PX028", "PX029", "PX030", "PX036", "PX041", "PX043", "PX044", "PX062", "PX084"];

/// Rules about keys that mean nothing: they are the reason of most others.
const FIRST: [&str; 3] = ["PX007", "PX008", "PX009"];

/// The findings in `manifests`: the pod and the networks that it selects.
pub fn slips<'a>(manifests: impl Iterator<Item = &'a str>) -> Vec<Check> {
    let objects = objects(manifests);
    let Ok(settings) = Settings::parse(DEFAULTS) else { return Vec::new() };
    let findings = lint::findings(&objects, &settings, None);
    let own = findings.iter().filter(|one| one.rule.severity != Severity::Info && !ASIDE.contains(&one.rule.id));
    let mut own: Vec<&Finding> = own.collect();
    own.sort_by_key(|finding| !FIRST.contains(&finding.rule.id));
    own.into_iter().filter_map(|finding| told(&objects, finding)).collect()
}

/// Why ADD would refuse the pod in `manifests`, which also have its networks, on every node: by the code of ADD.
pub fn refusal<'a>(manifests: impl Iterator<Item = &'a str>) -> Option<String> {
    let objects = objects(manifests);
    let settings = Settings::parse(&elsewhere()).ok()?;
    let subject = Subject::of_files(objects.pods.first()?, &objects, &settings).ok()?;
    Some(rehearse::plan(&subject, &settings, Stage::Elsewhere).refused?.message)
}

fn objects<'a>(manifests: impl Iterator<Item = &'a str>) -> Objects {
    let mut objects = Objects { is_cluster: true, ..Objects::default() };
    manifests.for_each(|manifest| objects.add_object(manifest));
    objects
}

/// None of an object that cannot be read.
fn told(objects: &Objects, finding: &Finding) -> Option<Check> {
    let object = &objects.all[finding.found.object?];
    let remedy = format!("{}.", with_page(&capitalised(finding.fix()), &finding.rule.page()));
    let text = &finding.found.text;
    let is_error = finding.rule.severity == Severity::Error;
    let check = |what, fault, text: String| match is_error {
        true => Check::bad(what, fault, text),
        false => Check::warning(what, fault, text),
    };
    if object.is_network() {
        let name = format!("{}/{}", object.namespace, object.name);
        let found = format!("network {name}: {text}");
        return Some(check("network", Fault::NetworkBroken, found).remedied_by(remedy).of_network(name));
    }
    Some(check("annotation", Fault::Annotation, text.clone()).remedied_by(remedy))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lint::rules;

    #[test]
    fn every_rule_aside_exists() {
        assert!(ASIDE.iter().chain(&FIRST).all(|id| rules::all().any(|rule| rule.id == *id)));
    }

    #[test]
    fn an_error_in_a_text_of_the_cluster_has_its_place() {
        let nad = r#"{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"lan","namespace":"default"},"spec":{"config":"{\"type\":\"bridge\",\"ipam\":{\"type\":\"static\", }}"}}"#;
        let found = slips([nad].into_iter());
        assert!(found[0].finding.ends_with("spec.config is not JSON: trailing comma (line 1, column 43)"), "{found:?}");
    }

    #[test]
    fn what_add_refuses_is_told_and_a_pool_that_was_not_asked_for_is_no_slip() {
        let nad = |name: &str, config: serde_json::Value| {
            serde_json::json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": name, "namespace": "default"}, "spec": {"config": config.to_string()}})
            .to_string()
        };
        let ipam = serde_json::json!({"type": "plexus-ipam", "pool": "lan"});
        let pool =
            nad("pool", serde_json::json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": ipam}));
        let broken = nad("broken", serde_json::json!({"cniVersion": "1.0.0", "type": "bridge", "vlan": 5000}));
        let pod = |annotation: &str, value: &str| {
            serde_json::json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []},
                "metadata": {"name": "p", "namespace": "default", "annotations": {annotation: value}}})
            .to_string()
        };
        let on_pool = pod(crate::nad::NETWORKS, "pool");
        assert!(slips([on_pool.as_str(), &pool].into_iter()).is_empty());
        assert_eq!(refusal([on_pool.as_str(), &pool].into_iter()), None);
        for annotation in [crate::nad::NETWORKS, crate::nad::DEFAULT_NETWORK] {
            let pod = pod(annotation, "default/broken");
            let why = refusal([pod.as_str(), &broken].into_iter()).unwrap();
            assert!(why.contains("default/broken") && why.contains("5000"), "{annotation}: {why}");
        }
    }

    #[test]
    fn a_slip_is_named_with_what_is_meant() {
        let nad = r#"{"apiVersion":"k8s.cni.cncf.io/v1","kind":"NetworkAttachmentDefinition","metadata":{"name":"lan","namespace":"default"},"spec":{"config":"{\"cniVersion\":\"1.0.0\",\"type\":\"bridge\",\"brigde\":\"br-t\"}"}}"#;
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default","annotations":{"k8s.v1.cni.cncf.io/network":"lan"}},"spec":{"containers":[]}}"#;
        let found = slips([pod, nad].into_iter());
        let named = |words: &str| found.iter().find(|check| check.finding.contains(words));
        let key = named("did you mean \"bridge\"?").unwrap();
        assert_eq!(key.network.as_deref(), Some("default/lan"), "{key:?}");
        assert!(key.remedy.as_ref().unwrap().ends_with("(docs/reference/lint.md#px009)."), "{key:?}");
        assert!(found.iter().all(|check| !check.remedy.as_ref().unwrap().contains(") (")), "{found:?}");
        assert!(named("did you mean k8s.v1.cni.cncf.io/networks?").is_some(), "{found:?}");
    }
}
