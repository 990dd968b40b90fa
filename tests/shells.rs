//! Command lines are completed in real shells and by kubectl, and the manual pages can be read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{cannot_run, node, programs};

/// Programs under the names that people call them by, and the completion of each shell.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new() -> Self {
        let installed = Installed(tempfile::tempdir().unwrap());
        for name in ["plexusctl", "kubectl-plexus"] {
            symlink(env!("CARGO_BIN_EXE_plexusctl"), installed.path(name)).unwrap();
        }
        for (shell, name) in [
            ("bash", "plexusctl.bash"),
            ("zsh", "_plexusctl"),
            ("fish", "plexusctl.fish"),
            ("kubectl", "kubectl_complete-plexus"),
        ] {
            let output = Command::new(installed.path("plexusctl")).args(["completion", shell]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            fs::write(installed.path(name), output.stdout).unwrap();
            fs::set_permissions(installed.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        installed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What `program` prints, with the programs in PATH, after those in `folders`.
    fn run(&self, program: &str, words: &[&str], folders: &[&Path]) -> String {
        let folders = folders.iter().copied().chain([self.0.path()]).map(|folder| folder.display().to_string());
        let path = format!("{}:{}", folders.collect::<Vec<_>>().join(":"), node::PATH);
        let mut command = Command::new("env");
        // A shell makes directories in its home.
        let home = self.path("home").display().to_string();
        command.env_clear().arg(format!("PATH={path}")).arg(format!("HOME={home}")).arg(program).args(words);
        let output = command.current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The words that bash completes `line` to, by the function that the script registers.
    fn bash(&self, line: &str) -> Vec<String> {
        let script = "source ./plexusctl.bash; read -ra COMP_WORDS <<<\"$1\"; [[ $1 != *' ' ]] || COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$1 COMP_POINT=${#1}
            registered=$(complete -p plexusctl); [[ $registered =~ -F\\ ([^ ]+) ]]
            \"${BASH_REMATCH[1]}\" plexusctl \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
            printf '%s\\n' \"${COMPREPLY[@]}\"";
        self.run("bash", &["--norc", "-c", script, "bash", line], &[]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let installed = Installed::new();
    let table: [(&str, &[&str]); 4] = [
        ("plexusctl des", &["describe"]),
        ("plexusctl describe p", &["pod"]),
        ("plexusctl get --all-na", &["--all-namespaces"]),
        ("plexusctl get --output ", &["table", "wide", "json", "yaml", "name"]),
    ];
    for (line, expected) in table {
        assert_eq!(installed.bash(line), expected, "{line:?}");
    }
    let commands = installed.bash("plexusctl ");
    for command in plexus::cli::command().get_subcommands() {
        assert_eq!(commands.iter().any(|word| word == command.get_name()), !command.is_hide_set(), "{command}");
    }
}

#[test]
fn fish_completes_and_zsh_reads_its_script() {
    let installed = Installed::new();
    if programs::is_installed("fish") {
        let complete = |line: &str| {
            let script = format!("set -x HOME (pwd); source plexusctl.fish; complete --do-complete {line:?}");
            installed.run("fish", &["--no-config", "-c", &script], &[])
        };
        assert!(complete("plexusctl des").starts_with("describe\t"), "{}", complete("plexusctl des"));
        assert!(complete("plexusctl get --output j").contains("json"), "{}", complete("plexusctl get --output j"));
    } else {
        cannot_run("fish is missing: e2e/release/get packages");
    }
    if programs::is_installed("zsh") {
        installed.run("zsh", &["-f", "-n", "_plexusctl"], &[]);
        let registered = installed.run(
            "zsh",
            &["-f", "-c", "autoload -U compinit; compinit -u -D; source ./_plexusctl; print $_comps[plexusctl]"],
            &[],
        );
        assert_eq!(registered, "_plexusctl\n");
    } else {
        cannot_run("zsh is missing: e2e/release/get packages");
    }
}

/// kubectl's own completion, which calls `kubectl_complete-plexus` for the words of a plugin.
#[test]
fn kubectl_completes_the_plugin() {
    let kubectl = match support::apiserver::asset("kubernetes") {
        Ok(folder) => folder,
        Err(why) => return cannot_run(&why),
    };
    let installed = Installed::new();
    let complete = |words: &[&str]| installed.run("kubectl", &[&["__complete", "plexus"], words].concat(), &[&kubectl]);
    let lines = |text: &str| text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&complete(&["des"])), ["describe", ":4"]);
    assert_eq!(lines(&complete(&["describe", ""])), ["pod", "help", ":4"]);
    assert_eq!(lines(&complete(&["get", "-o", "j"])), ["json", ":4"]);
    // The names of files, which the shell knows.
    assert_eq!(lines(&complete(&["lint", ""])), [":0"]);
    assert!(
        complete(&["get", "--all"]).contains("--all-namespaces\tPods of all namespaces"),
        "{}",
        complete(&["get", "--all"])
    );
}

#[test]
fn the_manual_pages_are_complete_and_without_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_plexusctl"))
        .args(["man", "--date", "2026-01-02"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut pages: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    for name in ["plexusctl.1", "plexusctl-get.1", "plexusctl-describe-pod.1", "plexusd.8"] {
        assert!(pages.iter().any(|page| page == name), "{name} is missing: {pages:?}");
    }
    let shown = plexus::cli::command().get_subcommands().filter(|command| !command.is_hide_set()).count();
    assert!(pages.len() > shown, "{pages:?}");
    for page in &pages {
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(!text.contains(".SH EXTRA"), "{page} has a section whose name says nothing");
    }
    if !programs::is_installed("mandoc") {
        return cannot_run("mandoc is missing: e2e/release/get packages");
    }
    for page in &pages {
        let path = folder.path().join(page);
        let mandoc =
            |words: &[&str]| Command::new("mandoc").env("PATH", node::PATH).args(words).arg(&path).output().unwrap();
        let lint = mandoc(&["-T", "lint", "-W", "warning"]);
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
        let text = String::from_utf8(mandoc(&["-T", "html"]).stdout).unwrap();
        assert!(text.contains("SYNOPSIS") && text.contains("DESCRIPTION"), "{page}: {text}");
    }
    people_find_what_they_look_for(folder.path());
}

/// As `man` shows it: commands are whole lines, and sections have the names of other pages.
fn people_find_what_they_look_for(folder: &Path) {
    let shown = |page: &str| {
        let words = ["-T", "ascii", "-O", "width=200"];
        let output =
            Command::new("mandoc").env("PATH", node::PATH).args(words).arg(folder.join(page)).output().unwrap();
        // A terminal prints a letter twice to make it bold, and underlines it.
        let mut plain = String::new();
        for letter in String::from_utf8(output.stdout).unwrap().chars() {
            if letter == '\u{8}' { _ = plain.pop() } else { plain.push(letter) }
        }
        plain
    };
    let section = |page: &str, heading: &str| {
        let text = shown(page);
        let rest = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}: {text}")).1;
        let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
        lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let completion = section("plexusctl-completion.1", "EXAMPLES");
    let bash = ["Bash:", "plexusctl completion bash > /etc/bash_completion.d/plexusctl", "Zsh:"];
    assert_eq!(completion.first_chunk(), Some(&bash.map(str::to_owned)), "{completion:#?}");
    let plan = "kubectl get net-attach-def -A -o yaml | plexusctl plan pod.yaml -";
    assert!(section("plexusctl-plan.1", "EXAMPLES").iter().any(|line| line == plan));
    assert!(section("plexusctl.1", "EXIT STATUS")[0].starts_with("0 success, 1 failure"));
    assert!(section("plexusctl-lint.1", "EXIT STATUS")[0].starts_with("0 no error"));
    assert!(section("plexusctl-lint.1", "NOTES")[0].contains("# lint: ignore PX018"));
    assert!(section("plexusctl-connectivity-test.1", "EXIT STATUS")[0].contains("1 a pair is not connected"));
    assert!(section("plexusctl-lint.1", "ARGUMENTS")[0].contains("FILE"));
    assert!(!section("plexusctl-lint.1", "OPTIONS").iter().any(|line| line.contains("FILE]")));
}
