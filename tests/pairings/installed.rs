//! `plexusctl install` of one release over that of another, and `plexusctl uninstall` of either, or of a third.

use super::support::say;
use super::{Release, support};
use serde_json::Value;
use std::fs;
use std::path::Path;

const PRIMARY: &str = r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"bridge"}]}"#;

/// Has the tool of `release` do `verb` in `folder`.
fn run(release: &Release, verb: &str, folder: &Path) -> Result<String, String> {
    let of = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let mut words = vec![of("cni-conf-dir", "net.d"), of("cni-bin-dir", "bin"), of("state-directory", "state")];
    match verb {
        "install" => words.push(format!("--plugin={}", release.plugin.display())),
        _ => words.push(of("run-directory", "run")),
    }
    let words: Vec<&str> = std::iter::once(verb).chain(words.iter().map(String::as_str)).collect();
    release.plexusctl(&words)
}

/// Whether the runtime finds the plugin of `release`, by a file that is whole.
fn is_installed(release: &Release, folder: &Path) -> bool {
    let head = fs::read_to_string(folder.join("net.d/00-plexus.conflist")).unwrap_or_default();
    let head: Value = serde_json::from_str(&head).unwrap_or_default();
    let plugin = fs::read(folder.join("bin/plexus")).unwrap_or_default();
    head["plugins"][0]["type"] == "plexus" && plugin == fs::read(&release.plugin).unwrap()
}

#[test]
fn every_release_installs_over_every_other_and_removes_it() {
    let releases = match Release::all() {
        Ok(releases) => releases,
        Err(why) => return support::cannot_run(&why),
    };
    let mut number = 0;
    for (at, first) in releases.iter().enumerate() {
        for (after, second) in releases.iter().enumerate() {
            let third = &releases[(at + after) % releases.len()];
            let way = format!("installed by {}, then {}, removed by {}", first.name, second.name, third.name);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            ["net.d", "bin", "run"].iter().for_each(|name| fs::create_dir(folder.join(name)).unwrap());
            fs::write(folder.join("net.d/10-primary.conflist"), PRIMARY).unwrap();
            for release in [first, second] {
                let told = run(release, "install", folder);
                assert!(told.is_ok() && is_installed(release, folder), "{way}: {}: {told:?}", release.name);
            }
            let told = run(third, "uninstall", folder);
            let left = fs::read_dir(folder.join("net.d")).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(told.is_ok() && left.eq(["10-primary.conflist"]), "{way}: {told:?}");
            assert!(!folder.join("bin/plexus").exists(), "{way}: the plugin is left");
            assert_eq!(fs::read_to_string(folder.join("net.d/10-primary.conflist")).unwrap(), PRIMARY, "{way}");
            say(&way);
            number += 1;
        }
    }
    assert_eq!(number, releases.len().pow(2));
    support::tally(number, "pairings: installations");
}
