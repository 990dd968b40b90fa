//! What `uninstall` asks, prints and leaves.

use super::*;

#[test]
fn an_uninstallation_under_way_is_seen_and_can_be_ended() {
    let folder = Folder::with(&[("state/sandboxes/c.json", &record("c", "web", "default/a")), ("net.d/x", "")]);
    let path = |name: &str| folder.path(name);
    let folders = [("--cni-conf-dir", "net.d"), ("--cni-bin-dir", "bin"), ("--state-directory", "state")]
        .into_iter()
        .chain([("--run-directory", "run")])
        .map(|(option, name)| format!("{option}={}", path(name)));
    let folders: Vec<String> = folders.collect();
    let uninstall = |more: &[&str]| {
        let words: Vec<&str> = folders.iter().map(String::as_str).chain(more.iter().copied()).collect();
        plexusctl(&[&["uninstall"], words.as_slice()].concat())
    };
    // A pod that still has what it should have lost: its record has no debt any more.
    let attached = record("c", "web", "default/a").replace("\"owed\"", "\"attached\"");
    fs::write(path("state/sandboxes/c.json"), &attached).unwrap();
    let output = uninstall(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.lines().next().unwrap().starts_with("warning: from now on, new pods"), "{said}");
    assert!(said.contains("1 pod has networks that only Plexus can delete (default/web)"), "{said}");
    // Whoever confirms it, or has begun already, is not warned.
    assert!(!text(&uninstall(&["--yes"]).stderr).contains("warning"));
    let state = path("state");
    let get = plexusctl(&["get", "--state-directory", &state]);
    // In a cluster the manifests end it: the container that uninstalls would go on.
    let told = text(&get.stderr);
    assert!(told.contains("is being uninstalled") && told.contains("apply the manifests again"), "{get:?}");
    assert!(told.contains("`plexusctl uninstall --cancel` on a node that was installed by hand"), "{get:?}");
    let json: Value = serde_json::from_str(&answer(&["get", "-o", "json", "--state-directory", &state])).unwrap();
    assert_eq!(json["draining"], true);
    let words = ["health", "-o", "json", "--run-directory", &path("run"), "--state-directory", &state];
    let health: Value = serde_json::from_slice(&plexusctl(&words).stdout).unwrap();
    assert_eq!(health["draining"], true);
    let cancelled = uninstall(&["--cancel"]);
    assert!(cancelled.status.success() && text(&cancelled.stderr).contains("has ended"), "{cancelled:?}");
    assert!(!Path::new(&path("state/draining")).exists());
    assert!(text(&uninstall(&["--cancel"]).stderr).contains("is not being uninstalled"));
}

#[test]
fn on_a_terminal_it_is_asked_before() {
    use std::io::Write;
    use std::process::Stdio;
    if !Path::new("/usr/bin/script").exists() {
        assert!(std::env::var_os("CI").is_none(), "cannot run here: script is missing");
        eprintln!("SKIP on_a_terminal_it_is_asked_before: script is missing");
        return;
    }
    let folder = Folder::with(&[("net.d/x", ""), ("state/default-network.json", "")]);
    let options =
        [("cni-conf-dir", "net.d"), ("cni-bin-dir", "bin"), ("state-directory", "state"), ("run-directory", "run")];
    let options = options.map(|(option, name)| format!(" --{option}={}", folder.path(name))).concat();
    let command = format!("{} uninstall{options}", env!("CARGO_BIN_EXE_plexusctl"));
    let answered = |answer: &str| {
        let mut script = Command::new("/usr/bin/script");
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = answered("n\n");
    assert!(code == Some(1) && said.contains("Continue? [y/N]") && said.contains("not confirmed"), "{code:?} {said}");
    assert_eq!(fs::read_dir(folder.path("state")).unwrap().count(), 1, "something was changed");
    let (code, said) = answered("y\n");
    assert!(code == Some(0) && said.contains("uninstalled"), "{code:?} {said}");
    assert!(!Path::new(&folder.path("state")).exists());
}

#[test]
fn a_container_that_must_not_end_stays_whatever_its_environment() {
    let mut stay = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    stay.args(["uninstall", "--stay"]).env_clear();
    stay.env("PLEXUS_CNI_CONF_DIR", "/nowhere").env("PLEXUS_CNI_BIN_DIR", "/nowhere");
    let mut child = stay.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended, None);
}

