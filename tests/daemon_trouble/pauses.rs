//! An API server that refuses: how often it is asked, and how often that is logged.

use crate::stub::{Stub, status};
use crate::support::daemon::Daemon;
use crate::support::wait_until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_list_that_is_refused_is_tried_less_and_less_and_logged_once() {
    let refused = Arc::new(AtomicBool::new(true));
    let refuse = Arc::clone(&refused);
    let stub = Stub::start(Duration::ZERO, move |_| {
        refuse.load(Ordering::SeqCst).then(|| status(401, "Unauthorized", "Unauthorized")).flatten()
    });
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = stub.kubeconfig(folder.path());
    let daemon = Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    let lists = || stub.asked("GET", "/network-attachment-definitions").len();
    wait_until(|| lists() >= 4, || daemon.log());
    let times = stub.asked("GET", "/network-attachment-definitions");
    // Half a second, one, two; each a quarter shorter or longer.
    let pause = times[3].at - times[2].at;
    assert!(pause > Duration::from_millis(1400), "{pause:?}");
    let count = |what: &str| daemon.log().matches(what).count();
    assert_eq!((count("the watch failed"), count("the watch works again")), (1, 0), "{}", daemon.log());
    refused.store(false, Ordering::SeqCst);
    wait_until(|| daemon.health().ready, || daemon.log());
    assert_eq!((count("the watch failed"), count("the watch works again")), (1, 1), "{}", daemon.log());
}
