//! The system calls of a program that change something, counted by the test; it is killed or halted before one of them, or the
//! disk is full at one.
//!
//! By seccomp_unotify(2), as for netlink: the filter is inherited, so the calls of threads, children and programs count.

use super::netlink::{ANSWER, EQUAL, LOAD, install_filter, memory, next_call, pipe, step, take_descriptor};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getsid};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::{offset_of, zeroed};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

/// The calls that change what others see: files, locks, links, processes.
const CHANGES: &[(libc::c_long, &str)] = &[
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_truncate, "truncate"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchown, "fchown"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_utimensat, "utimensat"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_bind, "bind"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
    (libc::SYS_execve, "execve"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, "creat"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_symlink, "symlink"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, "chmod"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, "chown"),
];
/// open(2) and openat(2) count where they may make a file: musl calls the first, where there is one. With each is the number of the
/// argument with its flags.
const OPENS: &[(libc::c_long, usize)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];
const CREATES: u32 = libc::O_CREAT as u32;

/// Of [`CHANGES`] and [`OPENS`] those that make a name, which needs room on the disk.
const NAMES: &[&str] = &[
    "openat",
    "creat",
    "mkdirat",
    "mkdir",
    "linkat",
    "link",
    "symlinkat",
    "symlink",
    "renameat",
    "renameat2",
    "rename",
];
/// And those that write to an open file.
const WRITES: &[&str] = &["write", "writev", "pwrite64", "fsync"];

/// A change, before it is made.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// From 1.
    pub number: usize,
    /// The system call.
    pub name: &'static str,
    /// The process ID of the command.
    pub command: i32,
    /// The thread that waits to make it.
    pub thread: i32,
}

/// Whose change it is, where the command is the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Plugin,
    /// The child that waits until the links of a DEL are gone (`src/sys/netlink/teardown.rs`).
    Teardown(i32),
    /// The sweep that a call starts after its answer.
    FollowUp(i32),
    /// A CNI plugin that Plexus has started, or a process of it. The number is that of the plugin, which leads a group.
    Program(i32),
}

impl Change {
    /// The process of the thread.
    pub fn process(&self) -> i32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.thread)).unwrap_or_default();
        let own = |line: &str| line.strip_prefix("Tgid:")?.trim().parse::<i32>().ok();
        // One that was killed meanwhile makes no change.
        status.lines().find_map(own).unwrap_or(self.thread)
    }

    /// Whose it is. The thread waits, so that what is known of it does not change meanwhile.
    pub fn author(&self) -> Author {
        let thread = Pid::from_raw(self.thread);
        let process = self.process();
        let is_plexus =
            std::fs::read_link(format!("/proc/{}/exe", self.thread)).is_ok_and(|program| program.ends_with("plexus"));
        let leads_session = getsid(Some(thread)).is_ok_and(|session| session.as_raw() == process);
        match process {
            process if process == self.command => Author::Plugin,
            // A child that is about to become a program is one already: its parent has to notice its end.
            _ if !is_plexus || self.name == "execve" => {
                Author::Program(getpgid(Some(thread)).map_or(process, Pid::as_raw))
            }
            process if leads_session => Author::FollowUp(process),
            process => Author::Teardown(process),
        }
    }
}

/// What becomes of a call.
enum Fate {
    /// It is made.
    Made,
    /// It is made, and is none of those that are counted.
    Uncounted,
    /// It ends with this error.
    Failed(i32),
}

/// The changes of a call that was prepared by [`Changes::of`].
#[derive(Debug)]
pub struct Changes(JoinHandle<Vec<&'static str>>);

impl Changes {
    /// Has `command`, which is started next, make its changes under our eyes. The plugin is killed before the one
    /// numbered `chosen`, from 1; 0 is none.
    pub fn of(command: &mut Command, chosen: usize) -> Self {
        Changes::decided(command, move |change| {
            if change.number != chosen {
                return true;
            }
            // Whose change it is cannot be asked of a process that was killed.
            let is_its_own = change.process() == change.command;
            // It may have ended, and what it left behind works on.
            let _ = kill(Pid::from_raw(change.command), Signal::SIGKILL);
            !is_its_own
        })
    }

    /// Has `command`, which is started next, make its changes under our eyes. Each waits until `before` has returned.
    pub fn watched(command: &mut Command, mut before: impl FnMut(Change) + Send + 'static) -> Self {
        Changes::decided(command, move |change| {
            before(change);
            true
        })
    }

    /// As [`Changes::watched`]. A change is not made where `before` says no: one that is killed may else make it, if it hears that it
    /// may before it hears of the signal.
    pub fn decided(command: &mut Command, mut before: impl FnMut(Change) -> bool + Send + 'static) -> Self {
        Changes::judged(command, move |change, _| if before(change) { Fate::Made } else { Fate::Failed(libc::EINTR) })
    }

    /// Has `command`, which is started next, find no room in `folder` where `is_full` says so of the number of a change, from 1.
    /// Only changes that need room are counted: those that make a name, and those that write to a file in `folder`.
    pub fn without_room(
        command: &mut Command,
        folder: PathBuf,
        is_full: impl Fn(usize) -> bool + Send + 'static,
    ) -> Self {
        Changes::judged(command, move |change, call| {
            let file = || std::fs::read_link(format!("/proc/{}/fd/{}", call.pid, call.data.args[0]));
            let needs_room = NAMES.contains(&change.name) && !exists(call)
                || WRITES.contains(&change.name) && file().is_ok_and(|file| file.starts_with(&folder));
            match (needs_room, is_full(change.number)) {
                (false, _) => Fate::Uncounted,
                (true, false) => Fate::Made,
                (true, true) => Fate::Failed(libc::ENOSPC),
            }
        })
    }

    fn judged(command: &mut Command, judge: impl FnMut(Change, &libc::seccomp_notif) -> Fate + Send + 'static) -> Self {
        let (mut told, tell) = pipe();
        let (wait, mut go_on) = pipe();
        let mut filter = filter();
        let ours = go_on.as_raw_fd();
        let install = move || {
            // The child's own copy would let it wait for ever, should the watcher end by a panic.
            // SAFETY: the number is that of the copy; nothing of the child uses it.
            unsafe { libc::close(ours) };
            let listener = install_filter(&mut filter)?;
            tell_by_other_call(&tell, [std::process::id() as i32, listener])?;
            (&wait).read_exact(&mut [0])
        };
        // SAFETY: between fork and exec it makes system calls only and allocates nothing.
        unsafe { command.pre_exec(install) };
        Changes(std::thread::spawn(move || {
            let mut number = [0; 4];
            let mut next = || told.read_exact(&mut number).map(|()| i32::from_ne_bytes(number)).unwrap();
            let (pid, descriptor) = (next(), next());
            let listener = take_descriptor(pid, descriptor).unwrap();
            go_on.write_all(&[0]).unwrap();
            watch(&listener, pid, judge)
        }))
    }

    /// The names of all, once the call and all that it started have ended.
    pub fn seen(self) -> Vec<&'static str> {
        self.0.join().unwrap()
    }
}

