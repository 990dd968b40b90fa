//! The daemon and the kubelet's pod-resources socket: which devices a pod has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/kubelet.rs"]
mod kubelet;
mod support;

use kubelet::Kubelet;
use plexus::api::{Facts, FactsRequest};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::daemon::{Daemon, nad, pod};

fn socket(folder: &Path) -> PathBuf {
    folder.join("pod-resources/kubelet.sock")
}

/// A daemon that knows the networks `vf` and `nic`, each with a resource of its name, and `plain` with none.
fn start(folder: &Path) -> Daemon {
    let manifest = |name: &str, annotation: &str| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}, annotations: {{{annotation}}}}}\n---\n"
        )
    };
    let resource = |name: &str| manifest(name, &format!("k8s.v1.cni.cncf.io/resourceName: x.com/{name}"));
    let source = folder.join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a.yaml"), [resource("vf"), resource("nic"), manifest("plain", "")].concat()).unwrap();
    let socket = socket(folder);
    Daemon::in_folder(
        folder,
        &["--source-directory", source.to_str().unwrap(), "--pod-resources-socket", socket.to_str().unwrap()],
    )
}

fn ask(daemon: &Daemon, name: &str, networks: &[&str]) -> Result<Facts, String> {
    let networks = networks.iter().map(|name| nad(name)).collect();
    daemon.facts(FactsRequest { pod: Some(pod(name, Some("u"))), networks, ..FactsRequest::default() })
}

/// The devices of `x.com/vf` that `name` has.
fn vfs(daemon: &Daemon, name: &str) -> Vec<String> {
    ask(daemon, name, &["vf"]).unwrap().devices.remove("x.com/vf").unwrap_or_default()
}

#[test]
fn devices_are_told_container_by_container_and_each_once() {
    // FAULT-46
    // DEVINFO-10
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("other", &[&[("x.com/vf", "0000:00:01.0")]]);
    let first = [("x.com/vf", "0000:18:02.6"), ("x.com/vf", "0000:18:02.5"), ("x.com/nic", "n1")];
    kubelet.pod("p", &[&first, &[("gpu.com/gpu", "g0")], &[("x.com/vf", "0000:18:02.1"), ("x.com/nic", "n0")]]);
    let daemon = start(folder.path());

    // The first container's devices come first, though the alphabet has it otherwise (multus-cni#1540).
    let facts = ask(&daemon, "p", &["vf", "nic", "plain"]).unwrap();
    assert_eq!(facts.devices["x.com/vf"], ["0000:18:02.5", "0000:18:02.6", "0000:18:02.1"]);
    assert_eq!(facts.devices["x.com/nic"], ["n1", "n0"]);
    // Nobody asked for these.
    assert_eq!(facts.devices.len(), 2);
    assert_eq!(ask(&daemon, "p", &["nic"]).unwrap().devices.keys().collect::<Vec<_>>(), ["x.com/nic"]);
}

#[test]
fn a_pod_without_a_device_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("p", &[&[], &[("x.com/vf", "a")]]);
    let daemon = start(folder.path());
    let facts = ask(&daemon, "p", &["vf", "nic"]).unwrap();
    assert_eq!(facts.devices.keys().collect::<Vec<_>>(), ["x.com/vf"]);
}

#[test]
fn the_kubelet_is_asked_only_where_a_network_takes_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    let daemon = start(folder.path());
    assert!(ask(&daemon, "p", &["plain"]).unwrap().devices.is_empty());
    assert_eq!(kubelet.calls(), (0, 0));
}