#[test]
fn where_nothing_is_installed_nothing_is_uninstalled() {
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("bin/bridge", "")]);
    let path = |name: &str| folder.path(name);
    let (net_d, bin, state, run) = (path("net.d"), path("bin"), path("state"), path("run"));
    let words = ["uninstall", "--yes", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--state-directory", &state];
    let (code, told) = told(&[&words[..], &["--run-directory", &run]].concat());
    assert!(code == Some(0) && told.contains("nothing is uninstalled") && told.contains(&state), "{told}");
    assert!(told.lines().count() == 1 && !Path::new(&state).exists() && !Path::new(&run).exists(), "{told}");
}

/// `uninstall --wait` on a node with a pod that needs the plugin, cancelled while it waits. `runner` starts it.
fn cancelled_while_it_waits(runner: &[&str]) -> (Folder, std::process::Child, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader};
    let attached = record("c", "web", "default/a").replace("\"owed\"", "\"attached\"");
    let list = r#"{"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"plexus"}]}"#;
    let folder = Folder::with(&[("state/sandboxes/c.json", &attached), ("net.d/00-plexus.conflist", list)]);
    let path = |name: &str| folder.path(name);
    let options =
        [("cni-conf-dir", "net.d"), ("cni-bin-dir", "bin"), ("state-directory", "state"), ("run-directory", "run")];
    let options: Vec<String> = options.iter().map(|(option, name)| format!("--{option}={}", path(name))).collect();
    let program = [runner, &[env!("CARGO_BIN_EXE_plexusctl"), "uninstall"]].concat();
    let mut waiting = Command::new(program[0]);
    waiting.args(&program[1..]).args(["--wait", "--yes"]).args(&options);
    let mut child = waiting.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    assert!(next_line(&lines, "draining: 1 pod").contains("default/web"));
    let cancel: Vec<&str> = ["uninstall", "--cancel"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let output = plexusctl(&cancel);
    assert!(output.status.success() && text(&output.stderr).contains("has ended"), "{output:?}");
    let of_container = text(&output.stderr).contains("apply the manifests again");
    assert_eq!(of_container, !runner.is_empty(), "{output:?}");
    (folder, child, lines)
}

/// The next line with `word`, within a minute: who waits prints lines for ever.
fn next_line(lines: &std::sync::mpsc::Receiver<String>, word: &str) -> String {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let line = lines.recv_timeout(until.saturating_duration_since(std::time::Instant::now()));
        let line = line.unwrap_or_else(|e| panic!("no line with {word:?}: {e}"));
        if line.contains(word) {
            return line;
        }
    }
}

#[test]
fn who_waits_removes_nothing_after_it_was_cancelled() {
    let (folder, mut child, lines) = cancelled_while_it_waits(&[]);
    next_line(&lines, "was cancelled");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(Path::new(&folder.path("net.d/00-plexus.conflist")).exists());
}

/// The kubelet starts an init container that ends again, and that would begin another uninstallation.
#[test]
fn a_container_goes_on_after_it_was_cancelled_and_removes_nothing() {
    if !Command::new("unshare").args(["--pid", "--fork", "true"]).status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "cannot run here: only root makes a PID namespace");
        eprintln!("SKIP a_container_goes_on_after_it_was_cancelled_and_removes_nothing: no PID namespace");
        return;
    }
    let (folder, mut child, lines) = cancelled_while_it_waits(&["unshare", "--pid", "--fork", "--kill-child"]);
    assert!(next_line(&lines, "was cancelled").contains("apply the manifests again"));
    // No pod needs it any more, and it stays until somebody begins another uninstallation.
    fs::remove_file(folder.path("state/sandboxes/c.json")).unwrap();
    // It would look again every half a second.
    let line = lines.recv_timeout(std::time::Duration::from_secs(2));
    assert!(line.is_err(), "{line:?}");
    assert!(Path::new(&folder.path("net.d/00-plexus.conflist")).exists());
    assert_eq!(child.try_wait().unwrap(), None);
    fs::write(folder.path("state/draining"), "").unwrap();
    next_line(&lines, "uninstalled");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!Path::new(&folder.path("net.d/00-plexus.conflist")).exists());
}
