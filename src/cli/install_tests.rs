use super::super::uninstall;
use super::*;
use clap::Parser;
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

/// A node: the folders that we are given.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Node(tempfile::tempdir().unwrap());
        for folder in ["conf", "bin", "state", "run"] {
            fs::create_dir(node.path(folder)).unwrap();
        }
        fs::write(node.path("plugin"), "program 1").unwrap();
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
        let folders = [
            ("--cni-conf-dir", "conf"),
            ("--cni-bin-dir", "bin"),
            ("--plugin", "plugin"),
            ("--state-directory", "state"),
        ];
        let line = Install::parse_from(self.words(&folders, &["--wait=1"]));
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
    fs::write(node.path("plugin"), "program 2").unwrap();
    node.install().unwrap();
    assert_eq!(fs::read_to_string(node.path("bin/plexus")).unwrap(), "program 2");
    assert_eq!(stamp("conf/00-plexus.conflist"), before.1);
}

#[test]
fn a_primary_may_come_late_or_be_away() {
    let node = Node::new();
    assert!(node.install().unwrap_err().contains("holds no configuration"));
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
