//! What a terminal gets and a pipe does not: colour and progress. And how a mistake looks, whoever finds it.

use super::{Folder, text};
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

const ESCAPE: char = '\u{1b}';

fn plexusctl() -> &'static str {
    env!("CARGO_BIN_EXE_plexusctl")
}

/// What `command`, a line for the shell, writes to a terminal (script(1) makes one).
fn on_terminal(command: &str, environment: &[(&str, &str)]) -> String {
    let mut script = Command::new("script");
    // Without TERM clap takes the terminal for one without colours.
    script.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("TERM", "xterm");
    script.envs(environment.iter().copied());
    let output = script.args(["-qec", command, "/dev/null"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The same through pipes: stdout and stderr.
fn in_pipe(command: &str) -> String {
    let output = Command::new("/bin/sh").env_clear().args(["-c", command]).output().unwrap();
    text(&output.stdout).to_owned() + text(&output.stderr)
}

/// What was not printed cannot be called well: a script that reads the first line only would else take every cluster for well.
#[test]
fn a_reader_that_has_gone_is_no_success() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(plexusctl());
    let status = command.env_clear().arg("version").stdout(writer).status().unwrap();
    // As a shell has it of a program that SIGPIPE ends.
    assert_eq!(status.code(), Some(141), "{status:?}");
}

#[test]
fn colour_is_for_a_terminal() {
    let folder = Folder::with(&[("net.d/x", "")]);
    let state = folder.path("state");
    let doctor = format!(
        "{} doctor --state-directory {state} --run-directory {state} --cni-conf-dir {} --cni-bin-dir {state}",
        plexusctl(),
        folder.path("net.d")
    );
    let coloured = on_terminal(&doctor, &[]);
    assert!(coloured.contains("\u{1b}[31m✗"), "{coloured:?}");
    let plain = in_pipe(&doctor);
    assert!(plain.contains('✗') && !plain.contains(ESCAPE), "{plain:?}");
    for refusal in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let refused = on_terminal(&doctor, &[refusal]);
        assert!(refused.contains('✗') && !refused.contains(ESCAPE), "{refusal:?}: {refused:?}");
    }
    // An empty value is none (no-color.org).
    assert!(on_terminal(&doctor, &[("NO_COLOR", "")]).contains("\u{1b}[31m✗"));
    // A document is for programs, also on a terminal.
    let json = on_terminal(&format!("{doctor} -o json"), &[]);
    assert!(json.contains("\"checks\"") && !json.contains(ESCAPE), "{json:?}");
}

#[test]
fn progress_is_for_a_terminal() {
    // Nobody listens on port 1 of this machine.
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";
    let folder = Folder::with(&[("config", config)]);
    let status = format!("{} status --kubeconfig {}", plexusctl(), folder.path("config"));
    let shown = on_terminal(&status, &[]);
    assert!(shown.contains("asking for the nodes …") && shown.contains("127.0.0.1:1"), "{shown:?}");
    let piped = in_pipe(&status);
    assert!(piped.starts_with("error: ") && !piped.contains("asking for") && !piped.contains(ESCAPE), "{piped:?}");
    // stderr alone decides: the answer may go to a file.
    let to_file = on_terminal(&format!("{status} >/dev/null"), &[]);
    assert!(to_file.contains("asking for the nodes …"), "{to_file:?}");
}

#[test]
fn every_mistake_looks_alike() {
    let run = |words: &[&str]| Command::new(plexusctl()).env_clear().args(words).output().unwrap();
    let first = |output: &Output| text(&output.stderr).lines().next().unwrap_or_default().to_owned();
    let table: [(&[&str], i32); 5] = [
        (&["get", "--nope"], 2),
        (&["nope"], 2),
        (&["get", "-o", "xml"], 2),
        (&["install", "--node", "n1"], 2),
        (&["migrate", "/nonexistent/multus.conf"], 1),
    ];
    for (words, code) in table {
        let output = run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert!(first(&output).starts_with("error: ") && output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    // On a terminal, too: clap and this program colour the same word.
    for words in ["get --nope", "migrate /nonexistent/multus.conf"] {
        let shown = on_terminal(&format!("{} {words}", plexusctl()), &[]);
        assert!(shown.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "), "{shown:?}");
        let plain = on_terminal(&format!("{} {words}", plexusctl()), &[("NO_COLOR", "1")]);
        assert!(plain.starts_with("error: ") && !plain.contains(ESCAPE), "{plain:?}");
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_names_itself_so() {
    let folder = Folder::with(&[]);
    let plugin = folder.path("kubectl-plexus");
    symlink(plexusctl(), &plugin).unwrap();
    let said = |words: &[&str]| {
        let output = Command::new(&plugin).env_clear().args(words).output().unwrap();
        text(&output.stdout).to_owned() + text(&output.stderr)
    };
    for (words, usage) in [
        (&["--help"] as &[&str], "Usage: kubectl plexus <COMMAND>"),
        (&["get", "--help"], "Usage: kubectl plexus get "),
        (&["ipam", "show", "--help"], "Usage: kubectl plexus ipam show "),
        (&["ipam", "show", "--nope"], "Usage: kubectl plexus ipam show "),
    ] {
        let help = said(words);
        assert!(help.contains(usage) && !help.contains("Usage: plexusctl"), "{words:?}: {help}");
    }
    assert!(said(&["--version"]).starts_with("kubectl plexus "), "{}", said(&["--version"]));
}
