//! Every network namespace of the machine.

use super::netns::{Error, Identity, Netns};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where runtimes keep the files of namespaces that no process need be in.
const FOLDERS: [&str; 2] = ["/run/netns", "/run/docker/netns"];
/// The kernel's number of the machine's first PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The namespaces of the machine.
#[derive(Debug, Default)]
pub struct Every {
    /// Each once.
    pub open: Vec<Netns>,
    /// Folders of processes that are allowed more than we are, and whose namespaces we may not look at. They may be
    /// among the open ones.
    pub closed: Vec<PathBuf>,
    /// Entries of a runtime's folder that are no namespace here. In a mount namespace that was made earlier, the file of a
    /// living one looks like that.
    pub unclear: Vec<PathBuf>,
    /// Whether every process of the machine can be seen. In a container with processes of its own, and perhaps namespaces
    /// of its own, all sandboxes of the machine are missing.
    pub shows_every_process: bool,
}

/// The namespaces that a process is in or a runtime keeps a file of.
///
/// # Errors
/// One that is there cannot be looked at, so that the list would not be whole.
pub fn every() -> Result<Every, Error> {
    let mut seen = BTreeSet::new();
    let mut all = Every { shows_every_process: sees_every_process(), ..Every::default() };
    let mut paths = processes()?;
    for folder in FOLDERS {
        paths.extend(files(Path::new(folder))?);
    }
    for path in paths {
        let file = match fs::metadata(&path) {
            Ok(file) => file,
            // What ends while we look has nothing any more.
            Err(e) if has_ended(&e) => continue,
            // ptrace(2): access to a process needs all that it is allowed.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && path.starts_with("/proc") => {
                all.closed.extend(path.ancestors().nth(2).map(Path::to_owned));
                continue;
            }
            Err(source) => return Err(Error::Io { what: "look at", path, source }),
        };
        if !seen.insert((file.dev(), file.ino())) {
            continue;
        }
        match Netns::open(&path) {
            Ok(netns) => all.open.push(netns),
            Err(Error::NotANamespace { .. }) if !path.starts_with("/proc") => all.unclear.push(path),
            Err(Error::Missing { .. } | Error::NotANamespace { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// The namespace with this identity, if a process that can be seen is in it.
pub fn of_a_process(identity: Identity) -> Option<Netns> {
    let paths = processes().unwrap_or_default();
    paths.iter().filter(|path| Identity::at(path) == Some(identity)).find_map(|path| Netns::open(path).ok())
}

/// Whether every process of the machine can be seen.
pub fn sees_every_process() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|file| file.ino() == FIRST_PID_NAMESPACE)
}

fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn processes() -> Result<Vec<PathBuf>, Error> {
    let is_process = |entry: &DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let all = list(Path::new("/proc"))?;
    Ok(all.into_iter().filter(is_process).map(|entry| entry.path().join("ns/net")).collect())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match list(folder) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => Ok(other?.iter().map(DirEntry::path).collect()),
    }
}

fn list(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    super::files::entries(folder).map_err(|source| Error::Io { what: "list", path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_among_them_once() {
        if !crate::sys::is_root() {
            eprintln!("SKIP our_own_is_among_them_once: needs root");
            return;
        }
        let all = every().unwrap();
        let own = Path::new("/proc/self/ns/net");
        assert_eq!(all.open.iter().filter(|netns| netns.is_at(own)).count(), 1);
        assert!(of_a_process(Identity::at(own).unwrap()).unwrap().is_at(own));
    }

    #[test]
    fn only_what_ended_is_passed_over() {
        assert!(has_ended(&io::Error::from_raw_os_error(Errno::ENOENT as i32)));
        assert!(has_ended(&io::Error::from_raw_os_error(Errno::ESRCH as i32)));
        for other in [Errno::EACCES, Errno::EIO, Errno::ENOMEM, Errno::EMFILE] {
            assert!(!has_ended(&io::Error::from_raw_os_error(other as i32)), "{other}");
        }
    }
}
