//! Every call of the plugin is reported to the daemon, which counts it: and no call waits for that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::libc;
use plexus::api::CallReport;
use plexus::api::calls::{DelegateReport, MAX_BYTES, VERSION};
use plexus::sys::datagram;
use serde_json::json;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::{Call, Node, Pod, http, manifests, wait_until};

/// A daemon on `node`, and where its metrics are.
fn daemon(node: &Node) -> (Daemon, SocketAddr) {
    let (address, source) = (http::free_address(), manifests::folder());
    let arguments = ["--source-directory", &source.to_string_lossy(), "--metrics-address", &address.to_string()];
    (Daemon::on_node(node, None, &arguments), address)
}

/// Waits until the daemon at `address` serves each of `lines`.
#[track_caller]
fn await_lines(address: SocketAddr, lines: &[&str]) {
    let missing = || {
        let text = http::get(address, "/metrics");
        let line = lines.iter().find(|line| !text.lines().any(|served| served.starts_with(**line)))?;
        Some(format!("{line} is missing in\n{text}"))
    };
    wait_until(|| missing().is_none(), || missing().unwrap_or_default());
}

/// A default network of a built-in plugin, with a small pool.
fn bridged(node: &Node) {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/29"}]]});
    let bridge = json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam});
    node.primary(&json!({"cniVersion": "1.1.0", "name": "secret-default", "plugins": [bridge]}));
}

/// The test in the place of the daemon.
fn listener(node: &Node) -> UnixDatagram {
    fs::create_dir_all(node.run().daemon()).unwrap();
    let socket = UnixDatagram::bind(node.run().calls()).unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    socket
}

fn received(socket: &UnixDatagram) -> (CallReport, String) {
    let mut buffer = [0; 1 << 16];
    let length = socket.recv(&mut buffer).unwrap();
    let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
    (CallReport::from_bytes(text.as_bytes()).unwrap(), text)
}

#[test]
fn calls_are_counted_with_their_plugins() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    let program = node.recorder("a-program");
    manifests::network("default/a-program", &json!({"cniVersion": "1.0.0", "type": "a-program"}));
    let (daemon, address) = daemon(&node);
    let pod = Pod::new(&node, "p").selecting("a-program");
    pod.add().result();
    pod.del().silence();
    program.on("ADD", "fail 11 'not now'");
    pod.add().refusal(11, &["not now"]);
    pod.del().silence();
    Call::of_node(&node, "STATUS").make().silence();
    // One that cannot be read is counted, too.
    pod.call("ADD").configured("logLevel", json!(7)).make().refusal(7, &["logLevel"]);
    await_lines(
        address,
        &[
            r#"plexus_calls_total{verb="ADD",outcome="ok"} 1"#,
            r#"plexus_calls_total{verb="ADD",outcome="retry"} 1"#,
            r#"plexus_calls_total{verb="ADD",outcome="configuration"} 1"#,
            r#"plexus_calls_total{verb="DEL",outcome="ok"} 2"#,
            r#"plexus_calls_total{verb="STATUS",outcome="ok"} 1"#,
            r#"plexus_call_duration_seconds_count{verb="ADD"} 3"#,
            r#"plexus_delegate_calls_total{plugin="bridge",by="built-in",verb="ADD",outcome="ok"} 2"#,
            r#"plexus_delegate_calls_total{plugin="a-program",by="program",verb="ADD",outcome="ok"} 1"#,
            r#"plexus_delegate_calls_total{plugin="a-program",by="program",verb="ADD",outcome="retry"} 1"#,
            r#"plexus_delegate_duration_seconds_count{plugin="a-program",by="program",verb="ADD"} 2"#,
            "plexus_sandboxes 0",
        ],
    );
    assert!(!http::get(address, "/metrics").contains("plexus_call_reports_refused_total{"), "{}", daemon.log());
}

