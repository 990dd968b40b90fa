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
