//! From the root folder to a folder of ours, one component after another.

use super::kept;
use super::untrusted::{Untrusted, is_own};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, fstatat, mkdirat};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// As many symbolic links as the kernel itself follows (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// What is missing above a folder that is made: its own mode says who may look into it.
const ABOVE: u32 = 0o711;

/// A descriptor of the folder at `path`, which is made with `mode` where it is missing and a mode is given.
///
/// # Errors
/// `NotFound`, or [`Untrusted`]: a component belongs to somebody else, or somebody else may write there.
pub(super) fn to_folder(path: &Path, mode: Option<u32>) -> io::Result<Arc<OwnedFd>> {
    walk(path, mode, true)
}

/// As [`to_folder`], of a folder that is there; where `path` itself is a symbolic link there is none, whatever it was a
/// moment ago.
pub(super) fn to_folder_itself(path: &Path) -> io::Result<Arc<OwnedFd>> {
    walk(path, None, false)
}

fn walk(path: &Path, mode: Option<u32>, follow_last: bool) -> io::Result<Arc<OwnedFd>> {
    if let Some((above, folder)) = kept::nearest(path)
        && let Ok(rest) = path.strip_prefix(&above)
    {
        let mut pending = Vec::new();
        push(rest, &mut pending);
        let walked = match pending.is_empty() {
            true => still(&folder, &above).map(|()| folder),
            false => onward(above, folder, pending, mode, follow_last),
        };
        match walked {
            // What is kept was removed, perhaps: whether there is another one shows the way from the root folder.
            Err(e) if e.kind() == io::ErrorKind::NotFound => kept::forget(),
            walked => return walked,
        }
    }
    let mut pending = Vec::new();
    let at = start(path, &mut pending);
    let folder = Arc::new(open(AT_FDCWD, at.as_os_str())?);
    check(&folder, &at, pending.is_empty())?;
    kept::keep(&at, &folder);
    onward(at, folder, pending, mode, follow_last)
}

/// Whether the kept folder is still there, and ours.
fn still(folder: &OwnedFd, path: &Path) -> io::Result<()> {
    let stat = fstat(folder)?;
    if stat.st_nlink == 0 { Err(io::ErrorKind::NotFound.into()) } else { judge(&stat, path, true) }
}

/// From `folder`, which is `at` and was checked, through what is `pending`.
fn onward(
    mut at: PathBuf,
    mut folder: Arc<OwnedFd>,
    mut pending: Vec<OsString>,
    mode: Option<u32>,
    follow_last: bool,
) -> io::Result<Arc<OwnedFd>> {
    let mut links = 0;
    while let Some(name) = pending.pop() {
        let last = pending.is_empty();
        let next = at.join(&name);
        match enter(folder.as_fd(), &name, mode.map(|mode| if last { mode } else { ABOVE })) {
            Ok(entered) => {
                check(&entered, &next, last)?;
                (folder, at) = (Arc::new(entered), next);
                kept::keep(&at, &folder);
            }
            Err(Errno::ENOTDIR) if last && !follow_last => {
                return Err(Untrusted::error(&next, "it is not a directory"));
            }
            Err(Errno::ENOTDIR) => {
                let target = link(folder.as_fd(), &name, &next)?;
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                if target.is_absolute() {
                    at = start(&target, &mut pending);
                    folder = Arc::new(open(AT_FDCWD, at.as_os_str())?);
                    check(&folder, &at, pending.is_empty())?;
                } else {
                    push(&target, &mut pending);
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(folder)
}

/// The folder `name` in `folder`, as [`to_folder`]; a symbolic link is none.
pub(super) fn beneath(folder: BorrowedFd<'_>, name: &OsStr, path: &Path, mode: Option<u32>) -> io::Result<OwnedFd> {
    let entered = enter(folder, name, mode).map_err(|e| match e {
        Errno::ENOTDIR => Untrusted::error(path, "it is not a directory"),
        e => e.into(),
    })?;
    check(&entered, path, true)?;
    Ok(entered)
}

/// Where a walk to `path` begins; what is to be gone is pushed to `pending`, the first component last.
fn start(path: &Path, pending: &mut Vec<OsString>) -> PathBuf {
    push(path, pending);
    PathBuf::from(if path.is_absolute() { "/" } else { "." })
}

fn push(path: &Path, pending: &mut Vec<OsString>) {
    let named = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    pending.extend(named);
}

fn open(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Opens the folder `name` in `folder`, made where it is missing and a mode is given.
fn enter(folder: BorrowedFd<'_>, name: &OsStr, mode: Option<u32>) -> Result<OwnedFd, Errno> {
    match (open(folder, name), mode) {
        (Err(Errno::ENOENT), Some(mode)) => {
            let mode = Mode::from_bits_truncate(mode);
            match mkdirat(folder, name, mode) {
                // Whatever our umask is.
                Ok(()) => fchmodat(folder, name, mode, FchmodatFlags::FollowSymlink)?,
                Err(Errno::EEXIST) => {}
                Err(e) => return Err(e),
            }
            open(folder, name)
        }
        (opened, _) => opened,
    }
}

/// Where the symbolic link `name` in `folder` leads, if it is one of ours.
fn link(folder: BorrowedFd<'_>, name: &OsStr, path: &Path) -> io::Result<PathBuf> {
    let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if stat.st_mode & nix::libc::S_IFMT != nix::libc::S_IFLNK {
        return Err(Errno::ENOTDIR.into());
    }
    if !is_own(stat.st_uid) {
        return Err(Untrusted::error(path, format!("it is a symbolic link of uid {}", stat.st_uid)));
    }
    Ok(readlinkat(folder, name)?.into())
}

/// Whether `folder` is ours. In the `last` one of a path nobody else may write at all; above it somebody may who
/// cannot move what is not his own (the sticky bit), and root's own group.
fn check(folder: &OwnedFd, path: &Path, last: bool) -> io::Result<()> {
    judge(&fstat(folder)?, path, last)
}

fn judge(stat: &FileStat, path: &Path, last: bool) -> io::Result<()> {
    if !is_own(stat.st_uid) {
        return Err(Untrusted::owner(path, stat));
    }
    let (everybody, group) = (stat.st_mode & 0o002 != 0, stat.st_mode & 0o020 != 0);
    let sticky = stat.st_mode & nix::libc::S_ISVTX != 0;
    let open = if last { everybody || group } else { !sticky && (everybody || (group && stat.st_gid != 0)) };
    if open { Err(Untrusted::mode(path, stat)) } else { Ok(()) }
}
