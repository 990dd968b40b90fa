//! The files of a release: made from built programs by `e2e/release/pack`, and read as their users do. The programs here are
//! those of the tests, because a release build takes a quarter of an hour.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/asset.rs"]
mod asset;
#[path = "release/files.rs"]
mod files;
#[path = "release/layout.rs"]
mod layout;
#[path = "release/version.rs"]
mod version;

use files::Release;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

fn sums(release: &Release) -> BTreeMap<String, String> {
    let text = fs::read_to_string(release.file("SHA256SUMS")).unwrap();
    text.lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect()
}

#[test]
fn a_release_has_its_files_and_is_the_same_bytes_twice() {
    let Some(release) = Release::pack() else { return };
    let mut expected: BTreeSet<String> = [
        format!("plexus-v{VERSION}-oci.tar"),
        format!("plexus-v{VERSION}-manifests.tar.gz"),
        format!("plexus-{VERSION}.tgz"),
        format!("plexus-v{VERSION}.cdx.json"),
        format!("plexusd-plexusctl-v{VERSION}.cdx.json"),
        "krew-plexus.yaml".to_owned(),
    ]
    .into();
    for architecture in ARCHITECTURES {
        expected.insert(format!("plexus-v{VERSION}-linux-{architecture}.tar.gz"));
        expected.insert(format!("kubectl-plexus-v{VERSION}-linux-{architecture}.tar.gz"));
    }
    assert_eq!(sums(&release).into_keys().collect::<BTreeSet<_>>(), expected);
    let checked =
        Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(release.folder()).output();
    assert!(checked.unwrap().status.success());
    // In another directory, with other times of the files.
    let again = Release::pack().unwrap();
    assert_eq!(sums(&again), sums(&release));
    a_kit_is_whole(&release);
    layout::assert_sound(&release);
    the_components_are_listed(&release);
    krew_can_read_it(&release);
    krew_installs_it(&release);
    manifests_and_chart_name_the_image(&release);
}

/// A person who unpacks the programs finds completions and manual pages, too.
fn a_kit_is_whole(release: &Release) {
    for architecture in ARCHITECTURES {
        let names = release.names(&format!("plexus-v{VERSION}-linux-{architecture}.tar.gz"));
        for name in [
            "plexus",
            "plexusd",
            "plexusctl",
            "LICENSE",
            "completion/plexusctl.bash",
            "completion/kubectl_complete-plexus",
            "man/plexusctl.1",
            "man/plexusd.8",
        ] {
            assert!(names.contains(&format!("./{name}")), "{name} is missing: {names:?}");
        }
    }
}

fn the_components_are_listed(release: &Release) {
    let banned = ["tokio", "kube", "clap"];
    for (name, is_plugin) in [("plexus", true), ("plexusd-plexusctl", false)] {
        let document: Value = serde_json::from_str(&release.text(&format!("{name}-v{VERSION}.cdx.json"))).unwrap();
        assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
        assert_eq!(document["metadata"]["component"]["version"], VERSION);
        let components = document["components"].as_array().unwrap();
        let references: Vec<&str> = components.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(
            references.iter().collect::<BTreeSet<_>>().len(),
            references.len(),
            "{name}: a component is there twice"
        );
        assert_eq!(document["dependencies"][0]["dependsOn"], json!(references));
        for component in components.iter().filter(|one| one["name"] != "std") {
            let sum = component["hashes"][0]["content"].as_str().unwrap_or_default();
            assert!(sum.len() == 64 && component["licenses"][0]["expression"].is_string(), "{component}");
        }
        // As `make size` holds it for the plugin.
        let has = |crate_name: &str| components.iter().any(|one| one["name"] == crate_name);
        assert!(has("serde_json") && has("std"));
        assert!(banned.into_iter().all(|crate_name| has(crate_name) != is_plugin), "{name}");
    }
}

