//! What root's tool uses: files and directories that nobody but root can change. A directory that the environment
//! names (`sudo -E`, `su`) may be another user's, and what lies in it would be believed, or run, as root.

use super::Error;
use crate::sys::{files, is_root};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The user that nobody's files seem to belong to inside of a user namespace, and the map of a namespace of all users.
const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];

/// Checks `path`, and every directory above it, when this process is root. What does not exist is of nobody, and a
/// pipe is of whoever started us.
///
/// # Errors
/// It, or a directory above it, belongs to another user, or another user may write to it.
pub fn check(path: &Path) -> Result<(), Error> {
    if !is_root() || !sees_all_users() {
        return Ok(());
    }
    let untrusted = |path: &Path, why: String| Error::Untrusted { path: path.to_owned(), why };
    let real = match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        real => real.map_err(|e| untrusted(path, format!("cannot be looked at ({e})")))?,
    };
    for (above, component) in real.ancestors().enumerate() {
        let found = fs::metadata(component).map_err(|e| untrusted(component, format!("cannot be looked at ({e})")))?;
        // A volume of Kubernetes is writable by its modes, and mounted read-only.
        let read_only = statvfs(component).is_ok_and(|system| system.flags().contains(FsFlags::ST_RDONLY));
        if let Some(why) = stranger(&found, above > 0, read_only) {
            return Err(untrusted(component, why));
        }
    }
    Ok(())
}

/// Checks that no link of another user leads from `path` to another place: what root writes would land there.
///
/// # Errors
/// A component of `path`, or of what a link at its end leads to, is such a link.
pub fn check_links(path: &Path) -> Result<(), Error> {
    const MOST: usize = 40; // path_resolution(7)
    let mut path = path.to_owned();
    for _ in 0..MOST {
        for component in path.ancestors() {
            let Ok(found) = fs::symlink_metadata(component) else { continue };
            if found.is_symlink() && ![0, nix::unistd::geteuid().as_raw()].contains(&found.uid()) {
                let why = format!("is a symbolic link of user {}", found.uid());
                return Err(Error::Untrusted { path: component.to_owned(), why });
            }
        }
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Ok(())
}

/// Who could change it beside root; nobody where `None`. In a sticky directory `above`, only the owner of an entry
/// can rename it. Where the file system is mounted `read_only`, the modes allow nobody anything.
fn stranger(found: &Metadata, above: bool, read_only: bool) -> Option<String> {
    let (mode, sticky) = (found.mode(), above && found.mode() & 0o1000 != 0);
    if found.uid() != 0 {
        Some(format!("belongs to user {}", found.uid()))
    } else if read_only {
        None
    } else if mode & 0o002 != 0 && !sticky {
        Some("may be written to by every user".to_owned())
    } else if mode & 0o020 != 0 && found.gid() != 0 && !sticky {
        Some(format!("may be written to by group {}", found.gid()))
    } else {
        None
    }
}

/// Whether an owner is shown as it is: in a user namespace of its own, everything of the machine belongs to nobody.
fn sees_all_users() -> bool {
    let map = files::read_bounded(Path::new("/proc/self/uid_map"), 1 << 16).ok().flatten().unwrap_or_default();
    map.split_whitespace().eq(ALL_USERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn root_believes_nobody_else() {
        if !is_root() || !sees_all_users() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("a")).unwrap();
        fs::write(path("a/file"), "").unwrap();
        let why = |name: &str| check(&path(name)).map_err(|e| e.to_string());
        let mode = |name: &str, mode| fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        why("a/file").unwrap();
        why("a/absent").unwrap();
        mode("a/file", 0o666);
        assert!(why("a/file").unwrap_err().contains("every user"));
        mode("a/file", 0o664);
        why("a/file").unwrap();
        chown(path("a/file"), None, Some(7)).unwrap();
        assert!(why("a/file").unwrap_err().contains("group 7"));
        chown(path("a/file"), Some(7), Some(0)).unwrap();
        assert!(why("a/file").unwrap_err().contains("user 7"));
        chown(path("a/file"), Some(0), Some(0)).unwrap();
        // A directory above it counts, a sticky one of root excepted.
        mode("a", 0o777);
        assert!(why("a/file").unwrap_err().contains("every user"));
        mode("a", 0o1777);
        why("a/file").unwrap();
        assert!(why("a").unwrap_err().contains("every user"));
        chown(path("a"), Some(7), None).unwrap();
        assert!(why("a/file").unwrap_err().contains("user 7"));
        // The modes of a file system that is mounted read-only allow nothing.
        let found = fs::metadata(path("a")).unwrap();
        chown(path("a"), Some(0), None).unwrap();
        mode("a", 0o777);
        let writable = fs::metadata(path("a")).unwrap();
        assert!(stranger(&writable, false, false).is_some() && stranger(&writable, false, true).is_none());
        assert!(stranger(&found, false, true).is_some_and(|why| why.contains("user 7")));
        chown(path("a"), Some(7), None).unwrap();
        // What is written through a link lands where its owner wants.
        chown(path("a"), Some(0), None).unwrap();
        std::os::unix::fs::symlink(path("a"), path("folder")).unwrap();
        std::os::unix::fs::symlink(path("folder/file"), path("second")).unwrap();
        let links = |name: &str| check_links(&path(name)).map_err(|e| e.to_string());
        for name in ["folder/file", "folder/absent", "second", "a/file"] {
            links(name).unwrap();
        }
        std::os::unix::fs::lchown(path("folder"), Some(7), None).unwrap();
        for name in ["folder", "folder/file", "folder/absent", "second"] {
            assert!(links(name).unwrap_err().contains("link of user 7"), "{name}");
        }
        links("a/file").unwrap();
        chown(path("a"), Some(7), None).unwrap();
        // A link is what it leads to.
        std::os::unix::fs::symlink(path("a/file"), path("link")).unwrap();
        assert!(why("link").unwrap_err().contains("user 7"));
    }
}
