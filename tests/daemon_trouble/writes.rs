//! Statuses that are not taken at once.

use crate::stub::{Stub, patched, status};
use crate::support::daemon::{Daemon, pod};
use crate::support::wait_until;
use plexus::api::protocol::Published;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const MULTI: &str =
    r#"[{"name":"cbr0","interface":"eth0","default":true,"dns":{}},{"name":"default/a","interface":"net1","dns":{}}]"#;

fn start(stub: &Stub, folder: &Path, denied_seconds: &str) -> Daemon {
    let kubeconfig = stub.kubeconfig(folder);
    let arguments =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1", "--denied-seconds", denied_seconds];
    let daemon = Daemon::in_folder(folder, &arguments);
    wait_until(|| daemon.health().ready, || daemon.log());
    daemon
}

#[test]
fn conflicts_do_not_delay_a_status_for_long() {
    // FAULT-29
    let conflicts = AtomicUsize::new(0);
    let stub = Stub::start(Duration::ZERO, move |asked| match asked.method.as_str() {
        "PATCH" if conflicts.fetch_add(1, Ordering::SeqCst) < 10 => {
            status(409, "Conflict", "Operation cannot be fulfilled on pods: the object has been modified")
        }
        "PATCH" => patched(asked),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&stub, folder.path(), "60");
    let first = daemon.publish("c1", &pod("p", Some("a-b")), MULTI);
    assert!(matches!(first, Published::Retrying(_) | Published::Written), "{first:?}");
    wait_until(|| daemon.health().unpublished == 0, || daemon.log());
    let patches = stub.asked("PATCH", "/pods/p/status");
    assert_eq!(patches.len(), 11);
    // Half a minute and more with the pauses that are for an outage.
    let took = patches[10].at - patches[0].at;
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn what_a_policy_denies_for_a_while_is_written_later_and_told_once() {
    let denials = AtomicUsize::new(0);
    let stub = Stub::start(Duration::ZERO, move |asked| match asked.method.as_str() {
        "PATCH" if asked.path.contains("/pods/never/") => status(422, "Invalid", "denied by a webhook"),
        "PATCH" if denials.fetch_add(1, Ordering::SeqCst) < 2 => status(403, "Forbidden", "denied by policy x"),
        "PATCH" => patched(asked),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&stub, folder.path(), "1");
    let first = daemon.publish("c1", &pod("p", Some("a-b")), MULTI);
    assert!(matches!(&first, Published::Retrying(why) if why.contains("denied by policy x")), "{first:?}");
    assert!(matches!(daemon.publish("c2", &pod("never", Some("a-c")), MULTI), Published::Retrying(_)));
    wait_until(|| daemon.health().unpublished == 0, || daemon.log());
    // The pauses are long.
    let patches = stub.asked("PATCH", "/pods/p/status");
    assert_eq!(patches.len(), 3);
    assert!(patches[2].at - patches[0].at > Duration::from_millis(1900));
    // In the end it is final.
    assert_eq!(stub.asked("PATCH", "/pods/never/status").len(), 5);
    assert!(daemon.log().contains("the network-status was refused"), "{}", daemon.log());
    let events =
        |reason: &str| stub.asked("POST", "/events").iter().filter(|asked| asked.body.contains(reason)).count();
    wait_until(|| events("AddedInterface") == 1, || daemon.log());
    assert_eq!(events("NetworkStatusRefused"), 2);
}

#[test]
fn a_status_that_no_annotation_can_hold_is_refused() {
    let stub = Stub::start(Duration::ZERO, |asked| patched(asked).filter(|_| asked.method == "PATCH"));
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&stub, folder.path(), "60");
    let long = format!(r#"[{{"name":"{}"}}]"#, "x".repeat(300 << 10));
    let refused = daemon.publish("c1", &pod("p", Some("a-b")), &long);
    assert!(matches!(&refused, Published::Refused(why) if why.contains("262144")), "{refused:?}");
    // Nor one whose file nobody would read.
    let longer = daemon.publish("c2", &pod("q", Some("a-b")), &"x".repeat(2 << 20));
    assert!(matches!(&longer, Published::Refused(why) if why.contains("longer")), "{longer:?}");
    assert!(stub.asked("PATCH", "").is_empty() && daemon.health().unpublished == 0);
    wait_until(|| stub.asked("POST", "/events").len() == 1, || daemon.log());
    let names: Vec<_> = fs::read_dir(daemon.run.unpublished()).unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn the_same_event_of_a_pod_is_written_once_in_a_while() {
    let stub = Stub::start(Duration::ZERO, |asked| patched(asked).filter(|_| asked.method == "PATCH"));
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&stub, folder.path(), "60");
    let long = format!(r#"[{{"name":"{}"}}]"#, "x".repeat(300 << 10));
    // A pod whose sandboxes come and go.
    for sandbox in 0..10 {
        let refused = daemon.publish(&format!("p{sandbox}"), &pod("p", Some("a-b")), &long);
        assert!(matches!(refused, Published::Refused(_)), "{refused:?}");
    }
    daemon.publish("q", &pod("q", Some("a-c")), &long);
    let events = |pod: &str| {
        let name = format!(r#""name":"{pod}""#);
        stub.asked("POST", "/events").iter().filter(|asked| asked.body.contains(&name)).count()
    };
    wait_until(|| events("q") == 1, || daemon.log());
    assert_eq!(events("p"), 1);
}

#[test]
fn a_daemon_that_may_only_read_its_list_writes_each_status_once() {
    if !nix::unistd::geteuid().is_root() {
        return crate::support::cannot_run("only root can become somebody else");
    }
    const SOMEBODY: u32 = 65532;
    let stub = Stub::start(Duration::ZERO, |asked| patched(asked).filter(|_| asked.method == "PATCH"));
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(folder.path(), 0o755);
    let kubeconfig = stub.kubeconfig(folder.path());
    open(&kubeconfig, 0o644);
    // What is the daemon's, and what is the plugin's.
    for (path, owner) in [("run", SOMEBODY), ("run/daemon", SOMEBODY), ("state", SOMEBODY), ("run/unpublished", 0)] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
        std::os::unix::fs::chown(folder.path().join(path), Some(owner), Some(owner)).unwrap();
        open(&folder.path().join(path), 0o755);
    }
    let start = || {
        let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"];
        let daemon = Daemon::in_folder_as(folder.path(), SOMEBODY, &arguments);
        wait_until(|| daemon.health().ready, || daemon.log());
        daemon
    };
    let leave = |daemon: &Daemon, status: &str| {
        let sandbox = daemon.leave("c1", &pod("p", Some("a-b")), status);
        open(&daemon.run.publication(&sandbox), 0o644);
        sandbox
    };
    let patches = || stub.asked("PATCH", "/pods/p/status").len();
    let daemon = start();
    let sandbox = leave(&daemon, MULTI);
    wait_until(|| patches() == 1 && daemon.health().unpublished == 0, || daemon.log());
    // Nobody removed it, and it is not written again: not by the next looks, nor by the next daemon.
    std::thread::sleep(Duration::from_secs(4));
    assert!(daemon.run.publication(&sandbox).exists() && patches() == 1, "{}", daemon.log());
    daemon.kill();
    let daemon = start();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((patches(), daemon.health().unpublished), (1, 0));
    let asked = daemon.ask(&plexus::api::protocol::Request::Publish(sandbox.clone()));
    assert_eq!(asked, plexus::api::protocol::Reply::Published(Published::Written));
    // Another ADD is another status.
    leave(&daemon, "[]");
    wait_until(|| patches() == 2 && daemon.health().unpublished == 0, || daemon.log());
    // What cannot be read is said once, and forgotten with its file.
    fs::write(daemon.run.publication(&sandbox), "{").unwrap();
    wait_until(|| daemon.log().contains("cannot read a waiting"), || daemon.log());
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(daemon.log().matches("cannot read a waiting network-status").count(), 1);
    fs::remove_file(daemon.run.publication(&sandbox)).unwrap();
    let done = || fs::read_to_string(daemon.run.path().join("daemon/done.json")).unwrap_or_default();
    wait_until(|| done() == "{}", done);
}
