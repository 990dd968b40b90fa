//! Network namespaces: a validated handle, and closures that run inside.

#![allow(clippy::disallowed_methods, reason = "a namespace is opened, not read")]

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::Mode;
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::thread::ThreadId;

/// The namespace of the thread that opens it. `/proc/self` would be that of the process's first thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// `NS_GET_NSTYPE` of ioctl_ns(2): which kind of namespace an nsfs file is.
const NS_GET_NSTYPE: nix::libc::c_ulong = 0xb703;

/// Why a network namespace could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file: the namespace was removed, so nothing can be left in it.
    #[error("network namespace {} is gone", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there and is something else.
    #[error("{} is not a network namespace", path.display())]
    NotANamespace {
        /// The file.
        path: PathBuf,
    },
    /// The kernel did not let us.
    #[error("cannot {what} network namespace {}: {source}", path.display())]
    Io {
        /// What was being done: "open", "enter", …
        what: &'static str,
        /// The namespace.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What tells the network namespaces of one boot apart: device and inode (namespaces(7)). The kernel gives the numbers
/// of one that ended to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    device: u64,
    inode: NonZeroU64,
}

impl Identity {
    /// That of the file with these data.
    fn of(file: &Metadata) -> Option<Self> {
        Some(Identity { device: file.dev(), inode: NonZeroU64::new(file.ino())? })
    }

    /// That of the namespace at `path` now; none where there is no file.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().and_then(Identity::of)
    }

    /// That of the calling thread's namespace.
    pub fn own() -> Option<Self> {
        Identity::at(Path::new(OWN))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

/// The text is not that of an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the device and the inode of a namespace")]
pub struct NoIdentity;

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let (device, inode) = text.split_once(':').ok_or(NoIdentity)?;
        let (device, inode) = (device.parse().map_err(|_| NoIdentity)?, inode.parse().map_err(|_| NoIdentity)?);
        Ok(Identity { device, inode })
    }
}

/// An open network namespace. It stays alive, wherever its file goes, as long as this handle does.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
    identity: OnceLock<Identity>,
    /// The namespace of the thread that entered this one, to which it may return.
    own: OnceLock<(ThreadId, OwnedFd)>,
}

impl Netns {
    /// Opens the namespace at `path`.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no file, [`Error::NotANamespace`] where it is another one:
    /// the stale file of an unmounted namespace, or a namespace of another kind.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // A FIFO in its place would have the opener wait for a writer.
        let opened = openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty());
        let file = opened.map(File::from).map_err(io::Error::from).map_err(|source| match source.kind() {
            // NotADirectory: a component of the path was replaced by a file; ESRCH: /proc/<pid> of a process that ended.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing { path: path.to_owned() },
            _ if source.raw_os_error() == Some(Errno::ESRCH as i32) => Error::Missing { path: path.to_owned() },
            _ => Error::Io { what: "open", path: path.to_owned(), source },
        })?;
        match is_network_namespace(&file) {
            Ok(true) => Ok(Netns { file, path: path.to_owned(), identity: OnceLock::new(), own: OnceLock::new() }),
            Ok(false) => Err(Error::NotANamespace { path: path.to_owned() }),
            // What cannot be looked at is not gone.
            Err(e) => Err(Error::Io { what: "look at", path: path.to_owned(), source: e.into() }),
        }
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn own() -> Result<Self, Error> {
        Netns::open(Path::new(OWN))
    }

    /// A new namespace that nobody else knows; it is gone with the handle and its last user.
    ///
    /// # Errors
    /// We may not make one, or `/proc` is not mounted.
    pub fn create() -> Result<Self, Error> {
        in_thread(Path::new("(new)"), || {
            let io = |e: Errno| Error::Io { what: "create", path: PathBuf::from("(new)"), source: e.into() };
            unshare(CloneFlags::CLONE_NEWNET).map_err(io)?;
            Netns::own()
        })?
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the namespace of the calling thread (CNI_NETNS must not be, CNI-ENV-08).
    ///
    /// # Errors
    /// One of the two cannot be looked at.
    pub fn is_own(&self) -> Result<bool, Error> {
        Ok(self.identity()? == identity(Path::new(OWN), std::fs::metadata(OWN))?)
    }

    /// Whether the namespace is the one that `path` leads to now.
    pub fn is_at(&self, path: &Path) -> bool {
        Identity::at(path).is_some_and(|now| self.identity().is_ok_and(|own| own == now))
    }

    /// What tells it from others.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn identity(&self) -> Result<Identity, Error> {
        if let Some(known) = self.identity.get() {
            return Ok(*known);
        }
        let identity = identity(&self.path, self.file.metadata())?;
        Ok(*self.identity.get_or_init(|| identity))
    }

    /// The kernel's number of it, which no other namespace of this boot gets, also when this one has ended; none before
    /// Linux 5.14, or where we may not enter it.
    pub fn cookie(&self) -> Option<NonZeroU64> {
        self.run(own_cookie).ok().flatten()
    }

    /// Runs `work` inside: in the calling thread where it may return to its own namespace (setns(2) is per thread), else
    /// in one that is thrown away afterwards.
    ///
    /// `/proc/sys/net` is the namespace's own while `work` runs, because it follows the task that opens it.
    ///
    /// # Errors
    /// It could not be entered, or no thread could be started.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let this = std::thread::current().id();
        let kept = self.own.get().filter(|(thread, _)| *thread == this).map(|(_, own)| own);
        let opened = if kept.is_some() { None } else { own_to_return_to() };
        let Some(own) = kept.or(opened.as_ref()) else {
            return in_thread(&self.path, || self.enter().map(|()| work()))?;
        };
        self.enter()?;
        let returned = Returned(own.as_fd());
        let result = work();
        drop(returned);
        // Another thread's may be kept already.
        opened.map(|own| self.own.set((this, own)));
        Ok(result)
    }

    fn enter(&self) -> Result<(), Error> {
        let io = |e: Errno| Error::Io { what: "enter", path: self.path.clone(), source: e.into() };
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(io)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn identity(path: &Path, file: io::Result<Metadata>) -> Result<Identity, Error> {
    let identity = file.and_then(|file| Identity::of(&file).ok_or_else(|| io::ErrorKind::InvalidData.into()));
    identity.map_err(|source| Error::Io { what: "identify", path: path.to_owned(), source })
}

/// `SO_NETNS_COOKIE` of the calling thread's namespace.
fn own_cookie() -> Option<NonZeroU64> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    let mut cookie = 0_u64;
    let mut length = nix::libc::socklen_t::try_from(size_of_val(&cookie)).ok()?;
    let (level, name) = (nix::libc::SOL_SOCKET, nix::libc::SO_NETNS_COOKIE);
    let value = (&raw mut cookie).cast();
    // SAFETY: the value and its length are valid for writes, and the kernel writes at most that many bytes.
    let got = unsafe { nix::libc::getsockopt(socket.as_raw_fd(), level, name, value, &raw mut length) };
    Errno::result(got).ok().and_then(|_| NonZeroU64::new(cookie))
}