#[test]
fn a_sweep_counts_what_is_on_the_node() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    let program = node.recorder("a-program");
    manifests::network("default/a-program", &json!({"cniVersion": "1.0.0", "type": "a-program"}));
    let (_daemon, address) = daemon(&node);
    program.on("DEL", "fail 103 broken");
    let (attached, owed) = (Pod::new(&node, "attached"), Pod::new(&node, "owed").selecting("a-program"));
    attached.add().result();
    owed.add().result();
    owed.del().refusal(103, &["broken"]);
    support::node::write(&node.state().sandboxes().join("damaged.json"), "{");
    Call::of_node(&node, "GC").sweep();
    await_lines(
        address,
        &[
            r#"plexus_calls_total{verb="SWEEP",outcome="ok"} 1"#,
            r#"plexus_delegate_calls_total{plugin="a-program",by="program",verb="DEL",outcome="plugin"} 2"#,
            "plexus_sandboxes 3",
            "plexus_attachments 1",
            "plexus_debts 1",
            r#"plexus_damaged_records{place="records"} 1"#,
            r#"plexus_damaged_records{place="aside"} 0"#,
            // One of five addresses: the one of the pod that is deleted is free again.
            "plexus_pools 1",
            "plexus_pools_nearly_full 0",
            "plexus_fullest_pool_ratio 0.2",
            r#"plexus_network_copies{age="hour"} 1"#,
            "plexus_counted_timestamp_seconds 1",
        ],
    );
}

#[test]
fn a_report_names_no_pod_no_network_and_no_container() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    node.recorded_network("a-program");
    let socket = listener(&node);
    let pod = Pod::new(&node, "secret-pod").selecting("a-program@secret0");
    pod.add().result();
    let (report, text) = received(&socket);
    assert_eq!((report.verb.as_str(), report.code, report.version), ("ADD", 0, VERSION));
    assert!(report.us > 0 && report.us < 60_000_000, "{text}");
    let delegates: Vec<(&str, bool, &str)> =
        report.delegates.iter().map(|one| (one.kind.as_str(), one.program, one.verb.as_str())).collect();
    assert_eq!(delegates, [("bridge", false, "ADD"), ("a-program", true, "ADD")]);
    for secret in ["secret", &pod.id, &pod.uid, "10.1.0", "/run/"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    pod.del().silence();
    let (report, _) = received(&socket);
    assert_eq!((report.verb.as_str(), report.delegates.len()), ("DEL", 2));
}

#[test]
fn no_call_waits_for_who_does_not_listen() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    let socket = listener(&node);
    // Its queue is full, and nobody reads.
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let full = (0..100_000).find_map(|_| sender.send_to(b"x", node.run().calls()).err()).unwrap();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    let pod = Pod::new(&node, "p");
    let answer = pod.add();
    assert!(!answer.stderr.contains("calls.sock"), "{}", answer.stderr);
    answer.result();
    // Nobody is there at all.
    drop(socket);
    pod.del().silence();
    fs::remove_file(node.run().calls()).unwrap();
    pod.add().result();
    pod.del().silence();
}

/// What a report costs beside what the call does anyway: sent or not, a file is opened; then a socket is made, and sent to.
#[test]
fn a_report_is_one_message() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    let counted = |name: &str| {
        let pod = Pod::new(&node, name);
        let (answer, seen) = pod.call("ADD").make_counted();
        answer.result();
        pod.del().silence();
        seen.calls
    };
    fs::create_dir_all(node.run().daemon()).unwrap();
    counted("first");
    let without = counted("without");
    let socket = listener(&node);
    let with = counted("with");
    received(&socket);
    let more = with.iter().map(|(call, count)| (*call, count - without.get(call).unwrap_or(&0)));
    assert_eq!(more.filter(|(_, more)| *more != 0).collect::<Vec<_>>(), [(libc::SYS_sendto, 1)]);
}

