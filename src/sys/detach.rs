//! Work that goes on after our answer.

use nix::unistd::{ForkResult, chdir, fork, setsid};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Runs `work` in a process of its own, for at most `limit`, while the caller goes on and exits.
///
/// The process is a session of its own and has none of our descriptors: one that held stdout would
/// make the runtime wait for it. Call it when no other thread runs: only the calling one exists in
/// the new process (fork(2)).
///
/// # Errors
/// The process could not be made.
pub fn detached(limit: Duration, work: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the caller has no other thread, so no lock is held by one that will not exist in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let prepared = prepare(limit);
            if prepared.is_ok() {
                work();
            }
            // SAFETY: _exit(2) ends the process without running what belongs to the parent's exit.
            unsafe { nix::libc::_exit(i32::from(prepared.is_err())) }
        }
    }
}

fn prepare(limit: Duration) -> io::Result<()> {
    setsid()?;
    chdir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in 0..=2 {
        // SAFETY: both are plain descriptor numbers; the standard ones belong to no Rust object that closes them.
        if unsafe { nix::libc::dup2(null.as_raw_fd(), standard) } < 0 {
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
    // `null` was among them.
    std::mem::forget(null);
    // SAFETY: alarm(2) takes a number; SIGALRM then ends the process.
    unsafe { nix::libc::alarm(u32::try_from(limit.as_secs()).unwrap_or(u32::MAX)) };
    Ok(())
}