/// The namespace of the calling thread, if the thread may return to it: entering the one in which it is takes the same
/// permissions.
fn own_to_return_to() -> Option<OwnedFd> {
    let own = openat(AT_FDCWD, OWN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    setns(&own, CloneFlags::CLONE_NEWNET).is_ok().then_some(own)
}

/// A thread that is in its own namespace again when this is dropped, also where a panic does that.
struct Returned<'a>(BorrowedFd<'a>);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if setns(self.0, CloneFlags::CLONE_NEWNET).is_err() {
            // It was tried before we left. A thread in the wrong namespace must not go on.
            std::process::abort();
        }
    }
}

/// Runs `work` in a thread of its own and waits for it.
fn in_thread<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let io = |source| Error::Io { what: "start a thread for", path: path.to_owned(), source };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work).map_err(io)?;
        thread.join().map_err(|_| io(io::Error::other("it panicked")))
    })
}

fn is_network_namespace(file: &File) -> nix::Result<bool> {
    if fstatfs(file)?.filesystem_type() != NSFS_MAGIC {
        return Ok(false);
    }
    // SAFETY: the descriptor is open, and NS_GET_NSTYPE takes no argument and writes nothing.
    let kind = unsafe { nix::libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) };
    Errno::result(kind).map(|kind| kind == nix::libc::CLONE_NEWNET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_no_namespace_is_told_apart() {
        // FAULT-15
        let folder = tempfile::tempdir().unwrap();
        let stale = folder.path().join("cni-1");
        let open = |path: &Path| Netns::open(path).unwrap_err();
        assert!(matches!(open(&stale), Error::Missing { .. }));
        fs::write(&stale, "").unwrap();
        assert!(matches!(open(&stale), Error::NotANamespace { .. }));
        assert!(matches!(open(&stale.join("x")), Error::Missing { .. }));
        assert!(matches!(open(Path::new("/proc/self/ns/uts")), Error::NotANamespace { .. }));
        assert!(matches!(open(folder.path()), Error::NotANamespace { .. }));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(open(&fifo), Error::NotANamespace { .. }), "it is not waited for");
        // containerd takes these words in a DEL's error for success.
        assert!(!open(Path::new("/nowhere")).to_string().contains("o such file"));
    }

    #[test]
    fn own_and_other() {
        assert!(Netns::own().unwrap().is_own().unwrap());
        if !crate::sys::is_root() {
            eprintln!("SKIP own_and_other: needs root");
            return;
        }
        let other = Netns::create().unwrap();
        assert!(!other.is_own().unwrap());
        assert!(other.run(|| other.is_own().unwrap()).unwrap());
        assert!(Netns::own().unwrap().is_own().unwrap() && !other.is_own().unwrap(), "the caller is where it was");
        assert_eq!(other.cookie(), other.cookie());
        assert!(other.cookie() != Netns::own().unwrap().cookie() || other.cookie().is_none());
        let panicked = std::panic::catch_unwind(|| other.run(|| assert!(!other.is_own().unwrap())));
        assert!(panicked.is_err() && !other.is_own().unwrap());
    }

    #[test]
    fn an_identity_can_be_written_and_read() {
        let own = Netns::own().unwrap().identity().unwrap();
        assert_eq!((own.to_string().parse(), Identity::at(Path::new(OWN))), (Ok(own), Identity::own()));
        for wrong in ["", "4", "4:", "4:0", "4:-1", "x:1", "4:1:1"] {
            assert_eq!(wrong.parse::<Identity>(), Err(NoIdentity), "{wrong}");
        }
    }

    #[test]
    fn sysctls_are_those_of_the_namespace() {
        if !crate::sys::is_root() {
            eprintln!("SKIP sysctls_are_those_of_the_namespace: needs root");
            return;
        }
        let path = "/proc/sys/net/ipv4/conf/default/arp_notify";
        let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
        a.run(|| fs::write(path, "1")).unwrap().unwrap();
        assert_eq!(a.run(|| fs::read_to_string(path).unwrap()).unwrap().trim(), "1");
        assert_eq!(b.run(|| fs::read_to_string(path).unwrap()).unwrap().trim(), "0");
    }
}
