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
