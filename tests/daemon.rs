//! The daemon as a process: its socket, a folder of manifests, its to-do list. No cluster is needed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::api::FactsRequest;
use plexus::api::protocol::{MAX_LINE, Published, Reply, Request};
use plexus::cni::ContainerId;
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use support::connection::Connection;
use support::daemon::{Daemon, nad, pod, wanted};
use support::{eventually, wait_until};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

fn write_nad(folder: &Path, name: &str, config: &str) {
    let manifest = format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\nspec: {{config: '{config}'}}\n"
    );
    fs::create_dir_all(folder.join("source")).unwrap();
    fs::write(folder.join("source").join(format!("{name}.yaml")), manifest).unwrap();
}

fn write_pod(folder: &Path, name: &str, uid: &str, networks: &str) {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: {uid}, annotations: {{{NETWORKS}: '{networks}'}}}}\n"
    );
    fs::create_dir_all(folder.join("source")).unwrap();
    fs::write(folder.join("source").join(format!("pod-{name}.yaml")), manifest).unwrap();
}

fn start(folder: &Path) -> Daemon {
    fs::create_dir_all(folder.join("source")).unwrap();
    Daemon::in_folder(folder, &["--source-directory", folder.join("source").to_str().unwrap()])
}

#[test]
fn facts_are_answered_from_manifests() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", r#"{"type":"bridge"}"#);
    write_pod(folder.path(), "p", "u1", "a, gone");
    let daemon = start(folder.path());
    let facts = daemon.facts(wanted(pod("p", Some("u1")))).unwrap();
    assert_eq!(facts.annotations.unwrap()[NETWORKS], "a, gone");
    assert_eq!(facts.definitions[0].config.as_deref(), Some(r#"{"type":"bridge"}"#));
    assert_eq!(facts.missing, [nad("gone")]);

    // Not asked for: not answered.
    let request = FactsRequest { annotations_wanted: false, ..wanted(pod("p", Some("u1"))) };
    assert_eq!(daemon.facts(request).unwrap().annotations, None);
    let Reply::Health(health) = daemon.ask(&Request::Health {}) else { panic!() };
    assert!(health.ready && health.definitions == 1 && health.unpublished == 0, "{health:?}");
}

#[test]
fn another_pod_of_the_same_name_is_not_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    write_pod(folder.path(), "p", "old", "a");
    let daemon = start(folder.path());
    let refused = daemon.facts(wanted(pod("p", Some("new")))).unwrap_err();
    assert!(refused.contains("default/p") && refused.contains("old") && refused.contains("new"), "{refused}");
    assert!(daemon.facts(wanted(pod("q", Some("u")))).unwrap_err().contains("default/q"));
    write_pod(folder.path(), "p", "new", "b");
    assert_eq!(daemon.facts(wanted(pod("p", Some("new")))).unwrap().missing, [nad("b")]);
}

