//! What somebody who has taken over the daemon can reach: its own folder, and nothing of root's.
//!
//! Every test cites the attack (D1 and so on) that reached something before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::api::NetworkCopy;
use plexus::cni::ContainerId;
use plexus::nad::{Definition, NadRef};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Node, Pod, node};

/// The user of the daemon, and its group.
const DAEMON: u32 = 65532;
const PRECIOUS: &str = "precious";

/// The daemon's folder as the installation makes it.
fn daemon_folder(node: &Node) -> PathBuf {
    let folder = node.run().daemon();
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions("/run/plexus", Permissions::from_mode(0o711)).unwrap();
    chown(&folder, Some(0), Some(DAEMON)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o2770)).unwrap();
    folder
}

/// A file of root's that nobody may change.
fn victim(name: &str) -> PathBuf {
    let path = Path::new(node::FOLDER).join(name);
    node::write(&path, PRECIOUS);
    path
}

#[track_caller]
fn assert_unharmed(victim: &Path) {
    let metadata = fs::symlink_metadata(victim).unwrap();
    assert_eq!((fs::read_to_string(victim).unwrap().as_str(), metadata.uid()), (PRECIOUS, 0), "{}", victim.display());
}

/// Whether `script` of sh(1) succeeds as the user `uid`.
fn succeeds_as(uid: u32, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env_clear().env("PATH", node::PATH).current_dir("/");
    command.uid(uid).gid(uid).output().unwrap().status.success()
}

/// Puts a file there as the daemon would.
fn as_daemon(path: &Path, text: &str) {
    node::write(path, text);
    for path in [path, path.parent().unwrap()] {
        chown(path, Some(DAEMON), Some(DAEMON)).unwrap();
    }
}

fn definition(name: &str, config: &Value) -> Definition {
    Definition::new(NadRef::new("default", name).unwrap(), Some(config.to_string()), |_| None)
}

