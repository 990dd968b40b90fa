use super::super::uninstall;
use super::*;
use clap::Parser;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const PRIMARY: &str = r#"{"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"bridge"},{"type":"portmap","capabilities":{"portMappings":true}}]}"#;

#[derive(Parser)]
struct Install {
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Parser)]
struct Uninstall {
    #[command(flatten)]
    arguments: uninstall::Arguments,
}

/// What is taken for the plugin of release `n`.
fn program(n: &str) -> String {
    format!("\u{7f}ELF {} {n}", crate::api::build::ABOUT)
}

/// A node: the folders that we are given.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Node(tempfile::tempdir().unwrap());
        for folder in ["conf", "bin", "state", "run"] {
            fs::create_dir(node.path(folder)).unwrap();
        }
        node.write("plugin", &program("1"));
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn words(&self, words: &[(&str, &str)], rest: &[&str]) -> Vec<String> {
        let folders = words.iter().map(|(option, name)| format!("{option}={}", self.path(name).display()));
        std::iter::once("x".to_owned()).chain(folders).chain(rest.iter().map(|word| (*word).to_owned())).collect()
    }

    fn install(&self) -> Result<(), String> {
        self.install_with(&[])
    }

    fn install_with(&self, more: &[&str]) -> Result<(), String> {
        let folders = [
            ("--cni-conf-dir", "conf"),
            ("--cni-bin-dir", "bin"),
            ("--plugin", "plugin"),
            ("--state-directory", "state"),
        ];
        let line = Install::parse_from(self.words(&folders, &[&["--timeout=1"], more].concat()));
        run(&line.arguments, &mut Output::of_process()).map_err(|e| e.to_string())
    }

    fn uninstall(&self) {
        let folders = [
            ("--cni-conf-dir", "conf"),
            ("--cni-bin-dir", "bin"),
            ("--run-directory", "run"),
            ("--state-directory", "state"),
        ];
        let line = Uninstall::parse_from(self.words(&folders, &["--wait"]));
        uninstall::run(&line.arguments, &mut Output::of_process()).unwrap();
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn ours(&self) -> String {
        fs::read_to_string(self.path("conf/00-plexus.conflist")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

#[test]
fn what_is_installed_is_what_is_removed() {
    let node = Node::new();
    fs::write(node.path("conf/10-cbr0.conflist"), PRIMARY).unwrap();
    fs::write(node.path("bin/.plexus-9-0"), "half of a pro").unwrap();
    node.install().unwrap();
    assert_eq!(node.files("conf"), ["00-plexus.conflist", "10-cbr0.conflist"]);
    assert_eq!(node.files("bin"), ["plexus"]);
    assert_eq!(fs::metadata(node.path("bin/plexus")).unwrap().permissions().mode() & 0o777, 0o755);
    node.uninstall();
    assert_eq!(node.files("conf"), ["10-cbr0.conflist"]);
    for folder in ["bin", "state", "run"] {
        assert!(node.files(folder).is_empty(), "{folder}");
    }
}

#[test]
fn a_second_time_changes_nothing() {
    let node = Node::new();
    fs::write(node.path("conf/10-cbr0.conflist"), PRIMARY).unwrap();
    node.install().unwrap();
    let stamp = |name: &str| fs::metadata(node.path(name)).unwrap().modified().unwrap();
    let before = (stamp("bin/plexus"), stamp("conf/00-plexus.conflist"));
    node.install().unwrap();
    assert_eq!((stamp("bin/plexus"), stamp("conf/00-plexus.conflist")), before);
    node.write("plugin", &program("2"));
    node.install().unwrap();
    assert_eq!(fs::read_to_string(node.path("bin/plexus")).unwrap(), program("2"));
    assert_eq!(stamp("conf/00-plexus.conflist"), before.1);
}

#[test]
fn a_primary_may_come_late_or_be_away() {
    let node = Node::new();
    assert!(node.install().unwrap_err().contains("contains no configuration"));
    assert!(node.files("conf").is_empty());
    std::thread::scope(|scope| {
        let installed = scope.spawn(|| node.install());
        sleep(Duration::from_millis(300));
        fs::write(node.path("conf/10-cbr0.conflist"), PRIMARY).unwrap();
        installed.join().unwrap().unwrap();
    });
    let before = node.ours();
    fs::remove_file(node.path("conf/10-cbr0.conflist")).unwrap();
    node.install().unwrap();
    assert_eq!(node.ours(), before);
}

#[test]
fn ours_is_written_again_where_it_is_damaged() {
    // FAULT-12, FAULT-23
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    node.install().unwrap();
    let whole = node.ours();
    let written_over = r#"{"name":"n","plugins":[{"type":"cilium-cni"}]}"#;
    for damaged in ["", "{}", "[]", &whole[..whole.len() / 2], written_over, "\u{0}"] {
        node.write("conf/00-plexus.conflist", damaged);
        node.install().unwrap();
        assert_eq!(node.ours(), whole, "{damaged:?}");
    }
    // Nothing to write it from: that is no success, and the file is no candidate.
    fs::remove_file(node.path("conf/10-cbr0.conflist")).unwrap();
    node.write("conf/00-plexus.conflist", "{}");
    let why = node.install().unwrap_err();
    assert!(why.contains("contains no configuration of a cluster network"), "{why}");
    // Another's that is broken is not ours to write.
    node.write("conf/05-theirs.conflist", "{");
    node.write("conf/10-cbr0.conflist", PRIMARY);
    let why = node.install().unwrap_err();
    assert!(why.contains("05-theirs.conflist") && why.contains("fix or remove it"), "{why}");
}

#[test]
fn multus_is_replaced_only_on_request_and_kept() {
    const MULTUS: &str = r#"{"cniVersion":"0.3.1","name":"multus-cni-network","type":"multus-shim"}"#;
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    node.write("conf/00-multus.conf", MULTUS);
    for mode in ["delegate", "chain"] {
        let why = node.install_with(&["--mode", mode]).unwrap_err();
        assert!(why.contains("00-multus.conf") && why.contains("--replace-multus"), "{why}");
    }
    // Nothing was touched.
    assert_eq!(node.files("conf"), ["00-multus.conf", "10-cbr0.conflist"]);
    assert!(node.files("bin").is_empty());
    node.install_with(&["--replace-multus"]).unwrap();
    let replaced = ["00-multus.conf.plexus-replaced", "00-plexus.conflist", "10-cbr0.conflist"];
    assert_eq!(node.files("conf"), replaced);
    assert_eq!(fs::read_to_string(node.path("conf/00-multus.conf.plexus-replaced")).unwrap(), MULTUS);
    node.install().unwrap();
    // Its next start writes it again; what was replaced before stays.
    node.write("conf/00-multus.conf", "{");
    node.install().unwrap_err();
    node.install_with(&["--replace-multus"]).unwrap();
    assert!(node.path("conf/00-multus.conf.plexus-replaced-2").exists() && !node.path("conf/00-multus.conf").exists());
    // After ours it is in nobody's way.
    node.write("conf/70-multus.conf", MULTUS);
    node.install().unwrap();
    assert!(node.path("conf/70-multus.conf").exists());
}

#[test]
fn the_address_program_is_linked_on_request_and_nothing_of_others_is_touched() {
    const LINK: &str = "bin/plexus-ipam";
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    node.install().unwrap();
    assert_eq!(node.files("bin"), ["plexus"], "nobody asked for it");
    for _ in 0..2 {
        node.install_with(&["--address-program"]).unwrap();
        assert_eq!(fs::read_link(node.path(LINK)).unwrap(), Path::new("plexus"));
    }
    // It may be one that a person made; who does not ask for it leaves it alone.
    node.install().unwrap();
    assert_eq!(node.files("bin"), ["plexus", "plexus-ipam"]);
    node.uninstall();
    assert!(node.files("bin").is_empty());
    // An uninstallation that was killed has left it.
    std::os::unix::fs::symlink(node.path("bin/plexus"), node.path(LINK)).unwrap();
    node.uninstall();
    assert!(node.files("bin").is_empty());

    let foreign = |make: &dyn Fn(&Path)| {
        make(&node.path(LINK));
        let before = node.path(LINK).symlink_metadata().unwrap().modified().unwrap();
        let why = node.install_with(&["--address-program"]).unwrap_err();
        assert!(why.contains("plexus-ipam is not a link to the plugin") && why.contains("--address-program"), "{why}");
        assert_eq!(
            (node.files("bin"), node.files("conf").len()),
            (vec!["plexus-ipam".to_owned()], 1),
            "nothing was written"
        );
        node.install().unwrap();
        node.uninstall();
        assert_eq!(node.files("bin"), ["plexus-ipam"]);
        assert_eq!(node.path(LINK).symlink_metadata().unwrap().modified().unwrap(), before);
    };
    foreign(&|path| fs::write(path, program("1")).unwrap());
    fs::remove_file(node.path(LINK)).unwrap();
    foreign(&|path| std::os::unix::fs::symlink("whereabouts", path).unwrap());
    fs::remove_file(node.path(LINK)).unwrap();
    foreign(&|path| fs::create_dir(path).unwrap());
}

#[test]
fn a_build_with_the_daemons_libraries_is_never_installed() {
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    node.write("plugin", &program(crate::api::build::WITH_DAEMON));
    let why = node.install().unwrap_err();
    assert!(why.contains("make plugin") && why.contains("--plugin"), "{why}");
    assert!(node.files("bin").is_empty() && node.files("conf") == ["10-cbr0.conflist"]);
}

#[test]
fn a_file_that_is_not_the_plugin_is_never_installed() {
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    for other in ["", "root:x:0:0:root:/root:/bin/bash", "\u{7f}ELF true", crate::api::build::ABOUT] {
        node.write("plugin", other);
        let why = node.install().unwrap_err();
        let path = node.path("plugin").display().to_string();
        assert!(why.contains(&path) && why.contains("is not the Plexus plugin"), "{why}");
        assert!(node.files("bin").is_empty() && node.files("conf") == ["10-cbr0.conflist"]);
    }
}

#[test]
fn an_installation_ends_the_uninstallation() {
    let node = Node::new();
    node.write("conf/10-cbr0.conflist", PRIMARY);
    node.write("state/draining", "");
    node.install().unwrap();
    assert!(!node.path("state/draining").exists());
}

#[test]
fn what_others_put_into_our_list_stays() {
    let node = Node::new();
    fs::write(node.path("conf/10-cbr0.conflist"), PRIMARY).unwrap();
    node.install().unwrap();
    let mut list: serde_json::Value = serde_json::from_str(&node.ours()).unwrap();
    list["plugins"].as_array_mut().unwrap().push(serde_json::json!({"type": "istio-cni"}));
    list["plugins"][0]["parallel"] = true.into();
    fs::write(node.path("conf/00-plexus.conflist"), list.to_string()).unwrap();
    node.install().unwrap();
    let now: serde_json::Value = serde_json::from_str(&node.ours()).unwrap();
    assert_eq!(now["plugins"][1]["type"], "istio-cni");
    assert!(now["plugins"][0].get("parallel").is_none());
    let text = node.ours();
    node.install().unwrap();
    assert_eq!(node.ours(), text);
}