/// With the command of the documents: kubectl finds krew and then the plugin, and krew checks the archive.
fn krew_installs_it(release: &Release) {
    let got = Command::new(format!("{ROOT}/e2e/release/get")).arg("krew").output().unwrap();
    if !got.status.success() {
        return cannot_run(String::from_utf8_lossy(&got.stderr).trim());
    }
    let Some(kubectl) = asset::program("kubernetes", "kubectl") else { return };
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(String::from_utf8(got.stdout).unwrap().trim(), bin.join("kubectl-krew")).unwrap();
    let path =
        format!("{}:{}:{}", bin.display(), home.path().join("krew/bin").display(), std::env::var("PATH").unwrap());
    let run = |words: &[&str]| {
        let mut command = Command::new(&kubectl);
        command.args(words).env("PATH", &path).env("HOME", home.path()).current_dir(release.folder());
        command.env("KREW_ROOT", home.path().join("krew")).env("KREW_NO_UPGRADE_CHECK", "1").output().unwrap()
    };
    let archive = format!("kubectl-plexus-v{VERSION}-linux-amd64.tar.gz");
    let of = |archive: &str| run(&["krew", "install", "--manifest=krew-plexus.yaml", &format!("--archive={archive}")]);
    // Of another archive the checksum differs.
    let refused = of(&archive.replace("kubectl-plexus", "plexus"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("checksum") && !run(&["plexus", "version"]).status.success(), "{refused:?}");
    let installed = of(&archive);
    assert!(installed.status.success(), "{installed:?}");
    let version = run(&["plexus", "version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(&format!(" {VERSION}\n")), "{version:?}");
}

fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot run here: {why}");
    eprintln!("SKIP: {why}");
}

/// The fields that krew requires, and the checksums of the archives.
fn krew_can_read_it(release: &Release) {
    let manifest: Value = serde_saphyr::from_str(&release.text("krew-plexus.yaml")).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((&manifest["kind"], &manifest["metadata"]["name"]), (&json!("Plugin"), &json!("plexus")));
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{VERSION}"));
    let short = spec["shortDescription"].as_str().unwrap();
    assert!(short.len() <= 50 && !short.ends_with('.'), "krew-index limits it: {short}");
    assert!(["description", "homepage"].iter().all(|key| spec[*key].as_str().is_some_and(|text| !text.is_empty())));
    let platforms = spec["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), ARCHITECTURES.len());
    for (platform, architecture) in platforms.iter().zip(ARCHITECTURES) {
        assert_eq!(platform["selector"]["matchLabels"], json!({"os": "linux", "arch": architecture}));
        let name = platform["uri"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(platform["sha256"].as_str(), sums(release).get(name).map(String::as_str), "{name}");
        let bin = platform["bin"].as_str().unwrap();
        assert!(release.names(name).contains(&format!("./{bin}")), "{name} has no {bin}");
    }
}

fn manifests_and_chart_name_the_image(release: &Release) {
    let image = format!("ghcr.io/plexus-cni/plexus@{}", layout::digest(release));
    let manifests = release.unpacked(&format!("plexus-v{VERSION}-manifests.tar.gz"));
    let chart = release.unpacked(&format!("plexus-{VERSION}.tgz"));
    let rendered = [
        asset::program("kubernetes", "kubectl").map(|kubectl| {
            files::output(
                Command::new(kubectl)
                    .arg("kustomize")
                    .arg(manifests.path().join(format!("plexus-v{VERSION}/conf/overlays/k3s"))),
            )
        }),
        asset::program("helm", "helm").map(|helm| {
            files::output(
                Command::new(helm)
                    .args(["template", "plexus"])
                    .arg(chart.path().join("plexus"))
                    .args(["--kube-version", "1.36"]),
            )
        }),
    ];
    for text in rendered.into_iter().flatten() {
        let images: Vec<&str> =
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image: ")).collect();
        assert!(images.len() == 3 && images.iter().all(|name| *name == image), "{images:?} instead of {image}");
    }
}
