//! `plexusctl install` and `plexusctl uninstall`.

use crate::kills::{before_each, killed_at};
use crate::support;
use crate::tree::{Folder, Tree, difference};
use plexus::api::build::ABOUT;
use std::process::{Command, Output};

const FLANNEL: &str = r#"{"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel"}]}"#;
/// As an earlier release wrote it, with an element that another agent has added.
pub const FORMER: &str = r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"plexus","clusterNetwork":"@/net.d/10-flannel.conflist"},{"type":"other"}]}"#;
const MULTUS: &str = r#"{"name":"m","type":"multus"}"#;
pub const LIST: &str = "net.d/00-plexus.conflist";
pub const PLUGIN: &str = "bin/plexus";
/// What others have, and nobody may touch.
pub const OTHERS: [(&str, &str); 3] =
    [("net.d/10-flannel.conflist", FLANNEL), ("bin/bridge", "bridge"), ("state-of-others/x", "x")];

/// Some wait while others work.
const AT_ONCE: usize = 16;

/// A program that the tool takes for the plugin.
pub fn plugin(release: &str) -> String {
    format!("\u{7f}ELF {ABOUT} {release}")
}

/// A node before the tool runs.
struct Case {
    name: &'static str,
    files: Vec<(&'static str, String)>,
    words: &'static [&'static str],
}

impl Case {
    fn new(name: &'static str, files: &[(&'static str, &str)], words: &'static [&'static str]) -> Self {
        let files = OTHERS.iter().chain(files).map(|(path, text)| (*path, (*text).to_owned())).collect();
        Case { name, files, words }
    }

    fn folder(&self) -> Folder {
        let files: Vec<(&str, &str)> = self.files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let folder = Folder::with(&files);
        folder.write("new/plexus", &plugin("new"), 0o755);
        folder
    }

    fn command(&self, folder: &Folder) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().args(self.words);
        for (option, name) in [("cni-conf-dir", "net.d"), ("cni-bin-dir", "bin"), ("state-directory", "state")] {
            command.arg(format!("--{option}={}", folder.path(name).display()));
        }
        if self.words[0] == "install" {
            command.arg(format!("--plugin={}", folder.path("new/plexus").display())).arg("--timeout=0");
        } else {
            command.arg(format!("--run-directory={}", folder.path("run").display()));
        }
        command
    }

    fn run(&self, folder: &Folder) -> Output {
        self.command(folder).output().unwrap()
    }

    /// Kills before each change, and runs the tool again to its end: the node is as if it had never been killed.
    fn every_change(&self, code: i32) {
        let whole = self.folder();
        let before = whole.tree();
        let output = self.run(&whole);
        assert_eq!(output.status.code(), Some(code), "{}: {output:?}", self.name);
        let after = whole.tree();
        let kills = before_each(1, AT_ONCE, |number| {
            let folder = self.folder();
            let (_, changes) = killed_at(self.command(&folder), number);
            let of = format!("{}: killed before change {number} ({:?})", self.name, changes.get(number - 1));
            self.is_whole(&folder.tree(), [&before, &after]).unwrap_or_else(|why| panic!("{of}: {why}"));
            let again = self.run(&folder);
            assert_eq!(again.status.code(), Some(code), "{of}: {again:?}");
            // What was not finished in the state directory goes with a sweep a day later.
            let mut left = folder.tree();
            left.retain(|path, _| !path.starts_with("state/."));
            let difference = difference(&left, &after);
            assert!(difference.is_empty(), "{of}, and run again:{difference}");
            changes.len()
        });
        support::tally(kills, &format!("kills: plexusctl {}", self.words[0]));
    }

    /// What a runtime and others meet at any moment.
    fn is_whole(&self, tree: &Tree, [before, after]: [&Tree; 2]) -> Result<(), String> {
        for (path, _) in OTHERS {
            if tree.get(path) != before.get(path) {
                return Err(format!("{path} of others was changed: {:?}", tree.get(path)));
            }
        }
        for (path, file) in tree.iter().filter(|(path, _)| *path == LIST || *path == PLUGIN) {
            if ![before.get(path), after.get(path)].contains(&Some(file)) {
                return Err(format!("{path} is neither the old nor the new one: {file:?}"));
            }
        }
        if tree.contains_key(LIST)
            && after.contains_key(LIST) | before.contains_key(PLUGIN)
            && !tree.contains_key(PLUGIN)
        {
            return Err("the runtime is told to start a plugin that is not there".to_owned());
        }
        let is_multus = |tree: &Tree| tree.values().filter(|(_, text)| text == MULTUS).count();
        if is_multus(tree) != is_multus(before) {
            return Err(format!("the configuration of Multus is there {} times", is_multus(tree)));
        }
        Ok(())
    }
}

#[test]
fn an_installation_that_is_killed_is_whole_and_is_finished_by_the_next() {
    let old = plugin("old");
    let cases = [
        Case::new("install", &[], &["install"]),
        Case::new("upgrade", &[(LIST, FORMER), (PLUGIN, &old), ("state/sandboxes/c.json", "{}")], &["install"]),
        Case::new("repair", &[(LIST, "{"), (PLUGIN, &old[..5])], &["install"]),
        Case::new("replace-multus", &[("net.d/00-multus.conf", MULTUS)], &["install", "--replace-multus"]),
        Case::new("cancel", &[(LIST, FORMER), (PLUGIN, &old), ("state/draining", "")], &["install"]),
    ];
    cases.iter().for_each(|case| case.every_change(0));
}

#[test]
fn an_uninstallation_that_is_killed_is_whole_and_is_finished_by_the_next() {
    let plugin = plugin("new");
    let installed = [
        (LIST, FORMER),
        (PLUGIN, plugin.as_str()),
        ("state/default-network.json", FLANNEL),
        ("state/networks/default_lan.json", "{}"),
        ("run/locks/c.lock", "deleted"),
        ("run/swept", ""),
        ("run/daemon/done.json", "{}"),
        ("run/keeper/keeping.json", "{}"),
    ];
    Case::new("uninstall", &installed, &["uninstall", "--yes"]).every_change(0);
    // An installation was killed before it.
    let (list, program) = ("net.d/.00-plexus-conflist-77-123", "bin/.plexus-77-123");
    let unfinished = [installed.as_slice(), &[(list, "{"), (program, "x")]].concat();
    let case = Case::new("uninstall after a killed installation", &unfinished, &["uninstall", "--yes"]);
    case.every_change(0);
    let folder = case.folder();
    assert!(case.run(&folder).status.success());
    assert!(!folder.path(list).exists() && !folder.path(program).exists());
    // A pod needs the plugin: everything stays, and new pods get no networks.
    let record = r#"{"version":1,"containerId":"c","pod":{"namespace":"default","name":"web"},"created":1,"attachments":[
        {"call":"eth0","network":"default/a","ifname":"net1","state":"attached","config":{"name":"n","type":"a","cniVersion":"1.0.0"}}]}"#;
    let needed = [installed.as_slice(), &[("state/sandboxes/c.json", record)]].concat();
    Case::new("drain", &needed, &["uninstall", "--yes"]).every_change(3);
    let draining = [needed.as_slice(), &[("state/draining", "")]].concat();
    Case::new("uninstall --cancel", &draining, &["uninstall", "--cancel"]).every_change(0);
}
