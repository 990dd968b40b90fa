//! What counts as gone, and what is left alone without evidence.

use super::*;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

#[test]
fn where_the_runtimes_folder_cannot_be_seen_nothing_is_deleted() {
    // H1
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    node.recorded_network("a");
    let pods = attached(&node, ["one", "two"]);
    node.forget_calls();
    // As in the daemon's container: the folder is there, and it is another one.
    support::node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    last_sweep(3600);
    status(&node).silence();
    swept();
    for words in [["--dry-run"].as_slice(), &[]] {
        let (success, text) = command(&node, words);
        let rows: Value = serde_json::from_str(&text).unwrap();
        assert!(success && rows.as_array().unwrap().len() == 1, "{text}");
        assert_eq!((&rows[0]["doubt"], &rows[0]["deleted"]), (&json!(true), &json!(false)));
        let (code, text) = plexusctl(&node, &[words, &["-o", "json"]].concat());
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, document["attachments"].as_array().unwrap().len()), (Some(3), 0), "{text}");
        let doubt = document["doubt"].as_str().unwrap();
        assert!(doubt.contains("all 2 recorded sandboxes") && doubt.contains("/run/netns"), "{doubt}");
    }
    assert!(pods.iter().all(|pod| pod.record(&node).is_some()));
    assert_eq!(node.call_names(), [""; 0]);
    // The call before the next sweep tells what the last one told.
    last_sweep(3600);
    let answer = status(&node);
    assert!(answer.stderr.contains("the last sweep: ") && answer.stderr.contains("nothing is deleted"), "{answer:?}");
    swept();
    // On the node one that is gone goes, because the other is alive.
    nix::mount::umount2("/run/netns", nix::mount::MntFlags::MNT_DETACH).unwrap();
    pods[0].end_sandbox();
    assert!(command(&node, &[]).0);
    assert!(pods[0].record(&node).is_none() && pods[1].record(&node).is_some());
}

/// A clock that is set makes every record older than this boot, and one of a former release tells nothing else.
#[test]
fn a_time_before_this_boot_is_no_evidence() {
    // FAULT-14
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pods = attached(&node, ["one", "two"]);
    for pod in &pods {
        edit_record(&node, pod, |record| {
            let record = record.as_object_mut().unwrap();
            record.retain(|key, _| !key.starts_with("bootId"));
            record.insert("created".to_owned(), json!(1));
        });
    }
    node.forget_calls();
    support::node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    let (success, text) = command(&node, &[]);
    assert!(success && text.contains("all 2 recorded sandboxes"), "{text}");
    assert!(pods.iter().all(|pod| pod.record(&node).is_some()));
    assert_eq!(node.call_names(), [""; 0]);
    nix::mount::umount2("/run/netns", nix::mount::MntFlags::MNT_DETACH).unwrap();
    pods[0].end_sandbox();
    assert!(command(&node, &[]).0);
    assert!(pods[0].record(&node).is_none() && pods[1].record(&node).is_some());
}

/// A shell with mounts of its own, which sees no mount that is made after it; it works after [`work_in`].
fn earlier_mounts(words: &str) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &format!("echo; read go; exec {words} 2>&1")]);
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut begun = [0];
    shell.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    shell
}

