//! A call under ptrace(2): how many system calls it makes, with all its threads and children, and its peak memory.

use crate::support::{Answer, Call};
use nix::libc::{self, c_int};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;
use std::ptr::null_mut;

/// What a call needed.
#[derive(Debug, Default)]
pub struct Traced {
    pub calls: usize,
    /// Of its first process, in KiB.
    pub peak: u64,
}

/// Of a stop before or after a system call; see `PTRACE_O_TRACESYSGOOD`.
const SYSTEM_CALL: c_int = libc::SIGTRAP | 0x80;
const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_EXITKILL;

/// Makes `call`, which has to succeed.
#[expect(clippy::zombie_processes, reason = "waitpid(2) of its tracer waits for it")]
pub fn traced(call: Call) -> Traced {
    let (mut command, stdin) = (call.command(), call.config.to_string());
    // SAFETY: ptrace(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().unwrap();
    // All of it goes into the pipe at once.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let (traced, status) = follow(child.id() as i32);
    let mut answer = Answer { status, stdout: String::new(), stderr: String::new() };
    child.stdout.take().unwrap().read_to_string(&mut answer.stdout).unwrap();
    assert!(status.success(), "{answer:?}");
    traced
}

/// From the stop at execve(2) of the process `first` to the end of all that it started.
fn follow(first: i32) -> (Traced, ExitStatus) {
    let (mut traced, mut inside, mut ended) = (Traced::default(), BTreeSet::new(), None);
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call. Without `__WNOTHREAD` it would take children of others.
        let stopped = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if stopped < 0 {
            return (traced, ended.unwrap());
        }
        if !libc::WIFSTOPPED(status) {
            if stopped == first {
                ended = Some(ExitStatus::from_raw(status));
            }
            continue;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let mut deliver = 0;
        if signal == SYSTEM_CALL {
            // The first of two stops is before the call.
            if !inside.remove(&stopped) {
                inside.insert(stopped);
                traced.calls += 1;
            }
        } else if event == libc::PTRACE_EVENT_EXIT && stopped == first {
            traced.peak = peak(first);
        } else if event == 0 && signal == libc::SIGTRAP {
            set_options(stopped);
        } else if event == 0 && signal != libc::SIGSTOP {
            deliver = signal;
        }
        // SAFETY: the thread is stopped and traced by this one. An error means that it was killed meanwhile.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, stopped, null_mut::<u8>(), deliver as usize) };
    }
}

fn set_options(process: i32) {
    // SAFETY: the process is stopped and traced by this thread.
    let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, process, null_mut::<u8>(), OPTIONS as usize) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// proc(5): the "high water mark" of resident memory. That of getrusage(2) counts what was there before execve(2).
fn peak(process: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
