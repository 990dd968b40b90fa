//! The socket: who may ask, who has it, and what is no request.

use super::*;

#[test]
fn what_is_no_request_is_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let mut connection = daemon.connect().unwrap();
    for line in [r#"{"future":{}}"#, r#"{"facts":7}"#, "nonsense", "", r#"{"publish":"../x"}"#] {
        connection.send(line).unwrap();
        assert!(matches!(connection.read(), Some(Reply::Unsupported(_))), "{line}");
    }
    assert!(matches!(connection.ask(&Request::Health { test: false }), Reply::Health(_)));

    let mut rude = Connection::silent(&daemon.run.socket());
    assert!(matches!(rude.ask(&Request::Health { test: false }), Reply::Unsupported(_)));
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
    assert!(matches!(during.ask(&Request::Health { test: false }), Reply::Health(_)));
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
    // Who is kept out waits until the head of a slow one is given up, after five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!((slow.len(), silent.len()), (100, 100));
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
        peer.args(["--exact", "socket::who_is_not_root_is_refused"])
            .env("PLEXUS_TEST_SOCKET", daemon.run.socket())
            .current_dir("/");
        peer.uid(uid).gid(uid).output().unwrap()
    };
    assert!(ask_as(0).status.success());
    assert!(!ask_as(65534).status.success());
    wait_until(|| daemon.log().contains(r#""uid":65534"#), || daemon.log());
}

#[test]
fn connections_that_have_their_answers_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    // As many as the daemon talks to at one time.
    let mut kept: Vec<_> = (0..256).map(|_| daemon.connect().unwrap()).collect();
    for connection in &mut kept {
        assert!(matches!(connection.ask(&Request::Health { test: false }), Reply::Health(_)));
    }
    let begun = Instant::now();
    assert!(matches!(daemon.ask(&Request::Health { test: false }), Reply::Health(_)));
    // Who says nothing is cut off after 10 s.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
