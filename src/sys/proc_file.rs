//! Files of `/proc` whose content is evidence: it is believed only if the kernel wrote it.
//!
//! A container manager, or a mistake, mounts another file in the place of one of them. The path then shows what somebody
//! made up. The file has to be of the file system proc, and its mount has to show that it is the file of that name:
//! another file of proc can be mounted there, too.

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const PROC: &str = "/proc";
/// The number of the root of every proc (`PROC_ROOT_INO`, include/linux/proc_ns.h).
const ROOT: u64 = 1;
/// Of a descriptor: some lines of numbers.
const MAX_FDINFO: usize = 4096;
/// A node with hundreds of pods has some thousand mounts.
const MAX_MOUNTS: usize = 16 << 20;

/// Why a file of proc proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// It cannot be looked at.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another file is in its place.
    #[error("{} is not the kernel's: another file is mounted there", path.display())]
    Covered {
        /// The file.
        path: PathBuf,
    },
    /// Its text is not of the kernel's form.
    #[error("{} has no value that can be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
}

/// The text of the file `name` of `/proc`, of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or it is not certain that the kernel wrote it.
pub fn read(name: &str, limit: usize) -> Result<String, Unproved> {
    let path = || Path::new(PROC).join(name);
    let failed = |source| Unproved::Io { path: path(), source };
    let (folder, file) = open(name).map_err(failed)?;
    if !is_of_kernel(&folder, &file, name).map_err(failed)? {
        return Err(Unproved::Covered { path: path() });
    }
    super::files::read_regular_text(&file, 0, limit).map_err(failed)
}

/// The error for the file `name` of `/proc` whose text is not of its form.
pub fn unreadable(name: &str) -> Unproved {
    Unproved::Unreadable { path: Path::new(PROC).join(name) }
}

fn open(name: &str) -> io::Result<(OwnedFd, File)> {
    let folder = openat(AT_FDCWD, PROC, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    // A FIFO in its place would have the opener wait for a writer.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(&folder, name, flags, Mode::empty())?;
    Ok((folder, file.into()))
}

/// Whether `file` is the one that proc itself has as `name`.
fn is_of_kernel(folder: &OwnedFd, file: &File, name: &str) -> io::Result<bool> {
    if fstatfs(file)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Ok(false);
    }
    let mount = mount(file)?;
    // Nothing is mounted between the root of proc and the file.
    if fstat(folder)?.st_ino == ROOT && self::mount(folder)? == mount {
        return Ok(true);
    }
    // Containers have parts of proc mounted on themselves, so that they can only be read.
    let mounts = text("/proc/thread-self/mountinfo", MAX_MOUNTS)?;
    Ok(mounts.lines().any(|line| is_mount_of(line, mount, name)))
}

/// The number of the mount through which `file` was opened.
fn mount(file: &impl AsFd) -> io::Result<u64> {
    match mount_by_statx(file) {
        Some(mount) => Ok(mount),
        None => mount_by_text(file),
    }
}

/// By one system call (statx(2), `STATX_MNT_ID`); none before Linux 5.8.
fn mount_by_statx(file: &impl AsFd) -> Option<u64> {
    // SAFETY: all of it are numbers, and zero is one.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    let (descriptor, flags, asked) = (file.as_fd().as_raw_fd(), libc::AT_EMPTY_PATH, libc::STATX_MNT_ID);
    // SAFETY: the path ends with a zero byte, and the kernel writes no more than the structure.
    let done = unsafe { libc::syscall(libc::SYS_statx, descriptor, c"".as_ptr(), flags, asked, &raw mut stat) };
    (done == 0 && stat.stx_mask & asked != 0).then_some(stat.stx_mnt_id)
}

/// As proc_pid_fdinfo(5) has it.
fn mount_by_text(file: &impl AsFd) -> io::Result<u64> {
    let text = text(&format!("/proc/thread-self/fdinfo/{}", file.as_fd().as_raw_fd()), MAX_FDINFO)?;
    let number = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its mount is unknown"))
}

