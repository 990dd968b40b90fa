//! The netlink requests of a call in the hands of the test: seen one by one, and one of them failed.
//!
//! By seccomp_unotify(2), from outside: the shipped plugin knows nothing of it. The filter is inherited,
//! so requests of threads and child processes are counted too, in the order in which they are made.

use nix::errno::Errno;
use nix::libc;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::JoinHandle;

/// What becomes of the chosen request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The system call fails, and the kernel has heard nothing.
    NotSent,
    /// The kernel answers EOPNOTSUPP.
    Refused,
    /// The plugin is killed before the kernel hears it.
    Killed,
}

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// A type of message that rtnetlink has not, which it therefore refuses.
const NO_TYPE: u16 = 0xfff0;
/// Where the type is in a message (`struct nlmsghdr`), after its length.
const TYPE_AT: u64 = 4;

/// What a call asked of the kernel, as far as it was looked at.
#[derive(Debug, Default)]
pub struct Seen {
    /// The types of all netlink requests, in their order.
    pub requests: Vec<u16>,
    /// How often each of [`LOOKED_AT`] was called.
    pub calls: BTreeMap<i64, usize>,
    /// The files under `/proc/sys` that were opened by their whole path.
    pub settings: Vec<String>,
}

/// open(2), where the kernel has it: on arm64 there is openat(2) alone.
#[cfg(target_arch = "x86_64")]
const OPEN: libc::c_long = libc::SYS_open;
#[cfg(not(target_arch = "x86_64"))]
const OPEN: libc::c_long = libc::SYS_openat;

/// System calls by which a program learns something, which become more with what there is to learn; and those that
/// start a thread or a process.
pub const LOOKED_AT: [libc::c_long; 8] = [
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    OPEN,
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_getdents64,
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// The requests of a call that was prepared by [`Requests::of`].
#[derive(Debug)]
pub struct Requests(JoinHandle<Seen>);

impl Requests {
    /// Has `command`, which is started next, make its requests under our eyes. The one numbered
    /// `chosen`, from 1, meets its `fate`; 0 is none.
    pub fn of(command: &mut Command, chosen: usize, fate: Fate) -> Self {
        Requests::watching(command, &LOOKED_AT[..1], chosen, fate)
    }

    /// Has `command`, which is started next, make each of [`LOOKED_AT`] under our eyes.
    pub fn counted(command: &mut Command) -> Self {
        Requests::watching(command, &LOOKED_AT, 0, Fate::NotSent)
    }

    fn watching(command: &mut Command, calls: &'static [libc::c_long], chosen: usize, fate: Fate) -> Self {
        let (mut told, tell) = pipe();
        let (wait, mut go_on) = pipe();
        let ours = go_on.as_raw_fd();
        let install = move || {
            // The child's own copy would let it wait for ever, should the watcher end by a panic.
            // SAFETY: the number is that of the copy; nothing of the child uses it.
            unsafe { libc::close(ours) };
            let listener = install_filter(&mut filter(calls))?;
            let mut tell = &tell;
            tell.write_all(&(std::process::id() as i32).to_ne_bytes())?;
            tell.write_all(&listener.to_ne_bytes())?;
            (&wait).read_exact(&mut [0])
        };
        // SAFETY: between fork and exec it makes system calls only and allocates nothing.
        unsafe { command.pre_exec(install) };
        Requests(std::thread::spawn(move || {
            let mut number = [0; 4];
            let mut next = || told.read_exact(&mut number).map(|()| i32::from_ne_bytes(number)).unwrap();
            let (pid, descriptor) = (next(), next());
            let listener = take_descriptor(pid, descriptor).unwrap();
            go_on.write_all(&[0]).unwrap();
            watch(&listener, pid, chosen, fate)
        }))
    }

    /// All of them, once the call and all that it started have ended.
    pub fn seen(self) -> Seen {
        self.0.join().unwrap()
    }
}

pub(super) fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (read.into(), write.into())
}

/// One step of a seccomp filter.
pub(super) fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Loads a word of the system call's number and arguments.
pub(super) const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
/// Compares it.
pub(super) const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
/// Ends the filter.
pub(super) const ANSWER: u32 = libc::BPF_RET | libc::BPF_K;

/// Chooses `calls`.
fn filter(calls: &[libc::c_long]) -> [libc::sock_filter; LOOKED_AT.len() + 3] {
    let mut steps = [step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0); LOOKED_AT.len() + 3];
    steps[0] = step(LOAD, offset_of!(libc::seccomp_data, nr) as u32, 0, 0);
    for (at, call) in calls.iter().enumerate() {
        // To the last step, over those that follow and the one that allows.
        steps[1 + at] = step(EQUAL, *call as u32, (calls.len() - at) as u8, 0);
    }
    steps[calls.len() + 2] = step(ANSWER, libc::SECCOMP_RET_USER_NOTIF, 0, 0);
    steps
}