#[test]
fn a_call_that_is_killed_before_its_report_has_answered() {
    let Some(node) = Node::new() else { return };
    bridged(&node);
    let _socket = listener(&node);
    let first = Pod::new(&node, "first");
    first.add().result();
    let (_, changes) = Pod::new(&node, "counted").call("ADD").killed_at(0);
    let last = changes.len();
    assert_eq!(changes[last - 2..], ["write", "sendto"], "the answer, then the report: {changes:?}");
    let pod = Pod::new(&node, "killed");
    let (answer, _) = pod.call("ADD").killed_at(last);
    let result: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert!(result["ips"][0]["address"].is_string(), "{answer:?}");
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

/// `cargo test --test calls -- --ignored --nocapture`
#[test]
#[ignore = "prints a measurement"]
fn how_long_a_report_takes() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("daemon")).unwrap();
    let socket = UnixDatagram::bind(folder.path().join("daemon/calls.sock")).unwrap();
    let one = DelegateReport { kind: "bridge".into(), verb: "ADD".into(), us: 1234, ..DelegateReport::default() };
    let _kept = plexus::sys::trusted::KeptFolders::begin();
    let mut written = Vec::new();
    let mut sent = Vec::new();
    // Each leaves two descriptors, as in a process that ends.
    for _ in 0..400 {
        let delegates = vec![one.clone(); 3];
        let began = Instant::now();
        let report = CallReport { version: VERSION, verb: "ADD".into(), delegates, ..CallReport::default() };
        let bytes = report.to_bytes();
        written.push(began.elapsed());
        let began = Instant::now();
        std::mem::forget(datagram::send(folder.path(), Path::new("daemon/calls.sock"), &bytes).unwrap());
        sent.push(began.elapsed());
        socket.recv(&mut [0; MAX_BYTES]).unwrap();
    }
    let both = written.iter().zip(&sent).map(|(written, sent)| *written + *sent).collect();
    for (what, mut taken) in [("written", written), ("sent", sent), ("written and sent", both)] {
        taken.sort();
        support::say(&format!("a report is {what} in {:?} (median), {:?} (90 of 100 within)", taken[200], taken[360]));
    }
}

#[test]
fn a_trace_reaches_plugins_and_is_named_in_the_log() {
    let Some(node) = Node::new() else { return };
    let program = node.recorded_network("a-program");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let pod = Pod::new(&node, "p").selecting("a-program").configured("logLevel", json!("debug"));
    let answer = pod.call("ADD").env("TRACEPARENT", parent).make();
    let line = answer.stderr.lines().find(|line| line.contains("trace")).unwrap_or_default();
    let expected = "of pod default/p, trace 0af7651916cd43dd8448eb211c80319c: ";
    assert!(line.starts_with("plexus ADD ") && line.contains(expected), "{}", answer.stderr);
    assert_eq!(program.call_of("ADD").env("TRACEPARENT"), parent);
    // What is no trace is passed on all the same, and not named.
    let answer = pod.call("DEL").env("TRACEPARENT", "\u{1b}[31m").make();
    assert!(!answer.stderr.contains("trace"), "{}", answer.stderr);
}

#[test]
fn a_daemon_that_is_not_root_counts_what_root_reports() {
    if !plexus::sys::is_root() {
        return support::cannot_run("needs root");
    }
    const DAEMON: u32 = 65532;
    let (folder, address) = (tempfile::tempdir().unwrap(), http::free_address());
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let (run, source) = (folder.path().join("run"), folder.path().join("source"));
    // As `plexusctl install --daemon-group` makes them.
    for (path, group, mode) in [
        (folder.path().to_owned(), 0, 0o755),
        (source.clone(), 0, 0o755),
        (run.clone(), 0, 0o711),
        (run.join("daemon"), DAEMON, 0o2770),
        (run.join("unpublished"), DAEMON, 0o750),
    ] {
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(0), Some(group)).unwrap();
        open(&path, mode);
    }
    let arguments = ["--source-directory", source.to_str().unwrap(), "--metrics-address", &address.to_string()];
    let mut daemon = Daemon::in_folder_as(folder.path(), DAEMON, &arguments);
    let calls = daemon.run.calls();
    let socket = fs::metadata(&calls).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (DAEMON, 0o600));
    let report = CallReport { version: VERSION, verb: "ADD".into(), code: 50, ..CallReport::default() };
    drop(datagram::send(&run, Path::new("daemon/calls.sock"), &report.to_bytes()).unwrap());
    await_lines(address, &[r#"plexus_calls_total{verb="ADD",outcome="unavailable"} 1"#]);
    // The socket goes with the daemon.
    daemon.signal("TERM");
    assert!(daemon.wait().success() && !calls.exists(), "{}", daemon.log());
}

/// Sends as the user `uid`, who has no capability.
fn send_as(uid: u32, path: &Path, bytes: &'static [u8]) -> io::Result<usize> {
    let path = path.to_owned();
    let thread = std::thread::spawn(move || {
        // The system call is of this thread; the library's function would be of the process.
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }, 0);
        UnixDatagram::unbound()?.send_to(bytes, path)
    });
    thread.join().unwrap()
}

