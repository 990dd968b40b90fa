//! AddressPools: lint refuses what a real API server refuses, and accepts what it accepts.

use super::command::{lint, text};
use super::support::apiserver::ApiServer;
use super::support::cluster::{ADDRESS_KINDS, NETWORKS, role, server};
use serde_json::Value;
use std::fs;

/// What is written, and where and what lint has against it.
type Row = (&'static str, &'static str, &'static str);

/// A pool with one more line in its specification, the sixth of the manifest.
fn spec(line: &str) -> String {
    manifest("{name: lan}", &format!("\n  ranges: [{{range: 10.1.0.0/24}}]\n  {line}"))
}

fn manifest(metadata: &str, spec: &str) -> String {
    format!("apiVersion: ipam.plexus.dev/v1alpha1\nkind: AddressPool\nmetadata: {metadata}\nspec: {spec}\n")
}

fn named(metadata: &str) -> String {
    manifest(metadata, "{ranges: [{range: 10.1.0.0/24}]}")
}

fn ranges(ranges: &str) -> String {
    manifest("{name: lan}", &format!("{{ranges: {ranges}}}"))
}

/// What both refuse of one more line in the specification: where, and what lint has against it.
const LINES: &[Row] = &[
    ("probe: Off", "6:10", r#"spec.probe is false, because Off has no quotes: allowed are "Off", "Warn" and "Refuse""#),
    ("probe: 'off'", "6:10", r#"spec.probe is "off": allowed are "Off", "Warn" and "Refuse""#),
    ("probe: [Warn]", "6:10", r#"spec.probe is a list: allowed are "Off", "Warn" and "Refuse""#),
    ("cooldownSeconds: 86401", "6:20", "spec.cooldownSeconds is 86401: it has to be a whole number from 0 to 86400"),
    ("cooldownSeconds: -1", "6:20", "spec.cooldownSeconds is -1: "),
    ("cooldownSeconds: 1.5", "6:20", "spec.cooldownSeconds is 1.5: "),
    ("cooldownSeconds: '60'", "6:20", r#"spec.cooldownSeconds is "60": "#),
    ("authoritySeconds: 59", "6:21", "spec.authoritySeconds is 59: it has to be a whole number from 60 to 31536000"),
    ("retainSeconds: 31536001", "6:18", "spec.retainSeconds is 31536001: "),
    ("blockSize: 16", "6:14", "spec.blockSize is 16: it has to be a map"),
    ("blockSize: {v4: 512}", "6:19", "spec.blockSize.v4 is 512: it has to be a whole number from 1 to 256"),
    ("blockSize: {v6: 0}", "6:19", "spec.blockSize.v6 is 0: "),
    (
        "blockSize: {v4: 8, v6: 3}",
        "6:26",
        "spec.blockSize.v6: the API server requires that blockSize is a power of two",
    ),
    ("blockSize: {v4: 8, v5: 8}", "6:22", r#"key "v5" of spec.blockSize is unknown"#),
    (
        "warm: {min: 5, max: 2}",
        "6:15",
        "spec.warm.min: the API server requires that warm.min is not more than warm.max",
    ),
    // The other one has its default.
    ("warm: {min: 17}", "6:15", "warm.min is not more than warm.max"),
    ("warm: {max: 0}", "6:9", "warm.min is not more than warm.max"),
    ("warm: {max: 4097}", "6:15", "spec.warm.max is 4097: "),
    ("reclaim: {quarantineSeconds: 9}", "6:32", "spec.reclaim.quarantineSeconds is 9: "),
    ("reclaim: {strict: 'yes'}", "6:21", r#"spec.reclaim.strict is "yes": it has to be true or false"#),
    ("separate: 1", "6:13", "spec.separate is 1: "),
    ("namespaces: [a, Web]", "6:19", r#"spec.namespaces[1] is "Web": it has to match ^[a-z0-9]"#),
    ("namespaces: [no]", "6:16", "spec.namespaces[0] is false, because no has no quotes: it has to be a string"),
    ("namespaces: [7]", "6:16", "spec.namespaces[0] is 7: it has to be a string"),
    ("namespaces: [null]", "6:16", "spec.namespaces[0] is empty: it has to be a string"),
    ("namespaces: web", "6:15", r#"spec.namespaces is "web": it has to be a list"#),
    ("namespace: [web]", "6:3", r#"key "namespace" of spec is unknown; did you mean "namespaces"?"#),
    ("coolDownSeconds: 5", "6:3", r#"key "coolDownSeconds" of spec is unknown; did you mean "cooldownSeconds"?"#),
    ("nodes: {matchLabels: {gpu: true}}", "6:30", "spec.nodes.matchLabels.gpu is true: it has to be a string"),
    ("nodes: {matchExpressions: [{operator: In}]}", "6:30", r#"spec.nodes.matchExpressions[0] has no key "key""#),
    (
        "nodes: {matchExpressions: [{key: a, operator: Gt}]}",
        "6:49",
        r#"spec.nodes.matchExpressions[0].operator is "Gt": allowed are "In", "NotIn", "Exists" and "DoesNotExist""#,
    ),
];

/// The same of metadata.
const NAMES: &[Row] = &[
    ("{name: My_Pool}", "3:18", "metadata.name: the API server requires that the name of a pool is a DNS label"),
    ("{name: lan.a}", "3:18", "the name of a pool is a DNS label"),
    ("{name: lan-}", "3:18", "the name of a pool is a DNS label"),
    ("{name: 7}", "3:18", "metadata.name is 7: it has to be a string"),
    ("{generateName: Lan-}", "3:11", "the name of a pool is a DNS label"),
    ("{labels: {a: b}}", "3:11", "metadata has neither name nor generateName"),
    ("{name: lan, labels: {a: 1}}", "3:35", "metadata.labels.a is 1: it has to be a string"),
    ("{name: lan, labelz: {a: b}}", "3:23", r#"key "labelz" of metadata is unknown; did you mean "labels"?"#),
];

/// The same of ranges.
const RANGES: &[Row] = &[
    ("[{gateway: 10.1.0.1}]", "4:17", r#"spec.ranges[0] has no key "range""#),
    ("{range: 10.1.0.0/24}", "4:16", "spec.ranges is a map: it has to be a list"),
    ("[10.1.0.0/24]", "4:17", r#"spec.ranges[0] is "10.1.0.0/24": it has to be a map"#),
    ("[{range: 10.1.0.0}]", "4:25", r#"range "10.1.0.0" is not a subnet"#),
    ("[{range: 10.1.0.0/33}]", "4:25", r#"range "10.1.0.0/33" is not a subnet"#),
    ("[{range: 10.1.0.0/24, exclude: 10.1.0.9}]", "4:47", r#"spec.ranges[0].exclude is "10.1.0.9": "#),
    ("[{range: 10.1.0.0/24, draining: 'true'}]", "4:48", r#"spec.ranges[0].draining is "true": "#),
    ("[{range: 10.1.0.0/24, excludes: [10.1.0.9]}]", "4:38", r#"did you mean "exclude"?"#),
];

/// What the API server accepts although no pod gets an address then: it compares no addresses.
const SENSELESS: &[Row] = &[
    ("[{range: 10.1.0.1/24}]", "4:25", "range 10.1.0.1/24 has host bits set"),
    ("[{range: 10.1.0.0/24, gateway: 10.2.0.1}]", "4:47", "gateway 10.2.0.1 is not in range 10.1.0.0/24"),
    ("[{range: 10.1.0.0/24}, {range: 10.2.0.0/24, exclude: [x]}]", "4:69", r#"exclude "x" of range 10.2.0.0/24"#),
];

/// What both accept, in the same places.
const GOOD_LINES: &[&str] = &[
    "probe: \"Off\"",
    "probe: Refuse",
    "probe: null",
    "cooldownSeconds: 86400",
    "cooldownSeconds: null",
    "cooldownSeconds: 1e3",
    "cooldownSeconds: 060",
    "cooldownSeconds: 0x40",
    "authoritySeconds: 60",
    "blockSize: {v4: 256}",
    "blockSize: null",
    "blockSize: {}",
    "warm: {min: 16}",
    "warm: {min: 0, max: 0}",
    "reclaim: {strict: yes}",
    "reclaim: {quarantineSeconds: 10, strict: off}",
    "namespaces: []",
    "namespaces: [web, a-1]",
    "nodes: null",
    "nodes: {}",
    "nodes: {matchLabels: {gpu: 'true'}, matchExpressions: [{key: a, operator: Exists}]}",
    "separate: true",
];
const GOOD_NAMES: &[&str] = &[
    "{name: lan}",
    "{generateName: lan-}",
    "{name: lan, namespace: default}",
    "{name: lan, labels: {a: b}, annotations: {c: d}, creationTimestamp: null}",
    "{name: lan, labels: null}",
];
const GOOD_RANGES: &[&str] = &[
    "[]",
    "null",
    "[{range: 10.1.0.0/24, gateway: null}]",
    "[{range: 10.1.0.0/24, exclude: null, draining: null}]",
    "[{range: 'fd00::/64'}]",
];

/// What both refuse: the manifest, and where and what lint has against it.
fn refused() -> Vec<(String, &'static str, &'static str)> {
    let long = "a".repeat(64);
    let mut table = vec![
        (spec(&format!("namespaces: [{long}]")), "6:16", "spec.namespaces[0] has more than 63 characters"),
        (named(&format!("{{name: {long}}}")), "3:18", "the name of a pool is a DNS label"),
        (manifest("{name: lan}", ""), "1:1", r#"the object has no key "spec""#),
        (manifest("{name: lan}", "[]"), "4:7", "spec is a list: it has to be a map"),
        (named("{name: lan}") + "specs: {}\n", "5:1", r#"key "specs" of the object is unknown; did you mean "spec"?"#),
        (
            named("{name: lan}").replace("v1alpha1", "v1"),
            "1:13",
            r#"apiVersion is "ipam.plexus.dev/v1": allowed is "ipam.plexus.dev/v1alpha1""#,
        ),
    ];
    table.extend(LINES.iter().map(|(line, place, words)| (spec(line), *place, *words)));
    table.extend(NAMES.iter().map(|(metadata, place, words)| (named(metadata), *place, *words)));
    table.extend(RANGES.iter().map(|(list, place, words)| (ranges(list), *place, *words)));
    table
}

/// What both accept.
fn accepted() -> Vec<String> {
    let mut all = vec![manifest("{name: lan}", "{}"), named("{name: lan}") + "status: null\n"];
    all.extend(GOOD_LINES.iter().map(|line| spec(line)));
    all.extend(GOOD_NAMES.iter().map(|metadata| named(metadata)));
    all.extend(GOOD_RANGES.iter().map(|list| ranges(list)));
    all
}

fn senseless() -> Vec<(String, &'static str, &'static str)> {
    SENSELESS.iter().map(|(list, place, words)| (ranges(list), *place, *words)).collect()
}

/// The errors that lint finds: `line:column: message`.
fn errors(manifest: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    fs::write(&path, manifest).unwrap();
    let output = lint(&["-o", "json", path.to_str().unwrap()]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap().iter().filter(|one| one["severity"] == "error");
    let errors: Vec<String> = findings
        .map(|one| format!("{}:{}: {}", one["line"], one["column"], one["message"].as_str().unwrap()))
        .collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{}", text(&output.stderr));
    errors
}

fn is_accepted(server: &ApiServer, manifest: &str) -> Result<(), String> {
    server.kubectl(&["create", "--dry-run=server", "-f", "-"], Some(manifest)).map(drop)
}

/// Each error is told, and none twice: a person corrects all of them at once.
#[test]
fn one_error_of_a_pool_hides_no_other() {
    let found = errors(&manifest("{name: My_Pool, labelz: {}}", "{probe: Off, blockSize: {v4: 512}, rangs: []}"));
    let words = ["3:18: metadata.name: ", "\"labelz\"", "spec.probe is false", "spec.blockSize.v4 is 512", "\"rangs\""];
    assert_eq!(found.len(), words.len(), "{found:#?}");
    for word in words {
        assert!(found.iter().any(|one| one.contains(word)), "{word}: {found:#?}");
    }
}

#[test]
fn a_pool_is_refused_here_and_by_the_api_server_alike() {
    let Some(server) = server(&[role("nobody", &[NETWORKS])]) else { return };
    let crds = include_str!("../../crd/addresses/address-pools.yaml");
    server.kubectl(&["apply", "-f", "-"], Some(crds)).unwrap();
    for kind in ADDRESS_KINDS {
        let crd = format!("crd/{kind}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    let mut wrong = Vec::new();
    for (manifest, place, words) in refused() {
        let found = errors(&manifest);
        if is_accepted(&server, &manifest).is_ok() {
            wrong.push(format!("the API server accepts\n{manifest}"));
        }
        if !matches!(found.as_slice(), [one] if one.starts_with(&format!("{place}: ")) && one.contains(words)) {
            wrong.push(format!("{place}: {words}\nis not the one error {found:?} of\n{manifest}"));
        }
    }
    for manifest in accepted() {
        if let Err(why) = is_accepted(&server, &manifest) {
            wrong.push(format!("{why}: the API server refuses\n{manifest}"));
        }
        let found = errors(&manifest);
        if !found.is_empty() {
            wrong.push(format!("lint has {found:?} against\n{manifest}"));
        }
    }
    for (manifest, place, words) in senseless() {
        let found = errors(&manifest);
        if is_accepted(&server, &manifest).is_err() {
            wrong.push(format!("the API server refuses\n{manifest}"));
        }
        if !matches!(found.as_slice(), [one] if one.starts_with(&format!("{place}: ")) && one.contains(words)) {
            wrong.push(format!("{place}: {words}\nis not the one error {found:?} of\n{manifest}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