/// Lets what `steps` choose of this process wait for whoever has the descriptor that is answered; it is closed by exec.
pub(super) fn install_filter(steps: &mut [libc::sock_filter]) -> io::Result<RawFd> {
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program, whose length is that of the array.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if listener < 0 { Err(io::Error::last_os_error()) } else { Ok(listener as RawFd) }
}

/// The descriptor numbered `descriptor` of another process.
pub(super) fn take_descriptor(pid: i32, descriptor: RawFd) -> io::Result<OwnedFd> {
    let owned = |fd: libc::c_long| match fd {
        // SAFETY: the kernel just made it for us.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: system calls that take numbers only.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: as above.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0) })
}

/// Decides on each request until nobody is left who could make one.
fn watch(listener: &OwnedFd, plugin: i32, chosen: usize, fate: Fate) -> Seen {
    let mut seen = Seen::default();
    while let Some(call) = next_call(listener) {
        let mut response: libc::seccomp_notif_resp = unsafe { zeroed() };
        (response.id, response.flags) = (call.id, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
        let number = i64::from(call.data.nr);
        *seen.calls.entry(number).or_default() += 1;
        if number == libc::SYS_sendto {
            for (at, kind) in requests(&call) {
                seen.requests.push(kind);
                if seen.requests.len() == chosen {
                    meet(fate, &call, at, plugin, &mut response);
                }
            }
        } else if number == OPEN || number == libc::SYS_openat {
            let path = text(&call, call.data.args[usize::from(number == libc::SYS_openat)]);
            seen.settings.extend(Some(path).filter(|path| path.starts_with("/proc/sys/")));
        }
        // SAFETY: the kernel reads one response. Whoever asked may be dead, and needs none then.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const response) };
    }
    seen
}

/// The request that is `at` this offset meets its fate: what is not sent or not heard takes those with it that are sent
/// together with it, and the kernel goes on behind one that it refuses.
fn meet(fate: Fate, call: &libc::seccomp_notif, at: u64, plugin: i32, response: &mut libc::seccomp_notif_resp) {
    match fate {
        Fate::NotSent => (response.flags, response.error) = (0, -(Errno::ENOBUFS as i32)),
        Fate::Refused => memory(call).write_all_at(&NO_TYPE.to_ne_bytes(), call.data.args[1] + at + TYPE_AT).unwrap(),
        Fate::Killed => {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(plugin), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }
}

/// The next call; `None` when there will be none.
pub(super) fn next_call(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    loop {
        let mut waiting = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which is open.
        let ready = unsafe { libc::poll(&raw mut waiting, 1, -1) };
        if ready == 1 && waiting.revents & libc::POLLIN == 0 {
            return None;
        }
        // SAFETY: the kernel writes one call, into zeroes as it asks for.
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: as above.
        let received = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut call) };
        // Else whoever called was killed meanwhile.
        if received == 0 {
            return Some(call);
        }
    }
}

/// The requests of a datagram, as offset and type; none where what is sent is something else.
fn requests(call: &libc::seccomp_notif) -> Vec<(u64, u16)> {
    let size = call.data.args[2];
    let mut bytes = vec![0; usize::try_from(size).unwrap().min(1 << 20)];
    let (mut requests, mut at) = (Vec::new(), 0);
    if memory(call).read_exact_at(&mut bytes, call.data.args[1]).is_err() {
        return requests;
    }
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_ne_bytes(header[..4].try_into().unwrap()) as usize;
        let [kind, flags] = [4, 6].map(|at| u16::from_ne_bytes([header[at], header[at + 1]]));
        if length < 16 || at + length > bytes.len() || flags & REQUEST == 0 {
            return Vec::new();
        }
        requests.push((at as u64, kind));
        // Messages begin at multiples of four bytes (NLMSG_ALIGN).
        at += length.next_multiple_of(4);
    }
    requests
}

/// The beginning of the text at `address`.
fn text(call: &libc::seccomp_notif, address: u64) -> String {
    let mut bytes = [0; 64];
    let read = memory(call).read_at(&mut bytes, address).unwrap_or(0);
    let text = bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

pub(super) fn memory(call: &libc::seccomp_notif) -> File {
    OpenOptions::new().read(true).write(true).open(format!("/proc/{}/mem", call.pid)).unwrap()
}

const _: () = assert!(size_of::<libc::seccomp_notif>() == 80);
