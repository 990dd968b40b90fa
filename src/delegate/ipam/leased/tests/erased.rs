//! Files of addresses that somebody deletes or brings back while pods run: cases 20 and 21.

use super::*;
use std::fs;

fn pool(node: &FakeNode) -> PathBuf {
    node.folder.path().join("lan")
}

/// The copies of addresses and whose they are.
fn copies(node: &FakeNode) -> Vec<(String, String)> {
    let entries = fs::read_dir(node.folder.path().join("copies/lan")).unwrap().flatten();
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let addresses = files.filter(|(name, _)| name != "lock");
    let mut all: Vec<_> = addresses.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect();
    all.sort();
    all
}

fn names(all: &[(String, String)]) -> Vec<&str> {
    all.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_was_deleted_is_still_in_use() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4", "10.0.0.6"], &[]);
    node.keep();
    for container in ["a", "b", "c"] {
        add(&node, container).unwrap();
    }
    assert_eq!(names(&copies(&node)), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    fs::remove_dir_all(pool(&node)).unwrap();
    // Without the folder DEL knows what it gives back.
    del(&node, "b", "");
    assert_eq!(node.names(), ["10.0.0.2", "10.0.0.4"]);
    assert_eq!(names(&copies(&node)), ["10.0.0.2", "10.0.0.4"]);
    fs::remove_dir_all(pool(&node)).unwrap();
    // By the result alone, too.
    del(&node, "c", r#","prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.4/24"}]}"#);
    assert_eq!(add(&node, "a").unwrap(), ["10.0.0.2/24"], "the same attachment has the same address");
    // Where the list is believed, and is wrong, the address is in use all the same.
    fs::remove_file(pool(&node).join("10.0.0.2")).unwrap();
    let others: Vec<String> = (0..5).flat_map(|n| add(&node, &format!("d{n}")).unwrap()).collect();
    assert!(!others.contains(&"10.0.0.2/24".to_owned()), "{others:?}");
    assert!(add(&node, "e").unwrap_err().starts_with("11 "));
}

#[test]
fn a_block_with_an_address_whose_file_was_deleted_is_not_returned() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    node.keep();
    for container in ["a", "b", "c"] {
        add(&node, container).unwrap();
    }
    fs::remove_dir_all(pool(&node)).unwrap();
    node.grant.lock().unwrap().as_mut().unwrap().warm = Warm { min: 0, max: 0 };
    give_back(node.as_ref(), &PoolName::new("lan").unwrap(), Instant::now() + Duration::from_secs(20)).unwrap();
    assert!(node.report.lock().unwrap().released.is_empty());
    for container in ["a", "b", "c"] {
        del(&node, container, "");
    }
    assert_eq!(node.report.lock().unwrap().released.len(), 2);
}

#[test]
fn of_two_owners_each_keeps_the_address() {
    // An image has it for a pod that is gone, or a former release gave it to another pod.
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2"], &[]);
    node.keep();
    add(&node, "young").unwrap();
    fs::write(pool(&node).join("10.0.0.2"), "old\r\nnet1\r\nnet").unwrap();
    del(&node, "young", "");
    assert_eq!(copies(&node), [("10.0.0.2".to_owned(), "old\r\nnet1\r\nnet".to_owned())]);
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.3/24"]);
    assert!(add(&node, "c").unwrap_err().starts_with("11 "));
    del(&node, "old", "");
    assert_eq!(add(&node, "c").unwrap(), ["10.0.0.2/24"]);
    // The other way around, by a result.
    fs::write(pool(&node).join("10.0.0.2"), "old\r\nnet1\r\nnet").unwrap();
    del(&node, "old", r#","prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}"#);
    assert!(add(&node, "d").unwrap_err().starts_with("11 "));
    assert_eq!(node.files()["10.0.0.2"], "c\r\nnet1\r\nnet", "what runs is written again");
}

#[test]
fn what_a_killed_call_or_a_former_release_left_is_made_whole() {
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    node.keep();
    fs::create_dir_all(pool(&node)).unwrap();
    fs::create_dir_all(node.folder.path().join("copies/lan")).unwrap();
    // Taken without a copy; a copy without an owner, whose file is gone.
    fs::write(pool(&node).join("10.0.0.2"), "a\r\nnet1\r\nnet").unwrap();
    fs::write(node.folder.path().join("copies/lan/10.0.0.3"), "").unwrap();
    assert_eq!(add(&node, "b").unwrap(), ["10.0.0.3/24"]);
    let owners = [("10.0.0.2", "a\r\nnet1\r\nnet"), ("10.0.0.3", "b\r\nnet1\r\nnet")];
    assert_eq!(copies(&node), owners.map(|(name, owner)| (name.to_owned(), owner.to_owned())));
    del(&node, "a", "");
    assert_eq!(names(&copies(&node)), ["10.0.0.3"]);
    // GC frees both places.
    call(&node, "x", r#","cni.dev/valid-attachments":[]"#, "", Ipam::gc).unwrap();
    assert_eq!((node.names().len(), copies(&node).len()), (0, 0));
}

#[test]
fn who_gives_back_needs_no_room_for_copies() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let node = FakeNode::new(&["10.0.0.0/24"], &["10.0.0.2", "10.0.0.4"], &[]);
    node.keep();
    fs::create_dir_all(pool(&node)).unwrap();
    fs::create_dir_all(node.folder.path().join("copies")).unwrap();
    // Of a former release.
    fs::write(pool(&node).join("10.0.0.2"), "a\r\nnet1\r\nnet").unwrap();
    fs::write(pool(&node).join("10.0.0.3"), "b\r\nnet1\r\nnet").unwrap();
    let full = || {
        if unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).is_err() {
            // Only root can; CI is.
            assert!(std::env::var_os("CI").is_none(), "no mount namespace");
            eprintln!("SKIP who_gives_back_needs_no_room_for_copies: needs root");
            return;
        }
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let place = node.folder.path().join("copies");
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some("nr_inodes=1")).unwrap();
        del(&node, "a", "");
        call(&node, "x", r#","cni.dev/valid-attachments":[]"#, "", Ipam::gc).unwrap();
        assert_eq!(node.names(), [""; 0]);
        // A new one would not be safe.
        let why = add(&node, "c").unwrap_err();
        assert!(why.contains("No space left"), "{why}");
        assert_eq!(node.names(), [""; 0]);
    };
    std::thread::scope(|scope| scope.spawn(full).join().unwrap());
}