/// Lets the shell work; its exit code, and all that it printed.
fn work_in(mut shell: Child) -> (Option<i32>, String) {
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_living_sandbox_that_looks_like_a_plain_file_is_kept() {
    // H1: in a mount namespace that was made earlier, the namespace of a younger pod is an empty file.
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let a = node.recorded_network("a");
    let [older] = attached(&node, ["older"]);
    let gc = |words: &str| {
        let (conf, plugin) = (node.net_d(), node.bin().join("plexus"));
        let tool = env!("CARGO_BIN_EXE_plexusctl");
        earlier_mounts(&format!("{tool} gc --cni-conf-dir {} --plugin {} {words}", conf.display(), plugin.display()))
    };
    let shells = [gc("--dry-run"), gc("")];
    let [younger] = attached(&node, ["younger"]);
    for shell in shells {
        let (code, text) = work_in(shell);
        assert!(text.contains("kept") && text.contains("exists but is not a network namespace"), "{code:?} {text}");
        assert!(text.contains(&format!("gc --forgive {}", younger.id)) && !text.contains("removed"), "{text}");
    }
    assert!(older.record(&node).is_some() && younger.record(&node).is_some());
    assert!(a.calls_of("DEL").is_empty());
    // Where it is seen, nothing is told of it.
    assert_eq!(command(&node, &[]), (true, "[]".to_owned()));
    younger.del().silence();
    assert!(younger.record(&node).is_none());
}

#[test]
fn a_debt_is_not_tried_where_the_runtimes_folder_does_not_exist() {
    // H1
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.as_usual("DEL");
    edit_record(&node, &pod, |record| record["netns"] = json!("/run/elsewhere/netns/cni-debt"));
    assert_eq!(command(&node, &[]), (true, "[]".to_owned()));
    assert_eq!(a.calls_of("DEL").len(), 1);
    // Where it exists, the DEL that was asked for is carried out.
    fs::create_dir_all("/run/elsewhere/netns").unwrap();
    assert!(command(&node, &[]).0);
    assert!(pod.record(&node).is_none());
}

#[test]
fn no_sandbox_survives_its_boot() {
    // H1, FAULT-11
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [before] = attached(&node, ["before"]);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(before.record(&node).unwrap()["bootId"], boot.trim());
    edit_record(&node, &before, |record| record["bootId"] = json!("the-boot-before"));
    // What is alive under its name is kept, whatever its record tells.
    assert_eq!(command(&node, &[]), (true, "[]".to_owned()));
    assert!(before.record(&node).is_some() && a.calls_of("DEL").is_empty());
    before.end_sandbox();
    last_sweep(3600);
    status(&node).silence();
    eventually("the record to go", || before.record(&node).is_none());
    assert_eq!(a.call_of("DEL").env("CNI_NETNS"), "");
}

/// What a sweep that a person asks for tells where it deletes nothing.
#[track_caller]
fn doubt(node: &Node) -> String {
    let (success, text) = command(node, &[]);
    let rows: Value = serde_json::from_str(&text).unwrap();
    assert!(success && rows.as_array().unwrap().len() == 1 && rows[0]["doubt"] == true, "{text}");
    rows[0]["reason"].as_str().unwrap().to_owned()
}

/// Mounts `source` over `target`.
fn cover(source: &Path, target: &Path) {
    let none = None::<&str>;
    nix::mount::mount(Some(source), target, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
}

/// Mounts a namespace that is of nobody's at `path`.
fn stranger_at(path: &Path) {
    let netns = plexus::sys::netns::Netns::create().unwrap();
    support::node::bind(&fs::File::from(netns.as_fd().try_clone_to_owned().unwrap()), path).unwrap();
}

#[test]
fn a_boot_that_the_kernel_does_not_tell_is_no_other_boot() {
    // A3
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pods = attached(&node, ["one", "two"]);
    node.forget_calls();
    let boot = Path::new("/proc/sys/kernel/random/boot_id");
    let plain = Path::new("/run/node/boot_id");
    fs::write(plain, "00000000-0000-4000-8000-000000000001\n").unwrap();
    support::node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    for source in [plain, Path::new("/proc/sys/kernel/random/uuid")] {
        cover(source, boot);
        let doubt = doubt(&node);
        assert!(doubt.contains("all 2 recorded sandboxes") && doubt.contains("boot_id is not the kernel's"), "{doubt}");
        nix::mount::umount2(boot, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    nix::mount::umount2("/run/netns", nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert!(pods.iter().all(|pod| pod.record(&node).is_some()) && a.calls().is_empty());
    // Where others are judged by what is seen, it is told which are not.
    cover(plain, boot);
    edit_record(&node, &pods[0], |record| record["netns"] = json!("/run/elsewhere/netns/one"));
    let (success, text) = command(&node, &[]);
    assert!(
        success && text.contains("records are kept: 1 of the recorded sandboxes") && text.contains("boot_id"),
        "{text}"
    );
    // What is recorded meanwhile names what is shown.
    let late = Pod::new(&node, "late");
    late.add().result();
    let record = late.record(&node).unwrap();
    assert_eq!(
        (&record["bootId"], record["bootIdShown"].as_str()),
        (&Value::Null, Some("00000000-0000-4000-8000-000000000001"))
    );
}

#[test]
fn a_node_that_is_a_container_has_boots_of_its_own() {
    // LXC and systemd-nspawn mount a file of their own over boot_id, another one for each start of the container.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let boot = Path::new("/proc/sys/kernel/random/boot_id");
    let plain = Path::new("/run/node/boot_id");
    fs::write(plain, "00000000-0000-4000-8000-000000000001\n").unwrap();
    cover(plain, boot);
    let pods = attached(&node, ["one", "two"]);
    pods.iter().for_each(Pod::end_sandbox);
    let doubt = doubt(&node);
    assert!(doubt.contains("all 2 recorded sandboxes"), "{doubt}");
    fs::write(plain, "00000000-0000-4000-8000-000000000002\n").unwrap();
    let (success, text) = command(&node, &[]);
    assert!(success && text.contains("it is of another boot"), "{text}");
    assert!(pods.iter().all(|pod| pod.record(&node).is_none()));
}

#[test]
fn a_strangers_namespace_at_the_path_of_a_sandbox_is_no_witness() {
    // A4
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [one, two] = attached(&node, ["one", "two"]);
    node.forget_calls();
    let results = Path::new("/var/lib/cni/results").join(format!("cbr0-{}-eth0", one.id));
    support::node::write(
        &results,
        &json!({"kind": "cniCacheV1", "containerId": one.id, "ifName": "eth0", "networkName": "cbr0", "netns": one.netns})
            .to_string(),
    );
    // As in a container that has namespaces of its own.
    support::node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    stranger_at(&one.netns);
    let doubt = doubt(&node);
    assert!(doubt.contains("all 2 recorded sandboxes") && doubt.contains("/run/netns"), "{doubt}");
    assert!(one.record(&node).is_some() && two.record(&node).is_some() && a.calls().is_empty());
    // A record of an older release knows its path only.
    edit_record(&node, &one, |record| drop(record.as_object_mut().unwrap().remove("netnsId")));
    assert_eq!(
        serde_json::from_str::<Value>(&command(&node, &["--dry-run"]).1).unwrap()[0]["container"],
        json!(two.id)
    );
}

#[test]
fn a_sandbox_whose_path_is_a_strangers_is_gone_where_another_one_is_seen() {
    // A4
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [gone, alive] = attached(&node, ["gone", "alive"]);
    let identity = gone.record(&node).unwrap()["netnsId"].as_str().unwrap().to_owned();
    let file = fs::metadata(&gone.netns).unwrap();
    assert_eq!(identity, format!("{}:{}", file.dev(), file.ino()));
    gone.end_sandbox();
    stranger_at(&gone.netns);
    assert!(command(&node, &[]).0);
    assert!(gone.record(&node).is_none() && alive.record(&node).is_some());
    // Its plugins are not sent into the stranger's namespace.
    assert_eq!(a.call_of("DEL").env("CNI_NETNS"), "");
}

#[test]
fn a_damaged_record_that_its_del_could_not_move_does_not_stay() {
    // Found by the model test, seed 3110: the disk was read-only at DEL, and the record told nothing.
    use nix::mount::{MsFlags, mount};
    let Some(node) = Node::new() else { return };
    fs::create_dir_all("/var/lib/plexus").unwrap();
    support::node::tmpfs(Path::new("/var/lib/plexus"), "mode=700,size=2m").unwrap();
    let pool = json!({"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}]]});
    let network =
        json!({"cniVersion": "1.1.0", "name": "a", "plugins": [{"type": "bridge", "bridge": "a", "ipam": pool}]});
    node.primary(&json!({"cniVersion": "1.1.0", "name": "p", "plugins": [{"type": "bridge", "bridge": "p"}]}));
    node.network("default/a", &network);
    let witness = Pod::new(&node, "witness");
    witness.add().result();
    let pod = Pod::new(&node, "deleted").selecting("a");
    pod.add().result();
    fs::write(pod.record_file(&node), "").unwrap();
    fs::remove_file(node.state().network(&plexus::nad::NadRef::new("default", "a").unwrap())).unwrap();
    let remount = |flags| {
        let none = None::<&str>;
        mount(none, "/var/lib/plexus", none, MsFlags::MS_REMOUNT | flags, Some("mode=700,size=2m")).unwrap();
    };
    remount(MsFlags::MS_RDONLY);
    pod.del().silence();
    pod.end_sandbox();
    remount(MsFlags::empty());
    node.network("default/a", &network);
    let leases = || {
        fs::read_dir("/var/lib/cni/networks/a")
            .unwrap()
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with("10."))
    };
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    leases()
        .for_each(|file| fs::File::options().write(true).open(file.path()).unwrap().set_modified(an_hour_ago).unwrap());
    assert_eq!(leases().count(), 1);
    Call::of_node(&node, "GC").sweep();
    assert!(!pod.record_file(&node).exists());
    assert_eq!(leases().count(), 0);
    assert!(witness.record(&node).is_some());
}