#[test]
fn networks_are_followed_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    assert_eq!(daemon.config_of(&nad("a")), None);
    write_nad(folder.path(), "a", "1");
    assert_eq!(daemon.config_of(&nad("a")).as_deref(), Some("1"));
    write_nad(folder.path(), "unused", "1");

    let copy = daemon.run.network(&nad("a"));
    let says = |config: &str| fs::read_to_string(&copy).is_ok_and(|text| text.contains(config));
    wait_until(|| says(r#""config":"1""#), || "no last-known copy".into());
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    write_nad(folder.path(), "a", "22");
    // Nobody asks: the daemon sees it by itself.
    wait_until(|| says(r#""config":"22""#), || "the copy does not follow".into());
    fs::remove_file(folder.path().join("source/a.yaml")).unwrap();
    wait_until(|| fs::read_to_string(&copy).unwrap().contains("gone"), || "a deleted network stays".into());
    assert!(!daemon.run.network(&nad("unused")).exists());
}

#[test]
fn copies_of_networks_that_went_while_nobody_looked_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    write_nad(folder.path(), "b", "1");
    let mut daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some() && daemon.config_of(&nad("b")).is_some());
    let (a, b) = (daemon.run.network(&nad("a")), daemon.run.network(&nad("b")));
    wait_until(|| a.exists() && b.exists(), || "no last-known copies".into());
    daemon.signal("KILL");
    daemon.wait();
    fs::remove_file(folder.path().join("source/a.yaml")).unwrap();
    File::options().write(true).open(&b).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let _daemon = start(folder.path());
    wait_until(|| fs::read_to_string(&a).unwrap().contains("gone"), || "a deleted network stays".into());
    // What is still so is confirmed.
    let age = || fs::metadata(&b).unwrap().modified().unwrap().elapsed().unwrap();
    wait_until(|| age() < Duration::from_secs(60), || "the copy is not confirmed".into());
}

#[test]
fn a_network_whose_manifest_cannot_be_read_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("source/a.yaml");
    write_nad(folder.path(), "a", "1");
    write_pod(folder.path(), "p", "u1", "a");
    let mut daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some());
    let copy = daemon.run.network(&nad("a"));
    wait_until(|| copy.exists(), || "no last-known copy".into());
    assert_eq!(daemon.publish("c1", &pod("p", Some("u1")), "[]"), Published::Written);
    daemon.signal("KILL");
    daemon.wait();
    let good = fs::read_to_string(&a).unwrap();
    fs::write(&a, "a: [").unwrap();
    fs::rename(folder.path().join("source/pod-p.yaml"), folder.path().join("pod-p.yaml")).unwrap();
    let daemon = start(folder.path());
    // The plugin has copies, too: of one that is in no manifest, nothing is left either.
    let ask = |name: &str, copies: &[&str]| {
        let copies = copies.iter().map(|name| nad(name)).collect();
        daemon.facts(FactsRequest { networks: vec![nad(name)], copies, ..FactsRequest::default() })
    };
    assert!(ask("a", &["a", "b"]).unwrap_err().contains("a.yaml"));
    // Whatever is read beside it, nothing becomes certain by that.
    write_nad(folder.path(), "other", "1");
    assert_eq!(ask("other", &[]).unwrap().definitions.len(), 1);
    let other = daemon.run.network(&nad("other"));
    wait_until(|| other.exists(), || "no last-known copy".into());
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!fs::read_to_string(&copy).unwrap().contains("gone") && !daemon.run.network(&nad("b")).exists());
    let status = daemon.run.network_status().join("default_p.json");
    assert!(status.exists());
    // Once everything can be read again, what is gone is gone.
    fs::write(&a, good.replace("name: a", "name: c")).unwrap();
    assert_eq!(ask("a", &[]).unwrap().missing, [nad("a")]);
    let gone = |name: &str| fs::read_to_string(daemon.run.network(&nad(name))).is_ok_and(|text| text.contains("gone"));
    wait_until(|| gone("a") && gone("b") && !status.exists(), || "a deleted network stays".into());
}

#[test]
fn a_daemon_that_is_not_root_writes_statuses_into_its_own_folder() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !plexus::sys::is_root() {
        return support::cannot_run("needs root");
    }
    const SOMEBODY: u32 = 65532;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(folder.path(), 0o755);
    write_nad(folder.path(), "a", "1");
    write_pod(folder.path(), "p", "u1", "a");
    // As `plexusctl install --daemon-group` makes them.
    let run = folder.path().join("run");
    fs::create_dir_all(run.join("daemon")).unwrap();
    fs::create_dir_all(run.join("unpublished")).unwrap();
    mode(&run, 0o711);
    for (name, bits) in [("daemon", 0o2770), ("unpublished", 0o750)] {
        chown(run.join(name), Some(0), Some(SOMEBODY)).unwrap();
        mode(&run.join(name), bits);
    }
    let source = folder.path().join("source").display().to_string();
    let daemon = support::daemon::Daemon::in_folder_as(folder.path(), SOMEBODY, &["--source-directory", &source]);
    let id = daemon.leave("c1", &pod("p", Some("u1")), "[]");
    chown(daemon.run.publication(&id), Some(0), Some(SOMEBODY)).unwrap();
    mode(&daemon.run.publication(&id), 0o640);
    let answer = daemon.ask(&Request::Publish(id));
    assert!(matches!(answer, Reply::Published(Published::Written)), "{answer:?}: {}", daemon.log());
    let status = fs::metadata(run.join("daemon/network-status/default_p.json")).unwrap();
    assert_eq!((status.mode() & 0o777, status.gid()), (0o640, SOMEBODY));
}

