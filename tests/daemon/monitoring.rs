//! What an operator sees: metrics, readiness, log lines.

use super::*;

#[test]
fn monitoring_is_served_on_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let address = support::http::free_address();
    let source = folder.path().join("later");
    let daemon = Daemon::in_folder(
        folder.path(),
        &["--metrics-address", &address.to_string(), "--source-directory", source.to_str().unwrap()],
    );
    let get = |path: &str| support::http::get(address, path);
    let unready = get("/readyz");
    assert!(
        unready.starts_with("HTTP/1.1 503")
            && unready.contains("definitions: network attachment definitions are not known yet"),
        "{unready}"
    );
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    fs::create_dir(&source).unwrap();
    wait_until(|| get("/readyz").starts_with("HTTP/1.1 200"), || get("/readyz"));
    daemon.publish("c1", &pod("p", None), "[]");
    let metrics = get("/metrics");
    for line in [
        r#"plexus_build_info{version="#,
        "plexus_ready 1",
        r#"plexus_publications_total{outcome="written"} 1"#,
        r#"plexus_questions_total{question="publish",outcome="answered"} 1"#,
        "plexus_publication_duration_seconds_bucket",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(get("/").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_bug_report_has_what_is_counted_wherever_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    for name in ["state", "net.d", "bin"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::create_dir_all(folder.path().join("state/pools/lan")).unwrap();
    fs::write(folder.path().join("state/pools/lan/10.0.0.2"), "c\r\nnet1\r\nnet").unwrap();
    let file = folder.path().join("r.tar.gz");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    tool.env_clear().args(["report", "-o"]).arg(&file).arg("--run-directory").arg(daemon.run.path());
    for (option, name) in [("--state-directory", "state"), ("--cni-conf-dir", "net.d"), ("--cni-bin-dir", "bin")] {
        tool.arg(option).arg(folder.path().join(name));
    }
    let written = tool.output().unwrap();
    assert!(written.status.success(), "{written:?}");
    let packed = fs::read(&file).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
    let files: std::collections::BTreeMap<String, String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            (name.split_once('/').unwrap().1.to_owned(), text)
        })
        .collect();
    assert!(files["metrics.txt"].contains("plexus_ready "), "{:?}", files.keys());
    assert!(files["ipam-show.json"].contains("\"lan\""), "{:?}", files.keys());
}

#[test]
fn what_the_daemon_has_in_memory_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let network = |name: &str, annotations: serde_json::Value, config: &str| {
        serde_json::json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "annotations": annotations}, "spec": {"config": config}})
    };
    let resource = serde_json::json!({"k8s.v1.cni.cncf.io/resourceName": "example.com/nic"});
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "annotations": {"k8s.v1.cni.cncf.io/networks": "a"}}});
    let short = r#"{"type":"a","secret":"of a tenant"}"#;
    for (file, object) in [
        ("a.json", network("a", resource, short)),
        ("b.json", network("b", serde_json::json!({}), &"x".repeat(1000))),
        ("p.json", pod),
    ] {
        fs::write(source.join(file), object.to_string()).unwrap();
    }
    let daemon = Daemon::in_folder(folder.path(), &["--source-directory", source.to_str().unwrap()]);
    wait_until(|| daemon.health().ready, || daemon.log());
    let health = |more: &[&str]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        tool.args(["health", "--state-directory", "/nowhere", "--run-directory"]).arg(daemon.run.path());
        let output = tool.args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let document: serde_json::Value = serde_json::from_str(&health(&["--verbose", "-o", "json"])).unwrap();
    let cached = &document["cached"];
    assert_eq!(
        cached["networks"],
        serde_json::json!([
            {"namespace": "default", "name": "a", "resourceVersion": null, "bytes": short.len(), "resourceName": "example.com/nic"},
            {"namespace": "default", "name": "b", "resourceVersion": null, "bytes": 1000, "resourceName": null}])
    );
    assert_eq!(cached["pods"], serde_json::json!([{"namespace": "default", "name": "p", "uid": "u", "selects": true}]));
    assert_eq!((&cached["bytes"], &cached["confirmed"]), (&(short.len() + 1000).into(), &true.into()));
    let connections = &cached["connections"];
    assert_eq!((&connections["networks"], &connections["trouble"]), (&true.into(), &serde_json::Value::Null));
    assert!(connections["socket"].as_u64().is_some_and(|open| (1..10).contains(&open)), "{connections}");
    // The copies of the node are not the daemon's; one is shown with its age, and nothing of its content.
    assert_eq!(document["copies"], serde_json::Value::Null);
    let (state, nad) = (folder.path().join("state"), plexus::nad::NadRef::new("default", "kept").unwrap());
    let kept = plexus::nad::Definition::new(nad.clone(), Some("secret".into()), |_| None);
    let copy = plexus::api::StateDirectory::new(&state).network(&nad);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::write(&copy, serde_json::to_vec(&kept).unwrap()).unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&copy).unwrap().set_modified(hour_ago).unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    tool.args(["health", "--verbose", "-o", "json", "--run-directory"]).arg(daemon.run.path());
    let text = String::from_utf8(tool.arg("--state-directory").arg(&state).output().unwrap().stdout).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let copies = document["copies"].as_array().unwrap();
    assert!(copies.len() == 1 && copies[0]["name"] == "kept" && !text.contains("secret"), "{text}");
    assert!(copies[0]["age"].as_u64().is_some_and(|age| (3600..7200).contains(&age)), "{text}");
    let table = health(&["--verbose"]);
    for words in ["default/a", "example.com/nic", "default/p", "selected", "source: "] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(!table.contains("tenant"), "{table}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&health(&["-o", "json"])).unwrap().get("cached"), None);
}

#[test]
fn an_address_that_somebody_has_does_not_stop_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("source")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let source = folder.path().join("source");
    let arguments = ["--metrics-address", &address.to_string(), "--source-directory", source.to_str().unwrap()];
    let daemon = Daemon::in_folder(folder.path(), &arguments);
    wait_until(|| daemon.health().ready, || daemon.log());
    wait_until(|| daemon.log().contains("cannot serve metrics"), || daemon.log());
    drop(taken);
    wait_until(|| daemon.log().contains("serving metrics"), || daemon.log());
    assert!(support::http::get(address, "/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_daemon_that_was_never_ready_does_not_log_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_plexusd"));
    daemon.args(["--run-directory".as_ref(), folder.path().as_os_str()]).env_remove("KUBECONFIG");
    // Neither a pod of a cluster nor told of one.
    let output = daemon.env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBERNETES_SERVICE_PORT").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("plexusd ends with an error") && !told.contains("ready"), "{told}");
    assert_eq!(told.matches("not found").count(), 1, "{told}");
}

#[test]
fn log_lines_are_json() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let log = daemon.log();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert!(line["timestamp"].is_string() && line["level"] == "INFO" && line["message"].is_string(), "{line}");
}
