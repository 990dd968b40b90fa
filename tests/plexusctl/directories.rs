//! Plexus' own directories: where the configuration that `install` wrote names others than the default ones, every
//! command finds them there.

use super::*;

/// A node on which Plexus is installed with directories of its own, and has one record.
fn installed() -> Folder {
    let folder = Folder::with(&[("bin/plexus", "")]);
    let path = |name: &str| folder.path(name);
    let plugin = json!({"type": "plexus", "stateDirectory": path("state"), "runDirectory": path("run")});
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [plugin]});
    fs::create_dir_all(path("net.d")).unwrap();
    fs::write(path("net.d/00-plexus.conflist"), list.to_string()).unwrap();
    fs::create_dir_all(path("state/sandboxes")).unwrap();
    let attached = record("c", "web", "default/a").replace("\"owed\"", "\"attached\"");
    fs::write(path("state/sandboxes/c.json"), attached).unwrap();
    folder
}

#[test]
fn the_directories_are_those_of_the_installed_configuration() {
    let folder = installed();
    let net_d = folder.path("net.d");
    let shown = answer(&["get", "--cni-conf-dir", &net_d]);
    assert!(shown.contains("default/web"), "{shown}");
    let health = plexusctl(&["health", "--cni-conf-dir", &net_d]);
    assert!(text(&health.stderr).contains(&folder.path("run/daemon/plexusd.sock")), "{health:?}");
    assert!(text(&health.stderr).contains(&folder.path("state/networks")), "{health:?}");
    let words = ["uninstall", "--yes", "--cni-conf-dir", &net_d, "--cni-bin-dir", &folder.path("bin")];
    let (code, told) = told(&words);
    // The pod's networks are deleted first, and until then the plugin stays.
    assert!(code == Some(3) && told.contains("default/web"), "{code:?} {told}");
    assert!(Path::new(&folder.path("state/draining")).exists() && Path::new(&folder.path("bin/plexus")).exists());
    assert!(text(&plexusctl(&["get", "--cni-conf-dir", &net_d]).stderr).contains("is being uninstalled"));
}

#[test]
fn an_option_wins_and_without_a_configuration_it_is_the_default() {
    let folder = installed();
    let (net_d, other) = (folder.path("net.d"), folder.path("other"));
    let elsewhere = plexusctl(&["get", "--cni-conf-dir", &net_d, "--state-directory", &other]);
    assert!(text(&elsewhere.stderr).contains(&other), "{elsewhere:?}");
    let run = ["health", "--cni-conf-dir", &net_d, "--run-directory", &other];
    assert!(text(&plexusctl(&run).stderr).contains(&other));
    let empty = Folder::with(&[("net.d/x", "")]);
    let health = plexusctl(&["health", "--cni-conf-dir", &empty.path("net.d")]);
    assert!(
        text(&health.stderr).contains("/run/plexus/") && text(&health.stderr).contains("/var/lib/plexus/"),
        "{health:?}"
    );
}

#[test]
fn without_a_node_and_a_kubeconfig_pools_say_what_to_do() {
    let folder = Folder::with(&[("net.d/x", "")]);
    let (net_d, state) = (folder.path("net.d"), folder.path("none"));
    for command in [&["show"][..], &["show", "lan"], &["check"], &["check", "lan"]] {
        let words = [&["ipam"], command, &["--cni-conf-dir", &net_d, "--state-directory", &state]].concat();
        assert_refuses(&words, 3, &["neither a node of Plexus here", &state, "nor a kubeconfig", "with --kubeconfig"]);
        let output = plexusctl(&words);
        assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
        // A script gets its document all the same.
        let document = plexusctl(&[&words[..], &["-o", "json"]].concat());
        assert!(document.status.code() == Some(3) && text(&document.stdout).contains("\"pools\": "), "{document:?}");
    }
}

#[test]
fn where_plexus_is_not_installed_gc_says_so() {
    let empty = Folder::with(&[("net.d/x", "")]);
    if Path::new("/var/lib/plexus").exists() || !plexus::sys::is_root() {
        eprintln!("SKIP where_plexus_is_not_installed_gc_says_so: needs root and a machine without Plexus");
        return;
    }
    let (net_d, plugin) = (empty.path("net.d"), empty.path("none"));
    let output = plexusctl(&["gc", "--cni-conf-dir", &net_d, "--plugin", &plugin]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("Plexus is not installed here"), "{output:?}");
    assert!(!text(&output.stderr).contains("os error"), "{output:?}");
}

#[test]
fn who_forgives_nobody_is_told_what_is_meant() {
    let folder = installed();
    let forgive = |name: &str| {
        let (net_d, plugin) = (folder.path("net.d"), folder.path("bin/plexus"));
        plexusctl(&["gc", "--cni-conf-dir", &net_d, "--plugin", &plugin, "--forgive", name])
    };
    assert_eq!(forgive("").status.code(), Some(2));
    let unknown = forgive("nosuch");
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown.stderr);
    assert!(said.contains("no record is of a container \"nosuch\"") && said.contains("get --debts"), "{said}");
}