#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_cluster() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    let daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some());
    fs::rename(folder.path().join("source"), folder.path().join("elsewhere")).unwrap();
    assert_eq!(daemon.config_of(&nad("a")).as_deref(), Some("1"));
    let unknown = daemon.facts(FactsRequest { networks: vec![nad("b")], ..FactsRequest::default() });
    assert!(unknown.unwrap_err().contains("cannot be read"));
}

#[test]
fn what_is_no_request_is_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let mut connection = daemon.connect().unwrap();
    for line in [r#"{"future":{}}"#, r#"{"facts":7}"#, "nonsense", "", r#"{"publish":"../x"}"#] {
        connection.send(line).unwrap();
        assert!(matches!(connection.read(), Some(Reply::Unsupported(_))), "{line}");
    }
    assert!(matches!(connection.ask(&Request::Health {}), Reply::Health(_)));

    let mut rude = Connection::silent(&daemon.run.socket());
    assert!(matches!(rude.ask(&Request::Health {}), Reply::Unsupported(_)));
}

#[test]
fn a_line_without_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let mut connection = daemon.connect().unwrap();
    // The daemon may close before everything is sent.
    let _ = connection.send(&"x".repeat(MAX_LINE + 2));
    assert!(matches!(connection.read(), Some(Reply::Unsupported(line)) if line.contains("longer")), "{}", daemon.log());
    assert!(connection.read().is_none());
    assert!(daemon.connect().is_some());
}

#[test]
fn many_ask_at_once() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    let daemon = start(folder.path());
    let _idle: Vec<_> = (0..100).map(|_| daemon.connect().unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(daemon.config_of(&nad("a")).as_deref(), Some("1")));
        }
    });
}

#[test]
fn connections_that_have_their_answers_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    // As many as the daemon talks to at one time.
    let mut kept: Vec<_> = (0..256).map(|_| daemon.connect().unwrap()).collect();
    for connection in &mut kept {
        assert!(matches!(connection.ask(&Request::Health {}), Reply::Health(_)));
    }
    let begun = Instant::now();
    assert!(matches!(daemon.ask(&Request::Health {}), Reply::Health(_)));
    // Who says nothing is cut off after 10 s.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn statuses_are_written_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    assert_eq!(daemon.publish("c1", &pod("p", Some("u")), "[1]"), Published::Written);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(daemon.run.network_status().join(name)).unwrap()).unwrap()
    };
    let object = read("default_p.json");
    assert_eq!((&object["kind"], &object["metadata"]["uid"]), (&"Pod".into(), &"u".into()));
    assert_eq!(object["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"], "[1]");
    // After the answer, which does not wait for it.
    eventually("the file to go", || !daemon.run.publication(&ContainerId::new("c1").unwrap()).exists());
    // Asked again although it is done: the answer is remembered. A new one is a new one.
    assert_eq!(daemon.ask(&Request::Publish(ContainerId::new("c1").unwrap())), Reply::Published(Published::Written));
    assert_eq!(daemon.publish("c1", &pod("p", Some("u")), "[2]"), Published::Written);
    assert_eq!(read("default_p.json")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"], "[2]");
    assert!(matches!(daemon.ask(&Request::Publish(ContainerId::new("none").unwrap())), Reply::Unavailable(_)));
    // A name that would lead out of the folder.
    assert!(matches!(daemon.publish("c2", &pod("../../x", None), "[]"), Published::Refused(_)));
}