/// A sweep, as a person asks for it.
fn sweep(node: &Node) -> Value {
    let answer = support::Call::of_node(node, "GC").sweep();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn the_daemons_user_reads_statuses_and_writes_its_own_folder() {
    // D2 to D8, D10, D14 to D18, L3: each began with a file where the plugin looks.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let daemon = daemon_folder(&node);
    a.on("DEL", "fail 103 broken");
    let (pod, owed) = (Pod::new(&node, "p").selecting("a"), Pod::new(&node, "owed").selecting("a"));
    pod.add().result();
    owed.add().result();
    owed.del().refusal(103, &[]);
    let (run, state) = (node.run(), node.state());
    let status = run.publication(&ContainerId::new(&*pod.id).unwrap());
    // To the former places too, by a user who has nothing to do with the daemon.
    for uid in [DAEMON, 65533] {
        let writable: Vec<PathBuf> = [
            run.path().to_owned(),
            run.locks(),
            run.due(),
            run.unpublished(),
            state.path().to_owned(),
            state.sandboxes(),
            state.networks(),
        ]
        .into_iter()
        .filter(|folder| succeeds_as(uid, &format!("ln -s /etc/passwd {0}/x || mkdir {0}/y", folder.display())))
        .collect();
        assert!(writable.is_empty(), "{writable:?}");
        let files = [
            run.swept(),
            status.clone(),
            state.default_network(),
            pod.record_file(&node),
            run.lock(&ContainerId::new(&*pod.id).unwrap()),
        ];
        for file in files.iter().filter(|file| file.exists()) {
            let change = format!("echo x >>{0} || rm -f {0} || mv {0} {0}.x || chmod 666 {0}", file.display());
            assert!(!succeeds_as(uid, &change), "{}", file.display());
        }
        let secret = pod.record_file(&node);
        assert!(!succeeds_as(uid, &format!("cat {}", secret.display())), "{}", secret.display());
    }
    assert!(succeeds_as(DAEMON, &format!("ls {} && cat {}", run.unpublished().display(), status.display())));
    assert!(succeeds_as(DAEMON, &format!("touch {}/x", daemon.display())));
    assert!(!succeeds_as(65533, &format!("cat {}", status.display())));
    let mode = |path: &Path| (fs::metadata(path).unwrap().mode() & 0o7777, fs::metadata(path).unwrap().gid());
    assert_eq!((mode(&run.unpublished()), mode(&status)), ((0o750, DAEMON), (0o640, DAEMON)));
}

#[test]
fn links_that_lie_where_the_plugin_writes_lead_nowhere() {
    // D1, D6: 24,000 links are laid out in a tenth of a second, so that one of them has our name.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let victim = victim("ld.so.preload");
    let pod = Pod::new(&node, "p").selecting("a");
    let id = ContainerId::new(&*pod.id).unwrap();
    let here = std::process::id();
    let lay_out = |folder: PathBuf, name: &str| {
        fs::create_dir_all(&folder).unwrap();
        for pid in here.saturating_sub(2000)..here + 20_000 {
            for n in 0..2 {
                symlink(&victim, folder.join(format!(".{name}-{pid}-{n}"))).unwrap();
            }
        }
    };
    lay_out(node.run().unpublished(), &format!("{id}-json"));
    lay_out(node.run().due(), "debts");
    lay_out(node.state().sandboxes(), &format!("{id}-json"));
    pod.add().result();
    assert!(node.run().publication(&id).is_file() && pod.record(&node).is_some());
    a.on("DEL", "fail 103 broken");
    pod.del().refusal(103, &["broken"]);
    assert!(node.run().due().join("debts").is_file());
    assert_unharmed(&victim);
}

#[test]
fn a_lock_that_is_a_link_is_not_locked() {
    // D2, D19: the file was emptied, or became "deleted".
    let Some(node) = Node::new() else { return };
    for (name, link) in [("symbolic", true), ("hard", false)] {
        let victim = victim(name);
        let pod = Pod::new(&node, name);
        let lock = node.run().lock(&ContainerId::new(&*pod.id).unwrap());
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        let made = if link { symlink(&victim, &lock) } else { fs::hard_link(&victim, &lock) };
        made.unwrap();
        let answer = pod.add();
        answer.result();
        assert!(answer.stderr.contains("cannot be locked"), "{}", answer.stderr);
        pod.del().silence();
        pod.del_without_netns().silence();
        assert_unharmed(&victim);
    }
}

#[test]
fn a_forged_note_in_a_lock_ends_nobody() {
    // D3, by somebody who may write there: SIGKILL to any process group of the host.
    let Some(node) = Node::new() else { return };
    let mut victim = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let group = i32::try_from(victim.id()).unwrap();
    let owner = plexus::sys::owner::Owner::here(group).to_string();
    let words: Vec<&str> = owner.split(' ').collect();
    // Of a call that was killed, with all that can be learnt of the group.
    let notes = [format!("0 0 {group}"), format!("{} 0 {group}", words[0]), format!("1 0 {group} {}", words[3])];
    for (number, note) in notes.into_iter().enumerate() {
        let pod = Pod::new(&node, &format!("p{number}"));
        pod.add().result();
        let path = node.run().lock(&ContainerId::new(&*pod.id).unwrap());
        let lock = fs::File::options().write(true).truncate(true).open(&path).unwrap();
        lock.lock().unwrap();
        (&lock).write_all(note.as_bytes()).unwrap();
        let mut del = pod.call("DEL").start();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!del.has_ended(), "it waits for the lock");
        assert!(victim.try_wait().unwrap().is_none(), "{note}: the group was killed");
        // Not by the end of the file alone: a process that another test forks at this moment has a copy of it.
        lock.unlock().unwrap();
        let answer = del.wait();
        answer.silence();
        assert!(!answer.stderr.contains("killed process group"), "{}", answer.stderr);
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn what_lies_in_a_locks_place_or_note_stops_no_deletion() {
    // D5, by somebody who may write there.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [folder, note] = ["folder", "note"].map(|name| Pod::new(&node, name).selecting("a"));
    let lock = |pod: &Pod| node.run().lock(&ContainerId::new(&*pod.id).unwrap());
    fs::create_dir_all(lock(&folder)).unwrap();
    let answer = folder.add();
    answer.result();
    assert!(answer.stderr.contains("cannot be locked"), "{}", answer.stderr);
    folder.del().silence();
    assert!(folder.record(&node).is_none());
    note.add().result();
    fs::write(lock(&note), "deleted").unwrap();
    note.del_without_netns().silence();
    assert_eq!((a.calls_of("DEL").len(), note.record(&node).is_none()), (2, true));
}

#[test]
fn a_sweep_that_somebody_stopped_is_told() {
    // D18, by somebody who may write there: there is a sweep all the same, or a line that names the file.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 broken");
    let pod = Pod::new(&node, "p").selecting("a");
    pod.add().result();
    pod.del().refusal(103, &[]);
    a.as_usual("DEL");
    let run = node.run();
    let in_2099 = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_070_908_800);
    let _ = fs::remove_file(run.sweep_lock());
    fs::create_dir(run.sweep_lock()).unwrap();
    node::write(&run.swept(), "4070908800");
    fs::File::options().write(true).open(run.swept()).unwrap().set_modified(in_2099).unwrap();
    let told = || {
        let answer = support::Call::of_node(&node, "STATUS").make();
        answer.stderr.contains("nothing is swept") && answer.stderr.contains("sweep.lock")
    };
    support::eventually("the file to be named", told);
    assert!(pod.record(&node).is_some());
    fs::remove_dir(run.sweep_lock()).unwrap();
    sweep(&node);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_copy_of_the_daemons_is_content_for_pods_and_nothing_else() {
    // D7, D8: a pool in any folder, and any program of the plugin folder, on the daemon's word.
    let Some(node) = Node::new() else { return };
    node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
    daemon_folder(&node);
    let evil = node.recorder("evil");
    let pool = Path::new(node::FOLDER).join("precious/10.7.0.9");
    node::write(&pool, "gone-0123456789abcdef\r\neth0");
    fs::File::options().write(true).open(&pool).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let ipam = json!({"type": "host-local", "dataDir": node::FOLDER, "subnet": "10.7.0.0/24"});
    let config = json!({"cniVersion": "1.1.0", "name": "precious", "type": "evil", "ipam": ipam});
    let copy = NetworkCopy::Known(definition("evil", &config));
    as_daemon(&node.run().network(copy.nad()), &serde_json::to_string(&copy).unwrap());
    support::Call::of_node(&node, "GC").configured("cni.dev/valid-attachments", json!([])).make().silence();
    sweep(&node);
    assert_eq!(evil.calls().len(), 0);
    assert!(pool.exists() && !pool.with_file_name("lock").exists());
    // For a pod that names it, it is what the daemon would have answered.
    Pod::new(&node, "p").selecting("evil").add().result();
    assert_eq!(evil.calls_of("ADD").len(), 1);
}

#[test]
fn what_is_no_copy_in_the_daemons_folder_is_none() {
    // D1, D11, D19: read by root, so a link would show the daemon's user what it may not read.
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    daemon_folder(&node);
    let nad = NadRef::new("default", "a").unwrap();
    let path = node.run().network(&nad);
    let real = Path::new(node::FOLDER).join("copy.json");
    let text = serde_json::to_string(&definition("a", &json!({"cniVersion": "1.0.0", "type": "a"}))).unwrap();
    node::write(&real, &text);
    let makers: [(&str, &dyn Fn()); 4] = [
        ("symbolic", &|| symlink(&real, &path).unwrap()),
        ("hard", &|| fs::hard_link(&real, &path).unwrap()),
        ("fifo", &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("strangers", &|| {
            fs::write(&path, &text).unwrap();
            chown(&path, Some(65533), None).unwrap();
        }),
    ];
    for (name, make) in makers {
        as_daemon(&path, "");
        fs::remove_file(&path).unwrap();
        make();
        let pod = Pod::new(&node, name).selecting("a").configured("daemonTimeoutSeconds", json!(0.1));
        pod.add().refusal(11, &["default/a"]);
        fs::remove_file(&path).unwrap();
    }
    // The folder itself is one, too.
    fs::remove_dir(node.run().networks()).unwrap();
    node::write(&Path::new(node::FOLDER).join("copies/default_a.json"), &text);
    symlink(Path::new(node::FOLDER).join("copies"), node.run().networks()).unwrap();
    let pod = Pod::new(&node, "folder").selecting("a").configured("daemonTimeoutSeconds", json!(0.1));
    pod.add().refusal(11, &["default/a"]);
    assert_eq!(a.calls().len(), 0);
}

#[test]
fn the_plugin_speaks_to_the_daemon_and_to_nobody_elses_socket() {
    // D13
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let folder = daemon_folder(&node);
    let roots = Path::new(node::FOLDER).join("containerd.sock");
    let listener = UnixListener::bind(&roots).unwrap();
    listener.set_nonblocking(true).unwrap();
    symlink(&roots, folder.join("plexusd.sock")).unwrap();
    // Reports of calls go where no answer comes back: to /run/systemd/notify they could be commands.
    let notify = Path::new(node::FOLDER).join("notify");
    let datagrams = UnixDatagram::bind(&notify).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    symlink(&notify, folder.join("calls.sock")).unwrap();
    Pod::new(&node, "link").selecting("a").add().result();
    assert!(listener.accept().is_err(), "the plugin connected to somebody else's socket");
    // By way of the link that a daemon of root's once left for former programs, too.
    symlink("daemon/plexusd.sock", node.run().former_socket()).unwrap();
    Pod::new(&node, "former").selecting("a").add().result();
    assert!(listener.accept().is_err(), "the plugin connected to somebody else's socket by the former path");
    assert!(datagrams.recv(&mut [0; 64]).is_err(), "the plugin sent to somebody else's socket");
}

#[test]
fn only_what_is_in_the_folders_group_is_the_daemon() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let folder = daemon_folder(&node);
    for (uid, is_daemon) in [(DAEMON, true), (65533, false)] {
        let socket = folder.join("plexusd.sock");
        // Whoever listens: its user and group are those of the process that called listen(2).
        let mut listening = listen_as(uid, &socket);
        let answer =
            Pod::new(&node, &format!("uid-{uid}")).selecting("a").configured("daemonTimeoutSeconds", json!(0.3)).add();
        answer.result();
        let refused = answer.stderr.contains("neither root nor the daemon");
        assert_eq!(!refused, is_daemon, "{}", answer.stderr);
        listening.kill().unwrap();
        listening.wait().unwrap();
        fs::remove_file(&socket).unwrap();
    }
}

/// A process of the user `uid` that listens on `socket` and never answers: this test again, as somebody else.
fn listen_as(uid: u32, socket: &Path) -> std::process::Child {
    let copy = Path::new(node::FOLDER).join("listener");
    fs::copy("/proc/self/exe", &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(node::FOLDER, Permissions::from_mode(0o755)).unwrap();
    let folder = socket.parent().unwrap();
    let before = fs::metadata(folder).unwrap().mode();
    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(&copy);
    command.args(["--exact", "a_listener"]).env("PLEXUS_TEST_LISTEN", socket).current_dir("/");
    let child = command.uid(uid).gid(uid).stdout(std::process::Stdio::null()).spawn().unwrap();
    support::eventually("a listener", || socket.exists());
    fs::set_permissions(folder, Permissions::from_mode(before & 0o7777)).unwrap();
    child
}

#[test]
fn a_listener() {
    // Not a test of its own: see `listen_as`.
    let Some(socket) = std::env::var_os("PLEXUS_TEST_LISTEN") else { return };
    let _listener = UnixListener::bind(socket).unwrap();
    std::thread::sleep(support::PATIENCE);
}
