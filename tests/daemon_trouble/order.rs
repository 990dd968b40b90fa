//! A pod that gets another sandbox while the status of the one before waits.

use crate::stub::{Stub, patched, status};
use crate::support::daemon::{Daemon, pod};
use crate::support::wait_until;
use plexus::api::protocol::Published;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn of_two_sandboxes_of_a_pod_the_newer_one_tells_its_status() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&is_back);
    let stub = Stub::start(Duration::ZERO, move |asked| match asked.method.as_str() {
        "PATCH" if !back.load(Ordering::SeqCst) => status(503, "ServiceUnavailable", "not now"),
        "PATCH" => patched(asked),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = stub.kubeconfig(folder.path());
    let daemon = Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    wait_until(|| daemon.health().ready, || daemon.log());
    let of = |name: &str| pod(name, Some("a-b"));
    // Ten pods, since the order was a matter of luck.
    for number in 0..10 {
        let before = format!("[\"before-{number}\"]");
        assert!(matches!(
            daemon.publish(&format!("before{number}"), &of(&format!("p{number}")), &before),
            Published::Retrying(_)
        ));
    }
    for number in 0..10 {
        let after = format!("[\"after-{number}\"]");
        assert!(matches!(
            daemon.publish(&format!("after{number}"), &of(&format!("p{number}")), &after),
            Published::Retrying(_)
        ));
    }
    let asked = stub.asked("PATCH", "").len();
    is_back.store(true, Ordering::SeqCst);
    wait_until(|| daemon.health().unpublished == 0, || daemon.log());
    let written: Vec<_> = stub.asked("PATCH", "").split_off(asked);
    for number in 0..10 {
        let mut of_pod = written.iter().filter(|asked| asked.path.contains(&format!("/pods/p{number}/")));
        let last = of_pod.next_back().unwrap();
        assert!(last.body.contains(&format!("after-{number}")), "{last:?}");
    }
}
