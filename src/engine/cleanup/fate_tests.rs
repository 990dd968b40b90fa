use super::*;
use crate::cni::ContainerId;
use crate::sys::is_root;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};

/// A record of this boot with one attachment, unless `owed`.
fn record(netns: &Path, created: u64) -> Record {
    let text = r#"{"version":1,"containerId":"c","attachments":[
        {"call":"eth0","network":"n","ifname":"eth0","state":"attached","config":{}}]}"#;
    let mut record: Record = serde_json::from_str(text).unwrap();
    record.container_id = ContainerId::new("c").unwrap();
    record.boot_id = Boot::this().kernels().map(str::to_owned);
    record.netns = Some(netns.to_owned());
    record.created = created;
    record
}

/// A path that leads to a living namespace as long as the handle lives.
fn living(folder: &Path, name: &str) -> (PathBuf, Netns) {
    let netns = Netns::create().unwrap();
    let file = File::from(netns.as_fd().try_clone_to_owned().unwrap());
    let path = folder.join(name);
    // The descriptor stays open with `netns`: a link of /proc is as good as a mount.
    std::os::unix::fs::symlink(format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd()), &path).unwrap();
    drop(file);
    (path, netns)
}

fn sight(records: &[&Record]) -> Sight {
    Sight::of(records.iter().copied(), Vec::new)
}

#[test]
fn absence_alone_proves_nothing() {
    // H1
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (record(&folder.path().join("a"), 100), record(&folder.path().join("b"), 100));
    let sight = sight(&[&a, &b]);
    let unseen = |exists| Fate::Unseen { folder: folder.path().to_owned(), exists };
    assert_eq!(sight.fate(&a), unseen(true));
    let doubt = sight.doubt().unwrap();
    assert!(doubt.contains("all 2 recorded") && doubt.contains(folder.path().to_str().unwrap()), "{doubt}");
    let elsewhere = record(&folder.path().join("none/a"), 100);
    assert!(matches!(sight.fate(&elsewhere), Fate::Unseen { exists: false, .. }));
}

#[test]
fn another_boot_is_evidence() {
    // H1
    let folder = tempfile::tempdir().unwrap();
    let mut other = record(&folder.path().join("a"), 100);
    other.boot_id = Some("another".to_owned());
    let alone = sight(&[&other]);
    assert_eq!((alone.fate(&other), alone.doubt()), (Fate::Gone(Evidence::OtherBoot), None));
    // A record of a former release tells no boot, and its time is that of a clock that may have been set since.
    let mut former = record(&folder.path().join("b"), 100);
    former.boot_id = None;
    let both = sight(&[&other, &former]);
    assert!(matches!(both.fate(&former), Fate::Unseen { .. }));
    assert!(both.doubt().unwrap().contains("all 1 recorded"), "{:?}", both.doubt());
}

#[test]
fn a_living_neighbour_is_evidence() {
    if !is_root() {
        eprintln!("SKIP a_living_neighbour_is_evidence: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, _netns) = living(folder.path(), "alive");
    let alive = record(&path, 100);
    let gone = record(&folder.path().join("gone"), 200);
    let both = sight(&[&alive, &gone]);
    assert_eq!((both.fate(&alive), both.doubt()), (Fate::Alive, None));
    assert!(matches!(both.fate(&gone), Fate::Gone(Evidence::NotInFolder(_))));
    // A file that is no namespace is what a mount namespace that was made earlier shows of a living sandbox.
    fs::write(folder.path().join("gone"), "").unwrap();
    for created in [50, 100, 200] {
        let stale = record(&folder.path().join("gone"), created);
        assert_eq!(both.fate(&stale), Fate::Unclear(folder.path().join("gone")), "created at {created}");
    }
    fs::remove_file(folder.path().join("gone")).unwrap();
    // Of whatever boot its record is: what is alive under its name is kept.
    let mut other = record(&path, 100);
    other.boot_id = Some("another".to_owned());
    assert_eq!(both.fate(&other), Fate::Alive);
    assert!(has_own_namespace(&other));
    // What the runtime recorded is a witness, too; in another folder it is none.
    let witness = || vec![Witness { netns: path.clone(), identity: None }];
    let told = Sight::of([&gone].into_iter(), witness);
    assert!(matches!(told.fate(&gone), Fate::Gone(_)) && told.doubt().is_none());
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(matches!(told.fate(&record(&elsewhere.path().join("x"), 1)), Fate::Unseen { .. }));
}

#[test]
fn our_own_namespace_is_no_witness() {
    let own = record(Path::new("/proc/self/ns/net"), 100);
    let gone = record(Path::new("/proc/4194305/ns/net"), 100);
    assert!(matches!(sight(&[&own, &gone]).fate(&gone), Fate::Unseen { exists: true, .. }));
}