#[test]
fn nobody_has_to_wait_for_a_publication() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let sandbox = daemon.leave("c1", &pod("p", None), "[]");
    let mut connection = Connection::silent(&daemon.run.socket());
    let hello = r#"{"hello":{"program":"plexus","version":1}}"#;
    connection
        .send(&format!("{hello}\n{}", serde_json::to_string(&Request::Publish(sandbox.clone())).unwrap()))
        .unwrap();
    drop(connection);
    wait_until(|| !daemon.run.publication(&sandbox).exists(), || "not published".into());
    // Nor to ask at all.
    let sandbox = daemon.leave("c2", &pod("q", None), "[]");
    wait_until(|| !daemon.run.publication(&sandbox).exists(), || "not published".into());
}

#[test]
fn a_damaged_publication_holds_up_nobody_and_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let unpublished = folder.path().join("run/unpublished");
    fs::create_dir_all(&unpublished).unwrap();
    fs::write(unpublished.join("bad.json"), "{").unwrap();
    write_pod(folder.path(), "p", "u", "");
    // As a former release moved it aside.
    fs::write(unpublished.join("worse.damaged"), "{").unwrap();
    fs::write(
        unpublished.join("good.json"),
        r#"{"containerId":"good","pod":{"namespace":"default","name":"p"},"networkStatus":"[]"}"#,
    )
    .unwrap();
    let daemon = start(folder.path());
    wait_until(
        || daemon.run.network_status().join("default_p.json").exists(),
        || "the good one is not published".into(),
    );
    wait_until(|| fs::read_dir(&unpublished).unwrap().count() == 0, || "the bad one stays".into());
    assert_eq!(daemon.log().matches("cannot read a waiting network-status").count(), 1);
    let asked = daemon.ask(&Request::Publish(ContainerId::new("bad").unwrap()));
    assert!(matches!(asked, Reply::Published(Published::Refused(_))), "{asked:?}");
}

#[test]
fn a_successor_takes_over_without_a_gap() {
    // FAULT-9
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    let mut old = start(folder.path());
    let mut during = old.connect().unwrap();
    let mut daemons = Vec::new();
    for _ in 0..3 {
        let new = Daemon::spawn(folder.path(), &["--source-directory", folder.path().join("source").to_str().unwrap()]);
        let log = |daemon: &Daemon| daemon.log().matches("plexusd is listening").count();
        let before = daemons.len() + 2;
        // Every single connection is answered, by the one or the other.
        wait_until(|| old.config_of(&nad("a")).is_some() && log(&new) >= before, || "no successor".into());
        daemons.push(new);
    }
    // The first one ends only now and still answers who was connected; what is at the path is not its own.
    assert!(matches!(during.ask(&Request::Health {}), Reply::Health(_)));
    old.signal("TERM");
    assert!(old.wait().success());
    assert!(daemons[2].config_of(&nad("a")).is_some());
    drop(daemons.drain(..2));
    assert!(daemons[0].config_of(&nad("a")).is_some());
}

#[test]
fn a_dead_socket_is_replaced_and_the_own_one_removed() {
    // FAULT-7
    let folder = tempfile::tempdir().unwrap();
    let mut dead = start(folder.path());
    dead.signal("KILL");
    dead.wait();
    assert!(dead.run.socket().exists() && dead.connect().is_none());
    let mut daemon = start(folder.path());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&daemon.run.daemon()), mode(&daemon.run.socket())), (0o750, 0o660));
    // Where former releases have it.
    assert!(Connection::open(&daemon.run.former_socket()).is_some());
    daemon.signal("INT");
    assert!(daemon.wait().success());
    assert!(!daemon.run.socket().exists() && daemon.run.path().exists());
}

