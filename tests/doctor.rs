//! `plexusctl doctor`, and `why` on a node, on a machine of the test's own that has one fault after the other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/runtime.rs"]
mod runtime;
mod support;

use nix::mount::{MsFlags, mount, umount};
use plexus::cluster::whereabouts_runs;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use support::sweeping::{last_sweep, status};
use support::{Node, Pod, eventually};

const DIRECTORIES: [&str; 4] = ["--cni-conf-dir", "/run/node/net.d", "--cni-bin-dir", "/run/node/installed"];
const LIST: &str = "/run/node/net.d/00-plexus.conflist";
const SOCKET: &str = "/run/plexus/daemon/plexusd.sock";
const POOL: &str = "/var/lib/cni/networks/cbr0";

fn plexusctl(words: &[&str]) -> (Value, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    let output = command.env_clear().env("HOME", "/nonexistent").args(words).args(DIRECTORIES).output().unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (answer, output.status.code().unwrap())
}

/// The fault that `doctor` names first, which must be a bad one.
#[track_caller]
fn assert_first(fault: &str) {
    let (document, code) = plexusctl(&["doctor", "-o", "json"]);
    let first = &document["checks"][0];
    assert_eq!((&first["fault"], &first["mark"], code), (&json!(fault), &json!("bad"), 3), "{document:#}");
    assert_eq!(document["well"], false);
}

#[track_caller]
fn assert_well() {
    let (document, code) = plexusctl(&["doctor", "-o", "json"]);
    assert_eq!((&document["well"], code), (&json!(true), 0), "{document:#}");
}

/// A daemon of that release whose checks wait for what is given.
fn daemon(release: &str, waiting: &[(&str, &str)]) {
    let _ = fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET).unwrap();
    let mut guards = json!({"definitions": "", "socket": "", "policy": "", "installation": ""});
    for (name, why) in waiting {
        guards[*name] = json!(why);
    }
    let health = json!({"health": {"release": release, "ready": waiting.is_empty(), "guards": guards, "definitions": 2, "unpublished": 0}});
    // It ends with the test's process; whoever connects to a removed socket meets nobody.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let reply = match &line {
                    line if line.contains("hello") => &json!({"hello": {"program": "plexusd", "version": 1}}),
                    line if line.contains("pools") => &json!({"pools": {"whereabouts.default": whereabouts_runs()}}),
                    _ => &health,
                };
                if writeln!(stream, "{reply}").is_err() {
                    break;
                }
            }
        }
    });
}

fn node() -> Option<Node> {
    let node = Node::new()?;
    let ipam = json!({"type": "host-local", "subnet": "10.1.0.0/29"});
    let bridge = json!({"type": "bridge", "bridge": "cbr0", "ipam": ipam});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge]}));
    let mut install = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    install.env_clear().arg("install").args(DIRECTORIES).args(["--plugin", "/run/node/bin/plexus"]);
    let installed = install.output().unwrap();
    assert!(installed.status.success(), "{installed:?}");
    fs::create_dir_all(Path::new(SOCKET).parent().unwrap()).unwrap();
    Some(node)
}

fn own() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The faults of networks: what is left in the state directory is what pods of this node use.
fn faults_of_networks(node: &Node) {
    let macvlan = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "bond9"});
    let table = [
        ("master-missing", macvlan.to_string()),
        ("plugin-missing", json!({"cniVersion": "1.0.0", "type": "sriov"}).to_string()),
        ("network-broken", "{\"type\":".to_owned()),
    ];
    for (fault, config) in table {
        let copy = node.network_text("default/lan", &config);
        assert_first(fault);
        fs::remove_file(copy).unwrap();
    }
    // What a built-in plugin would refuse for every pod.
    let no_range = json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "b", "ipam": {"type": "host-local"}});
    let copy = node.network("default/lan", &no_range);
    assert_first("network-broken");
    // A key that nobody knows is a warning: the program may know it.
    let program = Path::new("/run/node/installed/bridge");
    fs::copy("/bin/true", program).unwrap();
    node.network("default/lan", &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "b", "colour": "red"}));
    let (document, _) = plexusctl(&["doctor", "-o", "json"]);
    let first = &document["checks"][0];
    assert_eq!((&first["mark"], &first["fault"]), (&json!("warning"), &json!("network-broken")), "{document:#}");
    assert!(first["finding"].as_str().unwrap().contains("colour"), "{document:#}");
    fs::remove_file(copy).unwrap();
    fs::remove_file(program).unwrap();
    // The interface is made: nothing is missing any more.
    let copy = node.network("default/lan", &macvlan);
    node.ip("link add bond9 type veth peer name bond9-peer");
    assert_well();
    node.ip("link delete bond9");
    fs::remove_file(copy).unwrap();
    // A bridge that another network makes comes with the first pod of that one.
    let made = node.network("default/made", &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br-made"}));
    let on_it = node.network("default/on-it", &json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "br-made"}));
    assert_well();
    fs::remove_file(made).unwrap();
    assert_first("master-missing");
    fs::remove_file(on_it).unwrap();
}

