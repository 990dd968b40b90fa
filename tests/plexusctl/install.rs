//! What `install` checks, writes and prints.

use super::*;

#[test]
fn the_program_that_cargo_builds_beside_the_daemon_is_not_installed() {
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("bin/x", "")]);
    let (net_d, bin, state) = (folder.path("net.d"), folder.path("bin"), folder.path("state"));
    let words =
        ["install", "--timeout=0", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--state-directory", &state];
    // Beside this program, where it is looked for.
    assert_refuses(&words, 1, &["target/plugin/plexus", "make plugin"]);
    assert!(!Path::new(&folder.path("bin/plexus")).exists());
}

#[test]
fn an_installation_prints_what_it_repairs_and_renames() {
    let plugin = format!("\u{7f}ELF {}", plexus::api::build::ABOUT);
    let folder =
        Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("plugin", &plugin), ("bin/x", ""), ("s/x", "")]);
    let path = |name: &str| folder.path(name);
    let (net_d, bin, source, state) = (path("net.d"), path("bin"), path("plugin"), path("s"));
    let install = |more: &[&str]| {
        let words = ["install", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--plugin", &source];
        told(&[&words[..], &["--state-directory", &state, "--timeout", "1"], more].concat())
    };
    let list = path("net.d/00-plexus.conflist");
    let (code, first) = install(&[]);
    assert!(code == Some(0) && !first.contains("repaired"), "{first}");
    for damaged in ["", "{", "{}", FLANNEL] {
        fs::write(&list, damaged).unwrap();
        let (code, told) = install(&[]);
        assert!(code == Some(0) && told.contains(&format!("{list} was damaged")), "{damaged}: {told}");
    }
    assert!(!install(&[]).1.contains("repaired"));
    // Before anything is changed.
    let multus = path("net.d/00-multus.conf");
    fs::write(&multus, r#"{"name":"m","type":"multus"}"#).unwrap();
    let (code, told) = install(&["--replace-multus"]);
    let (before, after) = (told.find("it will be renamed to"), told.find("wrote ").or(told.find("is up to date")));
    assert!(code == Some(0) && before.is_some() && before < after && told.contains(&multus), "{told}");
    assert!(!Path::new(&multus).exists());
}

#[test]
fn an_installation_makes_directories_that_everybody_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL)]);
    fs::write(folder.path("plugin"), format!("\u{7f}ELF {} 1", plexus::api::build::ABOUT)).unwrap();
    let (bin, state, plugin) = (folder.path("opt/cni/bin"), folder.path("var/state"), folder.path("plugin"));
    let (net_d, primary) = (folder.path("etc/net.d"), folder.path("net.d/10-flannel.conflist"));
    fs::create_dir_all(&net_d).unwrap();
    let settings = folder.path("settings.json");
    let install = |content: &str| {
        fs::write(&settings, content).unwrap();
        plexusctl(&[
            "install",
            "--cni-conf-dir",
            &net_d,
            "--cni-bin-dir",
            &bin,
            "--plugin",
            &plugin,
            "--settings",
            &settings,
            "--primary",
            &primary,
            "--timeout",
            "0",
        ])
    };
    let refused = install(r#"{"stateDirectory":"var/state"}"#);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("\"stateDirectory\" is \"var/state\""), "{refused:?}");
    assert!(!Path::new(&bin).exists(), "nothing is written before");
    let done = install(&json!({ "stateDirectory": state }).to_string());
    assert!(done.status.success(), "{done:?}");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&bin), mode(&folder.path("opt/cni")), mode(&folder.path("opt"))], [0o755; 3]);
    assert_eq!(mode(&state), 0o700, "the records are root's, where the settings have them");
}