/// Whether `line` of proc_pid_mountinfo(5) is of the mount numbered `mount`, and that shows below `/proc/<name>` what
/// proc has as `name`.
fn is_mount_of(line: &str, mount: u64, name: &str) -> bool {
    let mut fields = line.split(' ');
    let number = fields.next().and_then(|number| number.parse::<u64>().ok());
    let (Some(root), Some(point)) = (fields.nth(2), fields.next()) else { return false };
    let Ok(below) = Path::new(PROC).join(name).strip_prefix(point).map(Path::to_owned) else { return false };
    let shown = if below.as_os_str().is_empty() { root.into() } else { Path::new(root).join(below) };
    number == Some(mount) && shown == Path::new("/").join(name)
}

fn text(path: &str, limit: usize) -> io::Result<String> {
    super::files::read_bounded(Path::new(path), limit)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::is_root;
    use nix::mount::{MsFlags, mount as mount_at};
    use nix::sched::{CloneFlags, unshare};

    const NAME: &str = "sys/kernel/random/boot_id";

    #[test]
    fn a_part_of_proc_that_is_mounted_on_itself_shows_the_same() {
        let line = |root: &str, point: &str| format!("36 35 0:33 {root} {point} ro,nosuid - proc proc rw");
        for (root, point) in
            [("/", "/proc"), ("/sys", "/proc/sys"), ("/sys/kernel/random/boot_id", "/proc/sys/kernel/random/boot_id")]
        {
            assert!(is_mount_of(&line(root, point), 36, NAME), "{root} {point}");
            assert!(!is_mount_of(&line(root, point), 35, NAME), "{root} {point}");
        }
        for (root, point) in [
            ("/sys/kernel/random/uuid", "/proc/sys/kernel/random/boot_id"),
            ("/sys", "/proc"),
            ("/", "/proc/sys"),
            ("/", "/other"),
        ] {
            assert!(!is_mount_of(&line(root, point), 36, NAME), "{root} {point}");
        }
    }

    #[test]
    fn both_ways_to_the_number_of_a_mount_lead_to_the_same() {
        let (folder, file) = open(NAME).unwrap();
        let by_text = [mount_by_text(&folder).unwrap(), mount_by_text(&file).unwrap()];
        assert_eq!([mount(&folder).unwrap(), mount(&file).unwrap()], by_text);
        let elsewhere: OwnedFd = std::fs::File::open("/").unwrap().into();
        assert_ne!(mount(&elsewhere).unwrap(), by_text[0]);
    }

    #[test]
    fn what_is_mounted_over_a_file_of_proc_is_not_believed() {
        // A3
        assert_eq!(read(NAME, 64).unwrap().trim().len(), 36);
        if !is_root() {
            eprintln!("SKIP what_is_mounted_over_a_file_of_proc_is_not_believed: needs root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("boot_id");
        std::fs::write(&plain, "00000000-0000-4000-8000-000000000000\n").unwrap();
        let path = Path::new(PROC).join(NAME);
        let none = None::<&str>;
        let cover = |source: &Path, target: &Path| {
            mount_at(Some(source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
        };
        // Mounts belong to a thread that has its own; it ends, and they with it.
        let covered = |work: &(dyn Fn() + Sync)| {
            let in_own_mounts = || {
                unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
                mount_at(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
                work();
                read(NAME, 64).map_err(|e| e.to_string())
            };
            std::thread::scope(|scope| scope.spawn(in_own_mounts).join().unwrap())
        };
        for source in [plain.as_path(), Path::new("/proc/sys/kernel/random/uuid")] {
            let error = covered(&|| cover(source, &path)).unwrap_err();
            assert!(error.contains("boot_id is not the kernel's"), "{error}");
        }
        covered(&|| cover(Path::new("/proc/sys/kernel"), Path::new("/proc/sys"))).unwrap_err();
        covered(&|| cover(folder.path(), Path::new(PROC))).unwrap_err();
        let same = covered(&|| cover(Path::new("/proc/sys"), Path::new("/proc/sys"))).unwrap();
        assert_eq!(same, std::fs::read_to_string(&path).unwrap());
    }
}
