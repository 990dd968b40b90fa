use super::*;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};

fn put(path: &Path, mode: u32, uid: u32) {
    if !path.exists() {
        fs::create_dir(path).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(uid), None).unwrap();
}

fn untrusted(outcome: io::Result<impl std::fmt::Debug>) -> String {
    let error = outcome.unwrap_err();
    assert!(Untrusted::is(&error), "{error:?}");
    error.to_string()
}

#[test]
fn a_folder_that_others_may_write_is_not_ours() {
    if !crate::sys::is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let (above, own) = (root.path().join("above"), root.path().join("above/own"));
    for (mode_above, uid_above, mode, uid, why) in [
        (0o755, 0, 0o755, 0, ""),
        (0o1777, 0, 0o700, 0, ""),
        (0o775, 0, 0o711, 0, ""),
        (0o755, 0, 0o775, 0, "own cannot be trusted: others may write there (owner 0:0, mode 775)"),
        (0o755, 0, 0o1777, 0, "others may write there"),
        (0o755, 0, 0o700, 65532, "own cannot be trusted: it belongs to uid 65532"),
        (0o755, 65532, 0o700, 0, "above cannot be trusted: it belongs to uid 65532"),
        (0o777, 0, 0o700, 0, "above cannot be trusted: others may write there"),
    ] {
        put(&above, mode_above, uid_above);
        put(&own, mode, uid);
        let path = own.join("x");
        if why.is_empty() {
            replace(&path, b"1", 0o600, Durability::Cached).unwrap();
            assert_eq!(read_bounded(&path, 9).unwrap().as_deref(), Some("1"));
            assert!(is_own_folder(&own));
            continue;
        }
        assert!(!is_own_folder(&own));
        for message in [
            untrusted(replace(&path, b"2", 0o600, Durability::Cached)),
            untrusted(read_bounded(&path, 9)),
            untrusted(remove(&path)),
            untrusted(lock_file(&path)),
        ] {
            assert!(message.contains(why), "{message}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    }
}

#[test]
fn only_roots_links_are_followed_and_none_beneath() {
    let root = tempfile::tempdir().unwrap();
    let (real, link) = (root.path().join("real"), root.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink("real", &link).unwrap();
    replace(&link.join("sub/x"), b"1", 0o600, Durability::Synced).unwrap();
    assert_eq!(fs::read_to_string(real.join("sub/x")).unwrap(), "1");
    assert_eq!(fs::metadata(real.join("sub")).unwrap().mode() & 0o777, 0o700);
    assert!(untrusted(Folder::open(root.path()).unwrap().beneath("link", 0o700)).contains("not a directory"));
    if crate::sys::is_root() {
        std::os::unix::fs::lchown(&link, Some(65532), None).unwrap();
        assert!(untrusted(Folder::open(&link)).contains("symbolic link of uid 65532"));
    }
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    symlink(&b, &a).unwrap();
    symlink(&a, &b).unwrap();
    assert!(Folder::open(&a).unwrap_err().to_string().contains("symbolic links"));
}

#[test]
fn a_link_in_the_place_of_a_file_leads_nowhere() {
    // D1, D2, D6, N2
    let root = tempfile::tempdir().unwrap();
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let own = Folder::make(&root.path().join("own"), 0o700).unwrap();
    let path = own.path().join("x");
    symlink(&victim, &path).unwrap();
    assert!(own.lock_file(OsStr::new("x")).is_err() && own.read(OsStr::new("x"), 9).is_err());
    fs::remove_file(&path).unwrap();
    fs::hard_link(&victim, &path).unwrap();
    assert!(untrusted(own.lock_file(OsStr::new("x"))).contains("another name"));
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();
    replace(&path, b"mine", 0o640, Durability::Cached).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
}

#[test]
fn what_the_daemon_leaves_is_read_as_content_only() {
    let root = tempfile::tempdir().unwrap();
    let theirs = root.path().join("daemon/networks");
    fs::create_dir_all(&theirs).unwrap();
    let secret = root.path().join("secret");
    fs::write(&secret, "root's").unwrap();
    let folder = TheirFolder::open(root.path(), &["daemon", "networks"]).unwrap();
    let read = |name: &str| folder.read(OsStr::new(name), 10);
    fs::write(theirs.join("good"), "text").unwrap();
    assert_eq!(read("good").unwrap().unwrap().0, "text");
    assert!(read("missing").unwrap().is_none());
    symlink(&secret, theirs.join("symbolic")).unwrap();
    fs::hard_link(&secret, theirs.join("hard")).unwrap();
    nix::unistd::mkfifo(&theirs.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(theirs.join("long"), "12345678901").unwrap();
    fs::write(theirs.join("binary"), [0xff]).unwrap();
    for bad in ["symbolic", "hard", "fifo", "long", "binary"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    symlink("daemon", root.path().join("elsewhere")).unwrap();
    assert!(TheirFolder::open(root.path(), &["elsewhere", "networks"]).is_err());
    assert!(TheirFolder::open(root.path(), &["daemon", "good"]).unwrap_err().kind() == io::ErrorKind::NotFound);
}

#[test]
fn a_shared_folder_and_its_files_have_their_group_and_mode() {
    if !crate::sys::is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let (folder, group) = (Folder::make(&root.path().join("shared"), 0o750).unwrap(), Gid::from_raw(65532));
    folder.share(group, 0o750).unwrap();
    let new = NewFile { content: b"1", mode: 0o640, group: Some(group), durability: Durability::Cached };
    folder.replace(OsStr::new("x"), new).unwrap();
    for (path, mode) in [(folder.path().to_owned(), 0o750), (folder.path().join("x"), 0o640)] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (65532, mode));
    }
    assert_eq!(group_of_folder(folder.path()), Some(group));
}

#[test]
fn what_is_kept_is_the_folder_that_was_looked_at() {
    let above = tempfile::tempdir().unwrap();
    let (path, aside) = (above.path().join("folder"), above.path().join("aside"));
    let make = || fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
    let new = NewFile { content: b"x", mode: 0o600, group: None, durability: Durability::Cached };
    let put = |name: &str| Folder::open(&path)?.replace(OsStr::new(name), new);
    make();
    let kept = KeptFolders::begin();
    put("1").unwrap();
    // It stays bound to the one that was verified.
    fs::rename(&path, &aside).unwrap();
    make();
    put("2").unwrap();
    assert!(aside.join("2").exists() && !path.join("2").exists());
    // Others may write there since.
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(Untrusted::is(&put("3").unwrap_err()));
    // What was removed is another one since, or none.
    fs::remove_dir_all(&aside).unwrap();
    put("4").unwrap();
    assert!(path.join("4").exists());
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(put("5").unwrap_err().kind(), io::ErrorKind::NotFound);
    // So is what is beneath such a one.
    make();
    let beneath = path.join("beneath");
    assert!(Folder::open(&beneath).is_err() && Folder::open(&path).is_ok());
    fs::rename(&path, &aside).unwrap();
    fs::remove_dir_all(&aside).unwrap();
    make();
    fs::DirBuilder::new().mode(0o700).create(&beneath).unwrap();
    assert!(Folder::open(&beneath).is_ok());
    drop(kept);
    fs::rename(&path, &aside).unwrap();
    assert_eq!(put("6").unwrap_err().kind(), io::ErrorKind::NotFound);
}