#[test]
fn a_pod_that_the_kubelet_does_not_know_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    let daemon = start(folder.path());
    let refused = ask(&daemon, "p", &["plain", "vf"]).unwrap_err();
    assert_eq!(
        refused,
        "network default/vf takes a device of x.com/vf, and which one pod default/p has is not known: the kubelet does not know that pod"
    );
    kubelet.pod("p", &[&[("x.com/vf", "a")]]);
    assert_eq!(vfs(&daemon, "p"), ["a"]);
    // A successor of the same name is never answered for with its predecessor's devices.
    for device in ["b", "c", "d"] {
        kubelet.pod("p", &[&[("x.com/vf", device)]]);
        assert_eq!(vfs(&daemon, "p"), [device]);
    }
}

#[test]
fn a_kubelet_that_is_not_there_is_named_and_found_when_it_comes() {
    // FAULT-46
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let refused = ask(&daemon, "p", &["vf"]).unwrap_err();
    assert!(
        ["default/vf", "x.com/vf", "default/p", "kubelet.sock", "nobody listens"]
            .iter()
            .all(|part| refused.contains(part)),
        "{refused}"
    );

    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("p", &[&[("x.com/vf", "a")]]);
    assert_eq!(vfs(&daemon, "p"), ["a"]);
    // A kubelet that restarts has a new socket of the same name.
    drop(kubelet);
    assert!(ask(&daemon, "p", &["vf"]).unwrap_err().contains("nobody listens"));
    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("p", &[&[("x.com/vf", "b")]]);
    assert_eq!(vfs(&daemon, "p"), ["b"]);
}

#[test]
fn a_kubelet_that_hangs_holds_nobody_up() {
    // FAULT-46
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(socket(folder.path()).parent().unwrap()).unwrap();
    // Connections wait in its queue for ever.
    let silent = UnixListener::bind(socket(folder.path())).unwrap();
    let daemon = start(folder.path());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let refused = ask(&daemon, "p", &["vf"]).unwrap_err();
                assert!(refused.contains("did not answer") && refused.contains("2s"), "{refused}");
            });
        }
        // Who takes no device does not wait.
        ask(&daemon, "q", &["plain"]).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    });
    assert!((2.0..4.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());

    drop(silent);
    fs::remove_file(socket(folder.path())).unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("p", &[&[("x.com/vf", "a")]]);
    assert_eq!(vfs(&daemon, "p"), ["a"]);
}

#[test]
fn what_is_no_grpc_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(socket(folder.path()).parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket(folder.path())).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let daemon = start(folder.path());
    let refused = ask(&daemon, "p", &["vf"]).unwrap_err();
    assert!(refused.contains("the connection broke"), "{refused}");
}

#[test]
fn many_pods_share_few_calls() {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    let devices: Vec<String> = (0..60).map(|number| format!("d{number}")).collect();
    for (number, device) in devices.iter().enumerate() {
        kubelet.pod(&format!("p{number}"), &[&[("x.com/vf", device)]]);
    }
    kubelet.takes(Duration::from_millis(30));
    let daemon = start(folder.path());
    std::thread::scope(|scope| {
        for (number, device) in devices.iter().enumerate() {
            let daemon = &daemon;
            scope.spawn(move || assert_eq!(vfs(daemon, &format!("p{number}")), [device.as_str()]));
        }
    });
    let (answered, rejected) = kubelet.calls();
    assert!((2..=15).contains(&answered) && rejected == 0, "{answered} {rejected}");

    // One after the other: more than the kubelet lets through at once, but not faster than it does.
    kubelet.takes(Duration::ZERO);
    for number in 0..30 {
        vfs(&daemon, &format!("p{number}"));
    }
    assert_eq!(kubelet.calls(), (answered + 30, 0));
}

#[test]
fn a_kubelet_that_is_asked_too_often_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&socket(folder.path()));
    kubelet.pod("p", &[&[("x.com/vf", "a")]]);
    let daemon = start(folder.path());
    kubelet.exhaust(Duration::from_millis(300));
    assert_eq!(vfs(&daemon, "p"), ["a"]);
    let (answered, rejected) = kubelet.calls();
    assert!(answered == 1 && rejected >= 2, "{answered} {rejected}");
}
