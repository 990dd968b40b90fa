//! `docs/reference/cluster-networks.md`: its table is made of the fixtures, so it cannot drift.
//!
//! `UPDATE=1 cargo test --test primaries document` writes it again.

use crate::fixture::{self, Fixture};
use std::fs;

const BEGIN: &str = "<!-- made by tests/primaries/document.rs -->\n";
const END: &str = "<!-- end -->\n";

/// What people call it, and where below the page says more.
const TITLES: [(&str, &str); 16] = [
    ("antrea", "Antrea"),
    ("aws", "[Amazon VPC CNI](#amazon-vpc-cni)"),
    ("azure", "[Azure CNI](#azure-cni)"),
    ("azure-overlay", "[Azure CNI, overlay](#azure-cni)"),
    ("calico", "Calico, by manifest"),
    ("calico-operator", "Calico, by its operator"),
    ("canal", "Canal (Flannel and Calico)"),
    ("cilium", "[Cilium](#cilium)"),
    ("flannel", "Flannel"),
    ("k3s", "k3s (Flannel)"),
    ("kindnet", "kindnet (kind)"),
    ("kube-router", "[kube-router](#kube-router)"),
    ("kubenet", "kubenet-like, written by containerd"),
    ("microk8s", "MicroK8s (Calico)"),
    ("ovn-kubernetes", "[OVN-Kubernetes](#ovn-kubernetes)"),
    ("weave", "Weave Net"),
];

fn row(fixture: &Fixture) -> String {
    let (_, title) = TITLES.iter().find(|(name, _)| *name == fixture.name).unwrap();
    let capabilities: Vec<String> = fixture.capabilities().iter().map(|name| format!("`{name}`")).collect();
    let kinds: Vec<String> = fixture.kinds().iter().map(|kind| format!("`{kind}`")).collect();
    let mut verbs = vec!["ADD", "DEL"];
    verbs.extend(fixture.is_checked().then_some("CHECK"));
    verbs.extend(fixture.has("1.1.0").then_some("STATUS, GC"));
    let modes = if fixture.is_list() { "delegate, chain" } else { "delegate" };
    format!(
        "| {title} | `{}` | `{}` | {} | {} | {}: {} | {modes} |\n",
        fixture.file,
        fixture.network(),
        kinds.join(", "),
        capabilities.join(", "),
        fixture.version(),
        verbs.join(", ")
    )
}

#[test]
fn the_table_is_what_the_fixtures_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/cluster-networks.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let head = "| network | file | name | plugins | capabilities | CNI version: operations | install modes |\n|---|---|---|---|---|---|---|\n";
    let rows: String = fixture::all().iter().map(row).collect();
    let expected = format!("{before}{BEGIN}\n{head}{rows}\n{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &expected).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), expected, "UPDATE=1 cargo test --test primaries document");
}

#[test]
fn every_link_within_the_page_has_its_heading() {
    let page = include_str!("../../docs/reference/cluster-networks.md");
    for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        let anchor = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        assert!(page.lines().any(|line| line.starts_with('#') && anchor(line) == link), "{link}");
    }
}