#[test]
fn what_a_former_daemon_left_in_its_folder_stops_no_successor() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    let elsewhere = folder.path().join("elsewhere");
    for (place, what) in [("plexusd.sock", "folder"), ("networks", "link"), ("networks", "file")] {
        let mut first = start(folder.path());
        first.signal("KILL");
        first.wait();
        let at = first.run.daemon().join(place);
        let _ = fs::remove_file(&at);
        let _ = fs::remove_dir_all(&at);
        match what {
            "folder" => fs::create_dir_all(at.join("full")).unwrap(),
            "link" => {
                fs::create_dir_all(&elsewhere).unwrap();
                std::os::unix::fs::symlink(&elsewhere, &at).unwrap();
            }
            _ => fs::write(&at, "").unwrap(),
        }
        let daemon = start(folder.path());
        assert!(daemon.config_of(&nad("a")).is_some(), "{what} at {place}: {}", daemon.log());
        let copy = daemon.run.network(&nad("a"));
        wait_until(|| copy.exists(), || format!("no copy with a {what} at {place}: {}", daemon.log()));
        assert!(fs::symlink_metadata(daemon.run.networks()).unwrap().is_dir());
    }
    assert!(!elsewhere.exists() || fs::read_dir(&elsewhere).unwrap().next().is_none());
}

