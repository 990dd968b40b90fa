//! Work that goes on after our answer.

#![allow(clippy::disallowed_methods, reason = "/dev/null and the log of detached work, which follows no link")]

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, chdir, fork, setsid};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// So much of what detached work told is told again.
const MAX_TOLD: u64 = 16 << 10;

/// Runs `work` with `words` in a process of its own, for at most `limit`, while the caller goes on and exits.
///
/// The process is a session of its own and has none of our descriptors: one that held stdout would
/// make the runtime wait for it. So `work` is a plain function, and `words` are texts: neither can carry an object of
/// the caller that owns a descriptor, whose number is another file's in the new process. What it prints on stderr is
/// added to `log`, see [`told`].
///
/// Call it when no other thread runs: only the calling one exists in the new process (fork(2)).
///
/// # Errors
/// The process could not be made.
pub fn detached(limit: Duration, log: &Path, words: &[String], work: fn(&[String])) -> io::Result<()> {
    // SAFETY: the caller has no other thread, so no lock is held by one that will not exist in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let prepared = prepare(limit, log);
            if prepared.is_ok() {
                work(words);
            }
            // SAFETY: _exit(2) ends the process without running what belongs to the parent's exit.
            unsafe { nix::libc::_exit(i32::from(prepared.is_err())) }
        }
    }
}

/// What detached work printed to `log` since this was asked last, cut where it is long.
pub fn told(log: &Path) -> String {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let Ok(file) = OpenOptions::new().read(true).write(true).custom_flags(flags).open(log) else {
        return String::new();
    };
    let mut bytes = Vec::new();
    // A log is a help: one that cannot be read is none.
    let _ = (&file).take(MAX_TOLD).read_to_end(&mut bytes);
    let _ = file.set_len(0);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn prepare(limit: Duration, log: &Path) -> io::Result<()> {
    setsid()?;
    chdir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let log = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(log);
    let log = log.ok().filter(|log| log.metadata().is_ok_and(|file| file.is_file()));
    let stderr = log.as_ref().map_or(null.as_raw_fd(), |log| log.as_raw_fd());
    for (from, standard) in [(null.as_raw_fd(), 0), (null.as_raw_fd(), 1), (stderr, 2)] {
        // SAFETY: both are plain descriptor numbers; the standard ones belong to no Rust object that closes them.
        if unsafe { nix::libc::dup2(from, standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // SAFETY: whoever owns it is in the parent; nothing of this process uses it any more.
        unsafe { nix::libc::close(descriptor) };
    }
    // They were among them.
    std::mem::forget(null);
    std::mem::forget::<Option<File>>(log);
    // SAFETY: alarm(2) takes a number; SIGALRM then ends the process.
    unsafe { nix::libc::alarm(u32::try_from(limit.as_secs()).unwrap_or(u32::MAX)) };
    Ok(())
}
