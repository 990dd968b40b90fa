//! What others displace of the installation is put back, within limits, and they are named.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::daemon::Daemon;
use support::{eventually, http, wait_until};

const OURS: &str = r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"plexus"},{"type":"istio-cni"}]}"#;
const PRIMARY: &str = r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"cilium-cni"}]}"#;

/// A node's folders, with Plexus installed and a daemon that keeps it so.
struct Installed {
    folder: tempfile::TempDir,
    daemon: Daemon,
    metrics: std::net::SocketAddr,
}

/// What is enough of a plugin for whoever puts it back.
fn plugin() -> String {
    format!("\u{7f}ELF {}", plexus::api::build::ABOUT)
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["net.d", "bin", "source", "image", "state"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("net.d/00-plexus.conflist"), OURS).unwrap();
        fs::write(path("net.d/05-cilium.conflist"), PRIMARY).unwrap();
        executable(Path::new(&path("bin/plexus")), &plugin());
        let metrics = http::free_address();
        fs::write(path("plexus"), plugin()).unwrap();
        // Beside the plugin that it puts back.
        let daemon = Daemon::in_folder_as(
            folder.path(),
            nix::unistd::geteuid().as_raw(),
            &["--source-directory", &path("source"), "--metrics-address", &metrics.to_string()]
                .into_iter()
                .chain(["--cni-conf-dir", &path("net.d"), "--cni-bin-dir", &path("bin")])
                .collect::<Vec<_>>(),
        );
        wait_until(|| daemon.health().ready, || daemon.log());
        Installed { folder, daemon, metrics }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn list(&self) -> PathBuf {
        self.path("net.d/00-plexus.conflist")
    }

    /// What the daemon says is not as it should be.
    fn told(&self) -> String {
        self.daemon.health().guards["installation"].clone()
    }

    /// How often something was put back.
    fn times(&self, file: &str) -> String {
        let line = format!("plexus_displacements_total{{file=\"{file}\"}} ");
        let text = http::get(self.metrics, "/metrics");
        text.lines().find_map(|text| text.strip_prefix(&line)).unwrap_or("0").to_owned()
    }

    fn returns(&self, path: &Path) {
        wait_until(|| path.exists(), || format!("{} does not return:\n{}", path.display(), self.daemon.log()));
    }

    /// Waits until the daemon has looked several times, by what it tells of a file that stands before ours.
    fn several_looks(&self) {
        std::thread::sleep(std::time::Duration::from_millis(2500));
    }
}

#[test]
fn who_renames_it_again_and_again_is_named_and_left_alone() {
    // FAULT-23
    let installed = Installed::new();
    let (list, renamed) = (installed.list(), installed.path("net.d/00-plexus.conflist.cilium_bak"));
    for time in ["1", "2", "3"] {
        fs::rename(&list, &renamed).unwrap();
        installed.returns(&list);
        // Whole, with what others had added, and nothing is left of the other name.
        assert_eq!(fs::read_to_string(&list).unwrap(), OURS);
        eventually("the other name to go", || !renamed.exists());
        eventually("it to be counted", || installed.times("configuration") == time);
    }
    fs::rename(&list, &renamed).unwrap();
    eventually("it to be given up", || !installed.daemon.health().ready);
    let told = installed.told();
    assert!(told.contains("00-plexus.conflist.cilium_bak") && told.contains("3 times"), "{told}");
    assert!(!list.exists() && renamed.exists());
    assert_eq!(installed.daemon.log().matches("Plexus is not active on this node").count(), 1);
    let run = installed.daemon.run.path().display().to_string();
    let health =
        Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(["health", "--run-directory", &run]).output().unwrap();
    assert_eq!(health.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&health.stdout).contains("cilium_bak"), "{health:?}");

    // A person settles it: from then on it is kept again.
    fs::rename(&renamed, &list).unwrap();
    eventually("it to be well", || installed.daemon.health().ready);
    fs::remove_file(&list).unwrap();
    installed.returns(&list);
}