/// Writes two numbers by pwritev2(2): write(2) and writev(2) would wait for the test already.
fn tell_by_other_call(pipe: &File, numbers: [i32; 2]) -> io::Result<()> {
    let bytes = libc::iovec { iov_base: numbers.as_ptr().cast_mut().cast(), iov_len: size_of_val(&numbers) };
    // SAFETY: the kernel reads so many bytes, which live on. The offset -1 is that of the file, which a pipe has not.
    let written =
        unsafe { libc::syscall(libc::SYS_pwritev2, pipe.as_raw_fd(), &raw const bytes, 1, -1_i64, -1_i64, 0) };
    // A pipe takes so few bytes at once.
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn filter() -> Vec<libc::sock_filter> {
    let ask = libc::SECCOMP_RET_USER_NOTIF;
    let mut steps = vec![step(LOAD, offset_of!(libc::seccomp_data, nr) as u32, 0, 0)];
    for (number, _) in CHANGES {
        steps.extend([step(EQUAL, *number as u32, 0, 1), step(ANSWER, ask, 0, 0)]);
    }
    for (number, argument) in OPENS {
        // The low half of the argument.
        let flags = (offset_of!(libc::seccomp_data, args) + argument * 8) as u32;
        steps.extend([
            step(EQUAL, *number as u32, 0, 4),
            step(LOAD, flags, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, CREATES, 0, 1),
            step(ANSWER, ask, 0, 0),
            step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0),
        ]);
    }
    steps.push(step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0));
    steps
}

fn name(number: libc::c_int) -> &'static str {
    let known = CHANGES.iter().find(|(known, _)| *known == libc::c_long::from(number));
    known.map_or("openat", |(_, name)| name)
}

/// Whether there is already what a call may make: then it needs no room.
fn exists(call: &libc::seccomp_notif) -> bool {
    let number = libc::c_long::from(call.data.nr);
    let [folder, path] = match number {
        libc::SYS_openat | libc::SYS_mkdirat => [call.data.args[0], call.data.args[1]],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open | libc::SYS_creat | libc::SYS_mkdir => [libc::AT_FDCWD as u64, call.data.args[0]],
        _ => return false,
    };
    let mut bytes = [0; libc::PATH_MAX as usize];
    let read = memory(call).read_at(&mut bytes, path).unwrap_or(0);
    let path = bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
    let folder = match folder as i32 {
        libc::AT_FDCWD => format!("/proc/{}/cwd", call.pid),
        number => format!("/proc/{}/fd/{number}", call.pid),
    };
    PathBuf::from(folder).join(OsStr::from_bytes(path)).symlink_metadata().is_ok()
}

/// Counts the calls until nobody is left who could make one.
fn watch(
    listener: &OwnedFd,
    command: i32,
    mut judge: impl FnMut(Change, &libc::seccomp_notif) -> Fate,
) -> Vec<&'static str> {
    let mut seen = Vec::new();
    while let Some(call) = next_call(listener) {
        let name = name(call.data.nr);
        let fate = judge(Change { number: seen.len() + 1, name, command, thread: call.pid as i32 }, &call);
        // SAFETY: all zeroes are a response.
        let mut response: libc::seccomp_notif_resp = unsafe { zeroed() };
        response.id = call.id;
        match fate {
            Fate::Failed(error) => response.error = -error,
            Fate::Made | Fate::Uncounted => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        }
        if !matches!(fate, Fate::Uncounted) {
            seen.push(name);
        }
        // SAFETY: the kernel reads one response. Whoever asked may be dead, and needs none then.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    }
    seen
}
