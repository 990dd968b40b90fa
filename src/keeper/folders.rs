//! The folders that plugin, daemon and keeper share, each with one writer.
//!
//! | folder | writes | may read |
//! |---|---|---|
//! | `/var/lib/plexus` | root | root |
//! | `/run/plexus` (but what follows) | root | root; others may pass through |
//! | `/run/plexus/unpublished` | root: the plugin | the daemon's group |
//! | `/run/plexus/keeper` | root: the keeper | the daemon's group |
//! | `/run/plexus/daemon` | the daemon's group | the plugin, as content only |

use crate::api::{RunDirectory, StateDirectory};
use crate::sys::{files, handover};
use std::io;
use std::path::{Path, PathBuf};

/// Others pass through to what is theirs, and see nothing of the rest.
const PASSAGE: u32 = 0o711;
/// Root's own.
const PRIVATE: u32 = 0o700;
/// Root writes, and what is made in it is the group's to read.
const READ_BY_GROUP: u32 = 0o2750;
/// The plugin writes, and gives each file to the group itself.
const PLUGINS: u32 = 0o750;
/// The group writes. It is root's, so that nobody else can take its place.
const WRITTEN_BY_GROUP: u32 = 0o2770;
/// A status that waits, which the group reads.
const STATUS: u32 = 0o640;

/// A folder that could not be made or given.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FolderError {
    /// Which one.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Makes the folders for a daemon of the group `group`, also where a former release, whose daemon was root, made them
/// for itself. Done again it changes nothing. Answers what a person should know: what a daemon that was taken over left
/// in its folder is renamed, or passed over, and stops nothing.
///
/// # Errors
/// One of them cannot be made or given.
pub fn prepare(run: &RunDirectory, state: &StateDirectory, group: u32) -> Result<Vec<String>, FolderError> {
    let named = |path: &Path| {
        let path = path.to_owned();
        |source| FolderError { path, source }
    };
    for path in [run.path(), state.path()] {
        files::make_folder(path).map_err(named(path))?;
    }
    let own = nix::unistd::getegid().as_raw();
    let folders = [
        (run.path().to_owned(), own, PASSAGE),
        (state.path().to_owned(), own, PRIVATE),
        (run.unpublished(), group, PLUGINS),
        (run.keeper(), group, READ_BY_GROUP),
        (run.daemon(), group, WRITTEN_BY_GROUP),
    ];
    for (path, group, mode) in folders {
        handover::folder(&path, group, mode).map_err(named(&path))?;
    }
    let mut remarks = Vec::new();
    give_networks(&run.networks(), group, &mut remarks);
    remove_link(&run.former_socket(), &mut remarks);
    let unpublished = run.unpublished();
    for entry in files::entries(&unpublished).map_err(named(&unpublished))? {
        match handover::file(&entry.path(), group, STATUS) {
            // Published meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            given => given.map_err(named(&entry.path()))?,
        }
    }
    Ok(remarks)
}

/// Gives the daemon its folder of copies, where the daemon itself may have put something else.
fn give_networks(path: &Path, group: u32, remarks: &mut Vec<String>) {
    let give = || handover::folder(path, group, WRITTEN_BY_GROUP);
    let Err(why) = give() else { return };
    let place = path.display();
    let again = handover::set_aside(path).and_then(|aside| give().map(|()| aside));
    remarks.push(match again {
        Ok(Some(aside)) => format!("warning: {place} is not root's ({why}): renamed to {}", aside.display()),
        Ok(None) => format!("warning: {place} is not root's ({why}): removed and made again"),
        Err(error) => format!("warning: {place} does not belong to root, and was not changed: {error}"),
    });
}

/// A daemon of root's has left a link for former programs. Now the daemon's folder is not root's alone: what lies there
/// may lead anywhere.
fn remove_link(path: &Path, remarks: &mut Vec<String>) {
    if !path.is_symlink() {
        return;
    }
    if let Err(error) = files::remove(path) {
        remarks.push(format!("warning: the link {} cannot be removed: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const GROUP: u32 = 65532;

    /// The directories of a node; none without root, who alone may give them away.
    fn node() -> Option<(tempfile::TempDir, RunDirectory, StateDirectory)> {
        let folder = crate::sys::is_root().then(tempfile::tempdir)?.unwrap();
        let (run, state) = (folder.path().join("run"), folder.path().join("state"));
        Some((folder, RunDirectory::new(run), StateDirectory::new(state)))
    }

    #[test]
    fn a_former_release_s_folders_become_the_new_ones() {
        let Some((_folder, run, state)) = node() else { return };
        // As the kubelet and the former plugin made them.
        fs::create_dir_all(run.unpublished()).unwrap();
        fs::set_permissions(run.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let status = run.unpublished().join("c.json");
        fs::write(&status, "{}").unwrap();
        for stolen in [run.path().to_owned(), run.unpublished()] {
            std::os::unix::fs::chown(stolen, Some(GROUP), None).unwrap();
        }
        for _ in 0..2 {
            assert!(prepare(&run, &state, GROUP).unwrap().is_empty());
        }
        let is = |path: &Path| {
            let found = fs::metadata(path).unwrap();
            (found.uid(), found.gid(), found.mode() & 0o7777)
        };
        assert_eq!(is(run.path()), (0, 0, 0o711));
        assert_eq!(is(state.path()), (0, 0, 0o700));
        assert_eq!(is(&run.unpublished()), (0, GROUP, 0o750));
        assert_eq!(is(&run.daemon()), (0, GROUP, 0o2770));
        assert_eq!(is(&status), (0, GROUP, 0o640));
        // What the plugin and the keeper make in them is the group's.
        let made = run.keeper().join("state.json");
        fs::write(&made, "").unwrap();
        assert_eq!(is(&made).1, GROUP);
    }

    #[test]
    fn what_a_daemon_left_in_the_place_of_its_folder_of_copies_stops_nothing() {
        let Some((folder, run, state)) = node() else { return };
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let networks = run.networks();
        let put: [(&str, &dyn Fn()); 2] = [
            ("a link", &|| std::os::unix::fs::symlink(&other, &networks).unwrap()),
            ("a file", &|| fs::write(&networks, "").unwrap()),
        ];
        prepare(&run, &state, GROUP).unwrap();
        for (what, put) in put {
            fs::remove_dir(&networks).unwrap();
            put();
            let remarks = prepare(&run, &state, GROUP).unwrap();
            assert!(remarks.len() == 1 && remarks[0].contains("made again"), "{what}: {remarks:?}");
            let made = fs::symlink_metadata(&networks).unwrap();
            assert_eq!((made.is_dir(), made.gid(), made.mode() & 0o7777), (true, GROUP, 0o2770), "{what}");
        }
        assert_eq!(fs::metadata(&other).unwrap().gid(), 0);
        // A daemon of root's left it.
        std::os::unix::fs::symlink("daemon/plexusd.sock", run.former_socket()).unwrap();
        prepare(&run, &state, GROUP).unwrap();
        assert!(!run.former_socket().is_symlink());
    }

    #[test]
    fn a_link_in_a_folder_s_place_is_not_followed() {
        // M1
        let Some((folder, run, state)) = node() else { return };
        let other = folder.path().join("other");
        fs::create_dir_all(run.path()).unwrap();
        fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, run.unpublished()).unwrap();
        assert_eq!(prepare(&run, &state, GROUP).unwrap_err().path, run.unpublished());
        assert_eq!(fs::metadata(&other).unwrap().gid(), 0);
    }
}