/// Its program gives the addresses of its sections, unless Plexus is to give them: then pods of the network wait.
fn a_running_whereabouts(node: &Node) {
    let program = Path::new("/run/node/installed/whereabouts");
    fs::copy("/bin/true", program).unwrap();
    let section = json!({"type": "whereabouts", "range": "10.3.0.0/24"});
    let bridge = json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "b", "ipam": section});
    let copy = node.network("default/lan", &bridge);
    assert_well();
    let before = fs::read_to_string(LIST).unwrap();
    let mut list: Value = serde_json::from_str(&before).unwrap();
    list["plugins"][0]["natives"] = json!({"whereabouts": true});
    fs::write(LIST, list.to_string()).unwrap();
    assert_first("whereabouts");
    fs::write(LIST, before).unwrap();
    fs::remove_file(copy).unwrap();
    fs::remove_file(program).unwrap();
}

fn faults_of_the_daemon() {
    let forbidden = "plexusd may not get, list and watch network-attachment-definitions.k8s.cni.cncf.io: grant it";
    daemon(own(), &[("definitions", forbidden)]);
    assert_first("token-refused");
    daemon(own(), &[("policy", "the API server lets the daemon's token change labels")]);
    assert_first("policy-missing");
    daemon(own(), &[("installation", "the runtime takes 05-cilium.conflist before 00-plexus.conflist")]);
    assert_first("displaced");
    daemon("9.9.9", &[]);
    assert_first("old-plugin");
    fs::remove_file(SOCKET).unwrap();
    assert_first("daemon-down");
    daemon(own(), &[]);
}

/// A report has the files and commands of the node, without secrets; it is for its owner, and overwrites nothing.
fn a_report_is_of_the_node(node: &Node) {
    let vpn = json!({"cniVersion": "1.0.0", "type": "wireguard", "privateKey": "s3cr3t"});
    let copy = node.network("default/vpn", &vpn);
    let report = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().env("HOME", "/nonexistent").args(["report", "-o", "/run/node/r.tar.gz"]).args(DIRECTORIES);
        command.args(more).output().unwrap()
    };
    let written = report(&[]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    assert_eq!(fs::metadata("/run/node/r.tar.gz").unwrap().permissions().mode() & 0o777, 0o600);
    let packed = fs::read("/run/node/r.tar.gz").unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
    let mut files = std::collections::BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        let name = path.split_once('/').filter(|(top, _)| top.starts_with("plexus-report-2")).unwrap().1;
        files.insert(name.to_owned(), text);
    }
    let names = [
        "MANIFEST",
        "MASKED.txt",
        "doctor.json",
        "health.json",
        "natives.json",
        "version.json",
        "plugins.txt",
        "net.d/00-plexus.conflist",
        "state/networks/default_vpn.json",
    ];
    for name in names {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    assert!(files["doctor.json"].contains("\"checks\"") && files["metrics.txt.log"].contains("9472"), "{files:?}");
    assert!(files.values().all(|text| !text.contains("s3cr3t")), "a secret");
    assert!(files["MASKED.txt"].contains("privateKey"), "{}", files["MASKED.txt"]);
    assert_eq!(report(&[]).status.code(), Some(1), "it was overwritten");
    assert!(report(&["--force"]).status.success());
    fs::remove_file(copy).unwrap();
}

/// The lines about runtimes: mark and finding.
fn of_runtimes(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = document["checks"].as_array().unwrap().iter().filter(|check| check["check"] == "runtime");
    lines.map(|check| (text(&check["mark"]), text(&check["finding"]))).collect()
}

