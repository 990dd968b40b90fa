//! Watches that end without a word.

use crate::support::cluster::{LEAST, put_network, role, server};
use crate::support::daemon::{Daemon, nad};
use crate::support::proxy::Proxy;
use crate::support::{wait_until, wait_within};
use plexus::api::FactsRequest;
use std::time::Duration;

/// How long a daemon may believe in a dead connection here: its watch of a second, and one or two more connections
/// that died with it and that it kept for later requests.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn a_watch_that_died_in_silence_is_noticed_and_one_too_old_begins_again() {
    // FAULT-28
    let Some(mut server) = server(&[role("plexus", &LEAST)]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(server.url().strip_prefix("https://").unwrap().parse().unwrap());
    let kubeconfig = server.kubeconfig_for("plexusd-stale", &["plexus"]).unwrap();
    let kubeconfig = proxy.kubeconfig(&kubeconfig, &server.url(), folder.path().join("kubeconfig"));
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1", "--watch-seconds", "1"];
    put_network(&server, "default", "a", "1");
    put_network(&server, "default", "b", "1");
    let daemon = Daemon::in_folder(folder.path(), &arguments);
    wait_until(|| daemon.health().definitions == 2, || daemon.log());
    let is_now = |config: &str| daemon.config_of(&nad("a")).as_deref() == Some(config);

    // Connections without a request, which die too: each question is a request, and they are asked at once.
    std::thread::scope(|scope| {
        (0..8).for_each(|i| {
            drop(scope.spawn({
                let daemon = &daemon;
                move || daemon.config_of(&nad(&format!("none{i}")))
            }))
        });
    });
    proxy.cut();
    put_network(&server, "default", "a", "22");
    wait_within(NOTICED, || is_now("22"), || daemon.log());

    // A server that was started anew knows no history: a watch that goes on where it stopped is refused.
    proxy.cut();
    server.kubectl(&["delete", "net-attach-def", "b"], None).unwrap();
    put_network(&server, "default", "a", "333");
    server.restart().unwrap();
    wait_within(NOTICED, || is_now("333") && daemon.health().definitions == 1, || daemon.log());
    // It is listed again, which a connection that broke is no reason for.
    let listed = daemon.log().matches("all NADs are in memory").count();
    assert_eq!(listed, 2, "{}", daemon.log());
    // The connections of the questions died as well. One question finds that out, and not each of them in its turn.
    let ask = || daemon.facts(FactsRequest { networks: vec![nad("b")], ..FactsRequest::default() });
    let answers: Vec<_> = (0..3).map(|_| ask()).skip_while(Result::is_err).collect();
    assert!(answers.len() >= 2, "{}", daemon.log());
    assert!(answers.iter().all(|facts| facts.as_ref().is_ok_and(|facts| facts.missing == [nad("b")])), "{answers:?}");
}
