//! What the README's "Install it" applies, on a real API server, and every example with kubectl.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use std::process::{Command, Output};
use support::apiserver::ApiServer;
use support::daemon::Daemon;

fn plexusctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn crd_examples_daemon_and_configuration() {
    let api = match ApiServer::start() {
        Ok(api) => api,
        Err(why) => return support::cannot_run(&why),
    };
    let definition = stdout(&plexusctl(&["crd"]));
    api.kubectl(&["apply", "--server-side", "-f", "-"], Some(&definition)).unwrap();
    let crd = "crd/network-attachment-definitions.k8s.cni.cncf.io";
    api.kubectl(&["wait", "--for=condition=Established", crd], None).unwrap();
    // Namespaces that a cluster has from the start, made by its API server a moment after it is ready.
    support::wait_until(
        || ["default", "kube-public"].iter().all(|name| api.kubectl(&["get", "namespace", name], None).is_ok()),
        || "no namespaces".to_owned(),
    );
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let applied = api.kubectl(&["apply", "-f", examples], None).unwrap();
    assert!(applied.lines().all(|line| line.ends_with(" created")), "{applied}");
    let networks = applied.lines().filter(|line| line.starts_with("networkattachmentdefinition.")).count();

    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::in_folder(
        folder.path(),
        &["--kubeconfig", &api.kubeconfig().to_string_lossy(), "--node-name", "node1"],
    );
    let run = daemon.run.path().display().to_string();
    let health = || plexusctl(&["health", "--run-directory", &run, "-o", "json"]);
    support::wait_until(|| health().status.success(), || format!("not ready:\n{}", daemon.log()));
    let told: serde_json::Value = serde_json::from_str(&stdout(&health())).unwrap();
    assert_eq!(told["definitions"], networks);

    let net_d = folder.path().join("net.d").display().to_string();
    std::fs::create_dir(&net_d).unwrap();
    std::fs::write(format!("{net_d}/10-cluster.conflist"), r#"{"name":"cluster","plugins":[{"type":"bridge"}]}"#)
        .unwrap();
    let shown = stdout(&plexusctl(&["config", "--cni-conf-dir", &net_d]));
    stdout(&plexusctl(&["config", "--cni-conf-dir", &net_d, "--write"]));
    assert_eq!(std::fs::read_to_string(format!("{net_d}/00-plexus.conflist")).unwrap(), shown);
}

#[test]
fn a_daemon_that_is_not_there_is_status_3() {
    let folder = tempfile::tempdir().unwrap();
    let output = plexusctl(&["health", "--run-directory", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("plexusd.sock") && told.trim_end().lines().count() == 1, "{told}");
}

#[test]
fn a_damaged_record_is_told_and_the_others_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("sandboxes")).unwrap();
    let record = r#"{"version":1,"containerId":"c1","pod":{"namespace":"ns","name":"p"},"created":7,"attachments":[
        {"call":"eth0","network":"ns/b","ifname":"net1","state":"owed","config":{"cniVersion":"1.0.0","name":"b","type":"b"},
         "result":{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/x"}],
         "ips":[{"address":"10.0.0.2/24","interface":0}]},"debt":{"since":7,"attempts":3,"error":"no\nway"}}]}"#;
    std::fs::write(folder.path().join("sandboxes/c1.json"), record).unwrap();
    std::fs::write(folder.path().join("sandboxes/c2.json"), [0xff, 0xfe]).unwrap();
    let get = |more: &[&str]| plexusctl(&[&["get", "--state-directory", &state], more].concat());

    let table = get(&[]);
    let text = stdout(&table);
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().take(6).collect();
    assert_eq!(row, ["ns/p", "net1", "ns/b", "10.0.0.2/24", "02:00:00:00:00:01", "owed"]);
    assert!(!text.contains('\x1b'), "colour in a pipe: {text}");
    assert!(String::from_utf8_lossy(&table.stderr).contains("1 record in"), "{table:?}");
    assert!(stdout(&get(&["--debts"])).contains("no way"));
    assert_eq!(stdout(&get(&["-n", "other"])), "");
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told(&table).contains("(c2)"), "{table:?}");
    // What cannot be read may be attached, or owed.
    let alone = tempfile::tempdir().unwrap();
    std::fs::create_dir(alone.path().join("sandboxes")).unwrap();
    std::fs::write(alone.path().join("sandboxes/c9.json"), "{").unwrap();
    for more in [&[][..], &["--debts"], &["-o", "wide"]] {
        let output = plexusctl(&[&["get", "--state-directory", &alone.path().display().to_string()], more].concat());
        let told = told(&output);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(told.contains("1 record in") && told.contains("(c9)"), "{told}");
        assert!(!told.contains("Nothing is"), "{told}");
    }

    let document: serde_json::Value = serde_json::from_str(&stdout(&get(&["-o", "json"]))).unwrap();
    assert_eq!(document["damagedRecords"], 1);
    assert_eq!(document["damagedContainers"][0], "c2");
    let row = &document["attachments"][0];
    assert_eq!(
        (&row["state"], &row["debt"]["error"], &row["default"]),
        (&"owed".into(), &"no\nway".into(), &false.into())
    );
}
