//! Directories of Plexus that others than root may write: each program names the directory, its owner, its mode and the
//! command that helps.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};
use support::{Call, Node, Pod, node};

fn plexusctl(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(words).output().unwrap()
}

fn gc(node: &Node, words: &[&str]) -> Output {
    let (list, plugin) = (node.net_d(), node.bin().join("plexus"));
    let fixed = ["gc", "--cni-conf-dir", list.to_str().unwrap(), "--plugin", plugin.to_str().unwrap()];
    plexusctl(&[&fixed, words].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn each_program_names_the_directory_and_the_remedy() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let before = Pod::new(&node, "before").selecting("a");
    before.add().result();
    for (number, (folder, mode, uid, why)) in [
        (node.state().sandboxes(), 0o777, 0, ["(owner 0:0, mode 777)", "chmod go-w"]),
        (node.state().path().to_owned(), 0o777, 0, ["(owner 0:0, mode 777)", "chmod go-w"]),
        (node.run().path().to_owned(), 0o777, 0, ["(owner 0:0, mode 777)", "chmod go-w"]),
        (node.run().path().to_owned(), 0o711, 65532, ["belongs to uid 65532 (mode 711)", "chown root:root"]),
    ]
    .into_iter()
    .enumerate()
    {
        let usual = fs::metadata(&folder).unwrap().permissions();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        chown(&folder, Some(uid), None).unwrap();
        let path = folder.to_str().unwrap();
        let words = [path, why[0], why[1]];
        let is_named = |text: &str| words.iter().all(|word| text.contains(word));

        // It does not wait for a daemon that it would not believe.
        let patience = if folder == *node.run().path() { 60.0 } else { 0.1 };
        let patient = |pod: Pod| pod.configured("daemonTimeoutSeconds", json!(patience));
        let pod = patient(Pod::new(&node, &format!("p{number}")).selecting("a"));
        let began = std::time::Instant::now();
        pod.add().refusal(5, &words);
        // Nor where the annotations are not known.
        let mut unknown = Pod::new(&node, &format!("u{number}"));
        unknown.annotations = None;
        patient(unknown).add().refusal(5, &words);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        // The node stays ready: plain pods start.
        let status = Call::of_node(&node, "STATUS").make();
        status.silence();
        assert!(is_named(&status.stderr), "{path}: {}", status.stderr);

        for words in [&[][..], &["--dry-run"], &["--forgive"], &["-o", "json"]] {
            let output = gc(&node, words);
            assert!(output.status.code() == Some(1) && is_named(&stderr(&output)), "{path}: {output:?}");
        }
        let health = plexusctl(&["health"]);
        assert!(health.status.code() == Some(3) && is_named(&stderr(&health)), "{path}: {health:?}");
        let health = plexusctl(&["health", "-o", "json"]);
        let document: Value = serde_json::from_slice(&health.stdout).unwrap();
        assert!(is_named(document["problems"][0].as_str().unwrap()), "{document}");
        // Whoever starts the sweep himself learns the same.
        let sweep = Command::new(node.bin().join("plexus")).arg("sweep").stdin(stdin(&node)).output().unwrap();
        let answer = String::from_utf8(sweep.stdout).unwrap();
        assert!(!sweep.status.success() && is_named(&answer), "{path}: {answer}");

        fs::set_permissions(&folder, usual).unwrap();
        chown(&folder, Some(0), None).unwrap();
    }
    let answer = gc(&node, &[]);
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    assert!(before.record(&node).is_some());
}

fn stdin(node: &Node) -> fs::File {
    let path = Path::new(node::FOLDER).join("configuration");
    let mut config = node.config.clone();
    config["name"] = json!("cbr0");
    config["cniVersion"] = json!("1.0.0");
    node::write(&path, &config.to_string());
    fs::File::open(path).unwrap()
}