#[test]
fn each_runtime_is_shown_with_its_version() {
    let Some(_node) = node() else { return };
    daemon(own(), &[]);
    let (containerd, crio) = ("/run/containerd/containerd.sock", "/run/crio/crio.sock");
    let runtimes = [(containerd, "v2.1.4"), (crio, "1.34.2")];
    let running = runtimes.map(|(socket, version)| runtime::Runtime::start(Path::new(socket), version));
    let (document, code) = plexusctl(&["doctor", "-o", "json"]);
    let good = |finding: String| ("good".to_owned(), finding);
    let expected =
        [good(format!("containerd 2.1.4 listens on {containerd}")), good(format!("CRI-O 1.34.2 listens on {crio}"))];
    assert_eq!((of_runtimes(&document).as_slice(), code), (expected.as_slice(), 0), "{document:#}");
    assert_eq!(document["runtimes"][0], json!({"name": "containerd", "socket": containerd, "version": "2.1.4"}));
    assert_eq!(document["configuration"], json!({"file": "00-plexus.conflist", "cniVersion": "1.1.0"}));
    assert_eq!((&document["tool"], &document["plugin"]), (&json!(own()), &json!(own())));

    // The socket is there, and nobody answers: that is a line, and no fault.
    drop(running);
    let _ = fs::remove_file(crio);
    let silent = UnixListener::bind(containerd).unwrap();
    drop(silent);
    let (document, code) = plexusctl(&["doctor", "-o", "json"]);
    let lines = of_runtimes(&document);
    let unknown = format!("the version of containerd on {containerd} cannot be known: nobody listens there");
    assert!(lines.len() == 1 && lines[0].0 == "unseen" && lines[0].1.starts_with(&unknown), "{lines:?}");
    assert_eq!((&document["runtimes"][0]["version"], code), (&Value::Null, 0));
}

#[test]
fn each_fault_of_a_node_is_named_first() {
    let Some(node) = node() else { return };
    daemon(own(), &[]);
    assert_well();
    // Another agent takes over, as Cilium does.
    fs::rename(LIST, format!("{LIST}.cilium_bak")).unwrap();
    let cilium = json!({"cniVersion": "1.0.0", "name": "cilium", "plugins": [{"type": "cilium-cni"}]});
    fs::write("/run/node/net.d/05-cilium.conflist", cilium.to_string()).unwrap();
    assert_first("displaced");
    fs::remove_file("/run/node/net.d/05-cilium.conflist").unwrap();
    fs::rename(format!("{LIST}.cilium_bak"), LIST).unwrap();
    assert_well();

    fs::rename(node.primary_file(), "/run/node/away").unwrap();
    assert_first("primary-missing");
    fs::rename("/run/node/away", node.primary_file()).unwrap();

    a_report_is_of_the_node(&node);
    faults_of_networks(&node);
    a_running_whereabouts(&node);
    faults_of_the_daemon();

    fs::create_dir_all(POOL).unwrap();
    (2..7).for_each(|host| fs::write(format!("{POOL}/10.1.0.{host}"), "c\neth0").unwrap());
    assert_first("pool-full");
    fs::remove_dir_all(POOL).unwrap();

    fs::rename("/run/node/installed/plexus", "/run/node/away").unwrap();
    assert_first("not-installed");
    fs::rename("/run/node/away", "/run/node/installed/plexus").unwrap();
    assert_well();
}

/// The container of the keeper sees no pool: what the plugin counted at its last full sweep is shown there.
#[test]
fn a_full_pool_is_named_in_a_container() {
    let Some(node) = node() else { return };
    daemon(own(), &[]);
    let doctor = || {
        let mut command = Command::new("setpriv");
        command.env_clear().env("HOME", "/nonexistent").args(["--bounding-set", "-sys_admin,-net_admin"]);
        command.arg(env!("CARGO_BIN_EXE_plexusctl")).args(["doctor", "-o", "json"]).args(DIRECTORIES);
        let output = command.output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let pool = document["checks"].as_array().unwrap().iter().find(|check| check["check"] == "pool");
        (pool.cloned().unwrap(), output.status.code())
    };
    let (pool, code) = doctor();
    assert_eq!((&pool["mark"], code), (&json!("unseen"), Some(0)), "{pool}");
    fs::create_dir_all(POOL).unwrap();
    (2..7).for_each(|host| fs::write(format!("{POOL}/10.1.0.{host}"), "c\neth0").unwrap());
    // The count is for the keeper.
    fs::create_dir_all(node.run().keeper()).unwrap();
    last_sweep(3600);
    status(&node);
    eventually("the count", || node.run().counted_pools().exists());
    let (pool, code) = doctor();
    assert_eq!((&pool["mark"], &pool["fault"], code), (&json!("bad"), &json!("pool-full"), Some(3)), "{pool}");
    let finding = pool["finding"].as_str().unwrap();
    assert!(finding.contains("5 of 5 addresses are taken on this node (counted "), "{finding}");
}