#[test]
fn what_is_written_over_or_removed_returns() {
    // FAULT-20, FAULT-23
    let installed = Installed::new();
    // A write in place that is half done is not touched; others' additions are kept.
    let more = OURS.replace("istio-cni", "another-mesh");
    fs::write(installed.list(), &more).unwrap();
    installed.several_looks();
    assert_eq!(fs::read_to_string(installed.list()).unwrap(), more);
    fs::write(installed.list(), PRIMARY).unwrap();
    eventually("ours to return", || fs::read_to_string(installed.list()).unwrap() == more);
    // The plugin is a copy of the one beside the daemon.
    let program = installed.path("bin/plexus");
    fs::remove_file(&program).unwrap();
    installed.returns(&program);
    assert_eq!(fs::read_to_string(&program).unwrap(), plugin());
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    eventually("both to be counted", || {
        (installed.times("configuration"), installed.times("plugin")) == ("1".to_owned(), "1".to_owned())
    });
    assert!(installed.daemon.health().ready);
    // One that was cut off is as a missing one.
    fs::write(&program, &plugin()[..10]).unwrap();
    eventually("the whole to return", || fs::read_to_string(&program).unwrap() == plugin());
}

#[test]
fn what_somebody_puts_in_the_plugins_place_is_named_and_not_touched() {
    // FAULT-20
    let installed = Installed::new();
    let program = installed.path("bin/plexus");
    let is_named = |why: &str| {
        eventually("it to be noticed", || !installed.daemon.health().ready);
        let told = installed.told();
        assert!(told.contains(&program.display().to_string()) && told.contains(why), "{told}");
        let run = installed.daemon.run.path().display().to_string();
        let mut health = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        let health = health.args(["health", "--run-directory", &run]).output().unwrap();
        assert_eq!(health.status.code(), Some(3), "{health:?}");
    };
    let is_well = || {
        let _ = fs::remove_file(&program).or_else(|_| fs::remove_dir(&program));
        executable(&program, &plugin());
        eventually("it to be well", || installed.daemon.health().ready);
    };
    fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink(installed.path("nothing"), &program).unwrap();
    is_named("a link to a file that does not exist");
    is_well();
    fs::remove_file(&program).unwrap();
    fs::create_dir(&program).unwrap();
    is_named("a directory took its place");
    is_well();
    assert_eq!(installed.times("plugin"), "0");
}

#[test]
fn another_program_in_the_plugins_place_is_replaced_and_then_named() {
    // FAULT-20
    let installed = Installed::new();
    let (program, moved) = (installed.path("bin/plexus"), installed.path("moved"));
    let take_its_place = |text: &str| {
        executable(&moved, text);
        fs::rename(&moved, &program).unwrap();
    };
    let returns = || {
        let is_back = || fs::read_to_string(&program).unwrap() == plugin();
        wait_until(is_back, || format!("the plugin does not return:\n{}", installed.daemon.log()));
    };
    // The installer of another release says first which plugin it puts there.
    let other = format!("{} of another release", plugin());
    let note = installed.path("state/installed");
    fs::write(&note, plexus::api::build::identity(other.as_bytes())).unwrap();
    take_its_place(&other);
    installed.several_looks();
    assert_eq!(fs::read_to_string(&program).unwrap(), other);
    assert!(installed.daemon.health().ready && installed.times("plugin") == "0");
    // Ours was installed again, and then somebody moved that one there, as any other program.
    fs::write(&note, plexus::api::build::identity(plugin().as_bytes())).unwrap();
    returns();
    let another = "#!/bin/sh\necho another program that is longer than what is enough of a plugin for a test\n";
    for _ in 0..2 {
        take_its_place(another);
        returns();
    }
    eventually("each to be counted", || installed.times("plugin") == "3");
    take_its_place(another);
    eventually("it to be given up", || !installed.daemon.health().ready);
    let told = installed.told();
    assert!(told.contains(&program.display().to_string()) && told.contains("another program took its place"), "{told}");
    assert_eq!(fs::read_to_string(&program).unwrap(), another);
}

