//! Statuses that wait, and the files that they become.

use super::*;

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
    let (id, name) = (ContainerId::new("c2").unwrap(), "../../x");
    let text = json!({"containerId": "c2", "pod": {"namespace": "default", "name": name}, "networkStatus": "[]"});
    fs::write(daemon.run.publication(&id), text.to_string()).unwrap();
    let asked = daemon.ask(&Request::Publish(id));
    assert!(matches!(asked, Reply::Published(Published::Refused(_))), "{asked:?}");
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