/// Every file and directory below `folder`.
fn listing(folder: &str) -> String {
    let found = Command::new("find").args([folder, "-printf", "%p %s %M\\n"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

/// Runs `what` while a file system that nobody can write to, or that is full, is mounted over `folder`.
fn without_room(folder: &str, what: impl Fn()) {
    let none = None::<&str>;
    fs::create_dir_all(folder).unwrap();
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none).unwrap();
    mount(none, folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none).unwrap();
    what();
    umount(folder).unwrap();
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=755")).unwrap();
    fs::write(format!("{folder}/full"), vec![0; 1 << 20]).unwrap_err();
    what();
    umount(folder).unwrap();
}

/// What ADD relies on is judged as ADD does: by writing, and by the same code. Nothing is left.
#[test]
fn what_add_relies_on_is_looked_at() {
    let Some(node) = node() else { return };
    daemon(own(), &[]);
    fs::create_dir_all(POOL).unwrap();
    assert_well();
    let before = listing("/var/lib");
    assert_well();
    assert_eq!(listing("/var/lib"), before);

    without_room("/var/lib/plexus", || assert_first("unwritable"));
    without_room("/var/lib/cni", || assert_first("unwritable"));
    without_room("/run/plexus/locks", || assert_first("unwritable"));
    assert_well();
    let sandboxes = node.state().sandboxes();
    let _ = fs::remove_dir_all(&sandboxes);
    fs::write(&sandboxes, "").unwrap();
    assert_first("unwritable");
    fs::remove_file(&sandboxes).unwrap();
    let lock = node.run().sweep_lock();
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    assert_first("unwritable");
    fs::remove_dir(&lock).unwrap();
    assert_well();

    let of_pool: [fn(); 3] = [
        || {
            fs::create_dir(POOL).unwrap();
            fs::set_permissions(POOL, fs::Permissions::from_mode(0o777)).unwrap();
        },
        || fs::write(POOL, "").unwrap(),
        || std::os::unix::fs::symlink("/nowhere", POOL).unwrap(),
    ];
    fs::remove_dir_all(POOL).unwrap();
    for make in of_pool {
        make();
        assert_first("unwritable");
        fs::remove_file(POOL).or_else(|_| fs::remove_dir_all(POOL)).unwrap();
    }
    assert_well();
    bridges_and_programs(&node);
    the_plugin_itself();
}

fn bridges_and_programs(node: &Node) {
    let ipam = json!({"type": "host-local", "subnet": "10.5.0.0/24"});
    let gateway = json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br5", "isGateway": true, "ipam": ipam});
    let copy = node.network("default/gw", &gateway);
    node.ip("link add br5 type bridge");
    node.ip("address add 10.5.0.1/24 dev br5");
    assert_well();
    node.ip("address flush dev br5");
    node.ip("address add 10.9.0.1/24 dev br5");
    assert_first("network-broken");
    fs::remove_file(copy).unwrap();
    node.ip("link set br5 mtu 1400");
    let greater = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "br5", "mtu": 1500});
    let copy = node.network("default/mtu", &greater);
    assert_first("network-broken");
    fs::remove_file(copy).unwrap();
    let copy = node.network("default/vendor", &json!({"cniVersion": "1.0.0", "type": "vendor"}));
    let program = Path::new("/run/node/installed/vendor");
    let foreign = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[21, 0], &[0; 40]].concat();
    for (content, mode) in
        [(b"".as_slice(), 0o755), (b"#!/bin/sh\n", 0o644), (b"#!/no/such/sh\n", 0o755), (&foreign, 0o755)]
    {
        fs::write(program, content).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(mode)).unwrap();
        assert_first("plugin-missing");
    }
    fs::remove_file(program).unwrap();
    fs::remove_file(copy).unwrap();
    assert_well();
}