#[test]
fn a_file_before_ours_is_named_and_not_touched() {
    // FAULT-23
    let installed = Installed::new();
    let rival = installed.path("net.d/00-calico.conflist");
    fs::write(&rival, PRIMARY).unwrap();
    eventually("it to be noticed", || !installed.daemon.health().ready);
    assert!(installed.told().contains("00-calico.conflist before"), "{}", installed.told());
    assert!(rival.exists() && installed.list().exists());
    fs::remove_file(&rival).unwrap();
    eventually("it to be well", || installed.daemon.health().ready);
}

#[test]
fn uninstalling_is_no_displacement() {
    let installed = Installed::new();
    // As `plexusctl uninstall` does it, in this order; its mark goes with the state in the end.
    let draining = installed.path("state/draining");
    fs::write(&draining, "").unwrap();
    fs::remove_file(installed.list()).unwrap();
    installed.several_looks();
    fs::remove_file(installed.path("bin/plexus")).unwrap();
    fs::remove_file(&draining).unwrap();
    installed.several_looks();
    assert!(!installed.list().exists() && !installed.path("bin/plexus").exists());
    assert_eq!((installed.times("configuration"), installed.times("plugin")), ("0".to_owned(), "0".to_owned()));
    // Installed again it is kept again.
    fs::write(installed.list(), OURS).unwrap();
    installed.returns(&installed.path("bin/plexus"));
}

/// `plexusctl keep` in the folders of `folder`.
struct Keeper(std::process::Child);

impl Keeper {
    fn in_folder(folder: &Path) -> Keeper {
        let mut keep = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        keep.arg("keep");
        for (option, name) in [
            ("cni-conf-dir", "net.d"),
            ("cni-bin-dir", "bin"),
            ("state-directory", "state"),
            ("run-directory", "run"),
            ("pod-resources-socket", "kubelet.sock"),
        ] {
            keep.arg(format!("--{option}")).arg(folder.join(name));
        }
        Keeper(keep.spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_that_sees_no_folder_of_the_node_tells_what_the_keeper_finds() {
    // M1, FAULT-23
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["net.d", "bin", "source", "state", "run", "run/keeper"] {
        fs::create_dir(path(name)).unwrap();
    }
    let list = path("net.d/00-plexus.conflist");
    fs::write(&list, OURS).unwrap();
    executable(&path("bin/plexus"), &plugin());
    let metrics = http::free_address();
    let source = path("source").display().to_string();
    let daemon =
        Daemon::in_folder(folder.path(), &["--source-directory", &source, "--metrics-address", &metrics.to_string()]);
    let told = || daemon.health().guards.get("installation").cloned().unwrap_or_default();
    assert!(told().contains("has not looked"), "{}", told());
    let mut keeper = Keeper::in_folder(folder.path());
    wait_until(|| daemon.health().ready, || daemon.log());

    fs::rename(&list, path("net.d/00-plexus.conflist.cilium_bak")).unwrap();
    eventually("it to be put back", || list.exists());
    let counted = || http::get(metrics, "/metrics").contains("plexus_displacements_total{file=\"configuration\"} 1");
    eventually("it to be counted", counted);
    fs::write(path("net.d/00-calico.conflist"), PRIMARY).unwrap();
    eventually("the daemon to name the file", || told().contains("00-calico.conflist before"));
    let ready = || {
        Command::new(env!("CARGO_BIN_EXE_plexusctl"))
            .args(["health", "--ready", "--run-directory"])
            .arg(path("run"))
            .output()
            .unwrap()
    };
    let probed = ready();
    assert_eq!(probed.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&probed.stderr).starts_with("not ready: installation: the runtime takes"),
        "{probed:?}"
    );
    fs::remove_file(path("net.d/00-calico.conflist")).unwrap();
    eventually("it to be well", || ready().status.success());

    // D17: that pods start without their networks is told.
    fs::write(path("state/draining"), "").unwrap();
    eventually("the drain to be told", || {
        daemon.health().remarks.get("installation").is_some_and(|why| why.contains("uninstalled"))
    });
    assert!(daemon.health().ready);
    // As the kubelet ends it.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(keeper.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(keeper.0.wait().unwrap().success());
}