#[test]
fn what_a_hostile_sender_sends_is_refused_and_bounded() {
    let Some(node) = Node::new() else { return };
    let (daemon, address) = daemon(&node);
    let calls = node.run().calls();
    let report = br#"{"version":1,"verb":"ADD"}"#;
    for folder in [node.run().path().to_owned(), node.run().daemon()] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    // Nobody but root can send.
    assert_eq!(fs::metadata(&calls).unwrap().mode() & 0o777, 0o600);
    assert_eq!(send_as(65533, &calls, report).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    // Were it not for the mode, the kernel would name the sender.
    fs::set_permissions(&calls, Permissions::from_mode(0o666)).unwrap();
    send_as(65533, &calls, report).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let many = format!(r#"{{"version":1,"verb":"ADD","delegates":[{}{{}}]}}"#, "{},".repeat(2000));
    let verbs: Vec<String> = (0..100).map(|n| format!(r#"{{"version":1,"verb":"V{n}","us":{}}}"#, u64::MAX)).collect();
    let kinds = (0..100).map(|n| format!(r#"{{"version":1,"verb":"ADD","delegates":[{{"type":"k{n}"}}]}}"#));
    let deep = "[".repeat(4000);
    let mut all = vec![String::new(), "garbage".to_owned(), r#"{"version":9,"verb":"ADD"}"#.to_owned(), deep];
    all.extend(verbs);
    all.extend(kinds);
    all.extend(["x".repeat(MAX_BYTES + 1), "x".repeat(100_000), many[..MAX_BYTES].to_owned()]);
    for text in all {
        sender.send_to(text.as_bytes(), &calls).unwrap();
    }
    await_lines(
        address,
        &[
            r#"plexus_call_reports_refused_total{reason="sender"} 1"#,
            r#"plexus_call_reports_refused_total{reason="long"} 2"#,
            r#"plexus_call_reports_refused_total{reason="unreadable"} 4"#,
            r#"plexus_call_reports_refused_total{reason="version"} 1"#,
            r#"plexus_calls_total{verb="other",outcome="ok"} 100"#,
            r#"plexus_delegate_calls_total{plugin="other",by="built-in",verb="other",outcome="ok"} 68"#,
        ],
    );
    flood(&daemon, address, &sender, &calls);
}

/// A flood keeps neither the daemon from answering, nor its memory from staying as it is.
fn flood(daemon: &Daemon, address: SocketAddr, sender: &UnixDatagram, calls: &Path) {
    let before = daemon.memory();
    sender.set_nonblocking(true).unwrap();
    let mut lost = 0;
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        lost += usize::from(sender.send_to(br#"{"version":1,"verb":"DEL"}"#, calls).is_err());
    }
    assert!(lost > 0, "the kernel takes them all");
    daemon.health();
    await_lines(address, &[r#"plexus_call_reports_refused_total{reason="flood"} "#]);
    let counted = |line: &str| -> f64 {
        let text = http::get(address, "/metrics");
        let line = text.lines().find_map(|served| served.strip_prefix(line)).unwrap_or_default().to_owned();
        line.trim().parse().unwrap()
    };
    assert!(counted(r#"plexus_calls_total{verb="DEL",outcome="ok"}"#) < 2000.0);
    assert!(daemon.memory() < before + 2048, "{} KiB, before {before} KiB", daemon.memory());
}