/// The installed plugin is cut off, ends with an error, or does not end; a key of its configuration is misspelt.
fn the_plugin_itself() {
    let plugin = "/run/node/installed/plexus";
    let whole = fs::read(plugin).unwrap();
    // The beginning with the marks of the plugin, and nothing else of it.
    fs::write(plugin, &whole[..whole.len() / 2]).unwrap();
    assert_first("not-installed");
    fs::write(plugin, &whole).unwrap();
    assert_well();
    let list = fs::read_to_string(LIST).unwrap();
    let mut changed: Value = serde_json::from_str(&list).unwrap();
    changed["plugins"][0]["natvies"] = json!(false);
    changed["plugins"][0]["future"] = json!(false);
    fs::write(LIST, changed.to_string()).unwrap();
    let (document, code) = plexusctl(&["doctor", "-o", "json"]);
    let settings = |word: &str| {
        let checks = document["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["mark"] == "warning" && check["finding"].as_str().unwrap().contains(word)).count()
    };
    assert_eq!((settings("did you mean \"natives\""), settings("\"future\""), code), (1, 1, 0), "{document:#}");
    fs::write(LIST, list).unwrap();
}

/// In the keeper's container nobody may enter a pod's namespace: the sweep after the plugin's next call answers. Where no call
/// comes, nobody waits for it for long, and who asks again gets the answer.
fn the_plugin_compares_for_a_container(node: &Node) {
    last_sweep(6);
    let describe = || {
        let mut command = Command::new("setpriv");
        command.env_clear().env("HOME", "/nonexistent").args(["--bounding-set", "-sys_admin,-net_admin"]);
        command.args([env!("CARGO_BIN_EXE_plexusctl"), "describe", "pod", "default/web"]);
        let answer = command.output().unwrap();
        (String::from_utf8(answer.stdout).unwrap(), answer.status.code())
    };
    let is_there = |folder: PathBuf, part: &str| {
        fs::read_dir(folder).into_iter().flatten().flatten().any(|one| one.file_name().to_string_lossy().contains(part))
    };
    let (page, code) = describe();
    assert!(code == Some(0) && page.contains("when a pod starts or ends there: ask again then"), "{page}");
    assert!(is_there(node.run().due(), "compare-"));
    status(node);
    eventually("the answer", || is_there(node.run().comparisons(), "json"));
    let (page, code) = describe();
    assert!(code == Some(3) && page.contains("address 10.2.0.2/24 is not on net1 any more"), "{page}");
}

#[test]
fn why_and_describe_look_at_the_node() {
    let Some(node) = node() else { return };
    daemon(own(), &[]);
    node.network(
        "default/lan",
        &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br-lan",
        "ipam": {"type": "host-local", "subnet": "10.2.0.0/24"}}),
    );
    let pod = Pod::new(&node, "web").selecting("lan");
    pod.add().result();
    let (document, code) = plexusctl(&["why", "default/web", "-o", "json"]);
    assert_eq!((code, &document["cause"]), (0, &Value::Null), "{document:#}");
    let findings = document["checks"].to_string();
    assert!(findings.contains("default/lan (net1) is attached") && findings.contains("API server"), "{findings}");
    // What is wrong on the node is a cause for the pod, too.
    fs::remove_file(SOCKET).unwrap();
    let (document, code) = plexusctl(&["why", "default/web", "-o", "json"]);
    assert_eq!((code, &document["cause"]["fault"]), (3, &json!("daemon-down")), "{document:#}");

    let describe = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        let output =
            command.env_clear().env("HOME", "/nonexistent").args(["describe", "pod", "default/web"]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    let (page, code) = describe();
    assert!(code == 0 && page.contains("as recorded") && page.contains("default/lan"), "{page}");
    // What only the plugin's own CHECK sees is not called well.
    assert!(page.contains("Not compared: ports of bridges, leases"), "{page}");
    pod.ip("address flush dev net1");
    let (page, code) = describe();
    assert!(code == 3 && page.contains("address 10.2.0.2/24 is not on net1 any more"), "{page}");
    // `why` says no less.
    let (document, code) = plexusctl(&["why", "default/web", "-o", "json"]);
    assert_eq!((code, &document["cause"]["fault"]), (3, &json!("drift")), "{document:#}");
    assert!(document["cause"]["finding"].as_str().unwrap().contains("is not on net1 any more"), "{document:#}");
    the_plugin_compares_for_a_container(&node);
    pod.del().silence();
    pod.end_sandbox();
}