#[test]
fn what_was_asked_is_answered_before_the_end() {
    // FAULT-3
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = start(folder.path());
    // It cannot be written, so the answer takes as long as the plugin is kept waiting.
    fs::write(daemon.run.network_status(), "a file where a folder should be").unwrap();
    let sandbox = daemon.leave("c1", &pod("p", None), "[]");
    let _idle = daemon.connect().unwrap();
    let mut connection = daemon.connect().unwrap();
    connection.send(&serde_json::to_string(&Request::Publish(sandbox.clone())).unwrap()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    daemon.signal("TERM");
    assert!(
        matches!(connection.read(), Some(Reply::Published(Published::Retrying(line))) if line.contains("network-status"))
    );
    assert!(daemon.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(daemon.run.publication(&sandbox).exists());
    // The next daemon has it on its list.
    fs::remove_file(daemon.run.network_status()).unwrap();
    let daemon = start(folder.path());
    wait_until(|| !daemon.run.publication(&sandbox).exists(), || "not published".into());
}

#[test]
fn a_network_with_a_device_is_not_attached_without_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("source")).unwrap();
    let manifest = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: sriov, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/vf}}\n";
    fs::write(folder.path().join("source/a.yml"), manifest).unwrap();
    let daemon = start(folder.path());
    let refused = daemon.facts(FactsRequest {
        pod: Some(pod("p", None)),
        networks: vec![nad("sriov")],
        ..FactsRequest::default()
    });
    let refused = refused.unwrap_err();
    assert!(["default/sriov", "x.com/vf", "default/p"].iter().all(|part| refused.contains(part)), "{refused}");
}

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
    wait_until(|| daemon.log().contains("metrics are not served"), || daemon.log());
    drop(taken);
    wait_until(|| daemon.log().contains("serving metrics"), || daemon.log());
    assert!(support::http::get(address, "/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn slow_connections_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("source")).unwrap();
    let (address, source) = (support::http::free_address(), folder.path().join("source"));
    let arguments = ["--metrics-address", &address.to_string(), "--source-directory", source.to_str().unwrap()];
    let daemon = Daemon::in_folder(folder.path(), &arguments);
    wait_until(|| std::net::TcpStream::connect(address).is_ok(), || daemon.log());
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            // Half a head, and then nothing.
            let _ = std::io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost: x");
            stream
        })
        .collect();
    let silent: Vec<_> = (0..100).map(|_| Connection::silent(&daemon.run.socket())).collect();
    let begun = Instant::now();
    assert!(support::http::get(address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(support::http::get(address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(daemon.health().ready);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((slow.len(), silent.len()), (100, 100));
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

#[test]
fn who_is_not_root_is_refused() {
    // FAULT-7
    // This program again, started below as somebody else: it only asks.
    if let Some(socket) = std::env::var_os("PLEXUS_TEST_SOCKET") {
        assert!(Connection::open(Path::new(&socket)).is_some());
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return support::cannot_run("only root can become somebody else");
    }
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    // Let the permissions be as wrong as they can be.
    for path in [folder.path(), daemon.run.path(), &daemon.run.daemon(), &daemon.run.socket()] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    // This test again, as somebody else, who reaches the program through a copy.
    let copy = folder.path().join("peer");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    let ask_as = |uid: u32| {
        let mut peer = Command::new(&copy);
        peer.args(["--exact", "who_is_not_root_is_refused"])
            .env("PLEXUS_TEST_SOCKET", daemon.run.socket())
            .current_dir("/");
        peer.uid(uid).gid(uid).output().unwrap()
    };
    assert!(ask_as(0).status.success());
    assert!(!ask_as(65534).status.success());
    wait_until(|| daemon.log().contains(r#""uid":65534"#), || daemon.log());
}

#[test]
fn the_status_in_a_file_goes_with_its_pod() {
    let folder = tempfile::tempdir().unwrap();
    write_pod(folder.path(), "listed", "u1", "a");
    let daemon = start(folder.path());
    let file = |name: &str| daemon.run.network_status().join(format!("default_{name}.json"));
    // A pod whose annotations the runtime handed over is in no manifest; as long as something is attached it is there.
    let record = json!({"version": 1, "containerId": "c2", "pod": {"namespace": "default", "name": "unlisted"}});
    support::node::write(&daemon.state.record(&ContainerId::new("c2").unwrap()), &record.to_string());
    assert_eq!(daemon.publish("c1", &pod("listed", Some("u1")), "[]"), Published::Written);
    assert_eq!(daemon.publish("c2", &pod("unlisted", Some("u2")), "[]"), Published::Written);
    // A plain pod of a chained Plexus has neither, and lives: the absence of both is no evidence that it is gone.
    assert_eq!(daemon.publish("c3", &pod("neither", Some("u3")), "[]"), Published::Written);
    fs::remove_file(folder.path().join("source/pod-listed.yaml")).unwrap();
    fs::remove_file(daemon.state.record(&ContainerId::new("c2").unwrap())).unwrap();
    wait_until(|| !file("listed").exists() && !file("unlisted").exists(), || "a status stays".to_owned());
    assert!(file("neither").exists());
}

#[test]
fn a_manifest_that_cannot_be_read_is_named_and_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let network = |name: &str| {
        format!("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\n")
    };
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a.yaml"), network("a")).unwrap();
    fs::write(source.join("b.yaml"), network("b")).unwrap();
    let daemon = start(folder.path());
    let ask = |name: &str| daemon.facts(FactsRequest { networks: vec![nad(name)], ..FactsRequest::default() });
    assert_eq!(ask("c").unwrap().missing, [nad("c")]);
    fs::write(source.join("a.yaml"), "a: [").unwrap();
    assert_eq!(ask("b").unwrap().definitions.len(), 1);
    // It may be the one that has the network.
    let refused = ask("c").unwrap_err();
    assert!(refused.contains("default/c") && refused.contains("a.yaml"), "{refused}");
    let Reply::Health(health) = daemon.ask(&Request::Health {}) else { panic!() };
    assert!(health.remarks["source"].contains("a.yaml"), "{:?}", health.remarks);
    assert!(daemon.log().contains("a manifest cannot be read"));
    fs::write(source.join("a.yaml"), network("c")).unwrap();
    assert_eq!(ask("c").unwrap().definitions.len(), 1);
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_plexusd"));
    daemon.args(["--run-directory".as_ref(), folder.path().as_os_str()]).env("KUBECONFIG", folder.path().join("none"));
    for name in ["PLEXUS_KUBECONFIG", "PLEXUS_METRICS_ADDRESS", "PLEXUS_NODE_NAME", "PLEXUS_SOURCE_DIRECTORY"] {
        daemon.env(name, "");
    }
    // It goes by $KUBECONFIG, which names no file; an option that is wrong would be status 2.
    let output = daemon.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("reach the cluster"), "{output:?}");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    let output = tool.args(["get", "-o", "json"]).env("PLEXUS_STATE_DIRECTORY", "").output().unwrap();
    // Where Plexus is not installed it says so of the usual folder.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || told.contains("/var/lib/plexus"), "{output:?}");
}
