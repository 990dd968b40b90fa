//! Programs we start: with a deadline, in a process group of their own, and never outliving us unseen.

#![allow(clippy::disallowed_methods, reason = "files of /proc are short and end")]

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// More than this on stdout is no answer.
const MAX_STDOUT: usize = 4 << 20;
/// What is kept of stderr; the rest is read and thrown away.
const MAX_STDERR: usize = 16 << 10;
/// How often a program whose file is being written is tried again ("text file busy").
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// For how long.
const BUSY_LIMIT: Duration = Duration::from_secs(6);
/// How long a program that was killed may take to be gone.
const REAP_LIMIT: Duration = Duration::from_secs(2);
/// How often we look whether the program ended while something still holds its output open.
const TICK: Duration = Duration::from_millis(50);

/// A program to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its file.
    pub program: &'a Path,
    /// Variables that are set in addition to our own; they win.
    pub environment: &'a [(&'a str, String)],
    /// What it reads.
    pub stdin: &'a [u8],
    /// When it is killed.
    pub deadline: Instant,
    /// A descriptor it keeps open, with all its children.
    pub inherit: Option<BorrowedFd<'a>>,
}

/// A program that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// All it printed.
    pub stdout: Vec<u8>,
    /// The beginning of what it complained about.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether it ended of its own accord, and not by a signal: then what it left running is meant to run.
    pub fn is_orderly(&self) -> bool {
        self.status.code().is_some()
    }
}

/// A program that did not.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It was killed at the deadline.
    #[error("did not end in time")]
    Deadline,
    /// It was killed because it printed without end.
    #[error("printed more than {MAX_STDOUT} bytes")]
    TooMuch,
    /// We could not talk to it; it was killed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Run<'_> {
    /// Runs the program to its end; `started` is told its process group.
    ///
    /// The program is killed with its process group at the deadline, and by the kernel when the
    /// calling *thread* dies (`PR_SET_PDEATHSIG`, prctl(2)), so the thread has to wait here.
    ///
    /// # Errors
    /// The program did not end by itself; nothing of its group is left, nor is where a signal ended it.
    pub fn to_end(&self, started: impl FnOnce(i32)) -> Result<Finished, RunError> {
        let mut child = self.start()?;
        let group = i32::try_from(child.id()).unwrap_or(0);
        started(group);
        let outcome =
            Conversation::new(&mut child, self.stdin).and_then(|mut talk| talk.until_end(&mut child, self.deadline));
        if !outcome.as_ref().is_ok_and(Finished::is_orderly) {
            // The child is not reaped yet, so the number is still its own. The group may be gone already.
            let _ = nix::sys::signal::killpg(Pid::from_raw(group), Signal::SIGKILL);
            // What the kernel does not let go of (state D) is left to init.
            let _ = wait_until(&mut child, Instant::now() + REAP_LIMIT);
        }
        outcome
    }

    fn start(&self) -> Result<Child, RunError> {
        let give_up = (Instant::now() + BUSY_LIMIT).min(self.deadline);
        loop {
            match self.command().spawn() {
                Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < give_up => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                other => return other.map_err(RunError::Start),
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let inherit = self.inherit.map(|descriptor| descriptor.as_raw_fd());
        let parent = nix::unistd::getpid();
        let prepare = move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // Died before the line above: the signal would never come.
            if nix::unistd::getppid() != parent {
                return Err(io::Error::from(Errno::ECANCELED));
            }
            if let Some(raw) = inherit {
                // SAFETY: `self.inherit` borrows the descriptor for as long as the command lives.
                fcntl(unsafe { BorrowedFd::borrow_raw(raw) }, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec only prctl, getppid and fcntl are called: all async-signal-safe.
        unsafe { command.pre_exec(prepare) };
        command
    }
}

/// The three pipes of a running program.
struct Conversation<'a> {
    to_write: &'a [u8],
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    printed: Vec<u8>,
    complained: Vec<u8>,
}

impl<'a> Conversation<'a> {
    fn new(child: &mut Child, to_write: &'a [u8]) -> Result<Self, RunError> {
        let talk = Conversation {
            to_write,
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            printed: Vec::new(),
            complained: Vec::new(),
        };
        let pipes = [
            talk.stdin.as_ref().map(AsFd::as_fd),
            talk.stdout.as_ref().map(AsFd::as_fd),
            talk.stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        }
        Ok(talk)
    }

    /// Feeds and drains the program until it ended and its pipes are empty. A grandchild that keeps
    /// a pipe open is not waited for.
    fn until_end(&mut self, child: &mut Child, deadline: Instant) -> Result<Finished, RunError> {
        loop {
            let quiet = !self.wait(deadline)?;
            self.exchange()?;
            let drained = self.stdout.is_none() && self.stderr.is_none();
            let ended = if drained {
                Some(wait_until(child, deadline)?)
            } else if quiet {
                child.try_wait()?
            } else {
                None
            };
            if let Some(status) = ended {
                let (stdout, stderr) = (std::mem::take(&mut self.printed), std::mem::take(&mut self.complained));
                return Ok(Finished { status, stdout, stderr });
            }
            if Instant::now() >= deadline {
                return Err(RunError::Deadline);
            }
        }
    }

    /// Waits until a pipe is ready, at most for a tick; answers whether one is.
    fn wait(&self, deadline: Instant) -> io::Result<bool> {
        let mut watched = Vec::with_capacity(3);
        if let Some(stdin) = &self.stdin {
            watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(stdout) = &self.stdout {
            watched.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        if let Some(stderr) = &self.stderr {
            watched.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(TICK) + Duration::from_millis(1);
        match poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
            Err(Errno::EINTR) => Ok(true),
            ready => Ok(ready? > 0),
        }
    }

    fn exchange(&mut self) -> Result<(), RunError> {
        if let Some(stdin) = &mut self.stdin {
            match stdin.write(self.to_write) {
                Ok(written) => self.to_write = &self.to_write[written..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // It does not read its input: its answer says whether that matters.
                Err(_) => self.to_write = &[],
            }
            if self.to_write.is_empty() {
                self.stdin = None;
            }
        }
        if drain(&mut self.stdout, &mut self.printed, MAX_STDOUT + 1)? {
            self.stdout = None;
        }
        if drain(&mut self.stderr, &mut self.complained, MAX_STDERR)? {
            self.stderr = None;
        }
        if self.printed.len() > MAX_STDOUT { Err(RunError::TooMuch) } else { Ok(()) }
    }
}

/// Reads what is there, keeping the first `keep` bytes; answers whether the pipe is closed.
fn drain(pipe: &mut Option<impl Read>, into: &mut Vec<u8>, keep: usize) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(false) };
    let mut buffer = [0; 16 << 10];
    // Bounded, so that a program that prints without end cannot keep us from the deadline.
    for _ in 0..64 {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => into.extend_from_slice(&buffer[..read.min(keep.saturating_sub(into.len()))]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

/// Waits for a program that closed its output: it ends at once, or goes on in silence until the deadline.
fn wait_until(child: &mut Child, deadline: Instant) -> Result<ExitStatus, RunError> {
    let mut pause = Duration::from_micros(50);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            return Err(RunError::Deadline);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A process that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its process group.
    pub group: i32,
    /// When it started, see [`start_time`].
    pub started: u64,
}

impl Process {
    /// The process `pid`; `None` when there is none, or only a zombie.
    pub fn look(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Process { pid, group: fields.get(2)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
}

/// When the process `pid` started, in clock ticks since boot (proc(5), field 22 of stat): with the
/// PID it names one process for ever. `None` when there is none, or only a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    Process::look(pid).map(|process| process.started)
}

/// The number of this process.
pub fn own() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The name of the program that the process runs; `None` where it cannot be known.
pub fn program(pid: i32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // The kernel adds a word where the file is gone, as after an upgrade.
    let name = path.file_name()?.to_string_lossy();
    Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
}

/// Every process of the machine.
pub fn all() -> Vec<Process> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    numbers.filter_map(|entry| Process::look(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Kills `process` with SIGKILL. A process that ended is no error, and another one with its number is not killed.
///
/// # Errors
/// It runs and may not be killed.
pub fn kill(process: &Process) -> io::Result<()> {
    // SAFETY: pidfd_open(2) takes two numbers and makes a descriptor.
    let made = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, process.pid, 0) };
    let descriptor = i32::try_from(made).ok().filter(|descriptor| *descriptor >= 0);
    // SAFETY: the descriptor was made above and belongs to nobody else.
    let descriptor = descriptor.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) });
    // While the descriptor is open it means one process. Is it still the one that was seen?
    if Process::look(process.pid) != Some(*process) {
        return Ok(());
    }
    let killed = match descriptor {
        // SAFETY: pidfd_send_signal(2) takes numbers, and no information where the third argument is null.
        Some(descriptor) => Errno::result(unsafe {
            let none = std::ptr::null::<nix::libc::siginfo_t>();
            nix::libc::syscall(nix::libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), nix::libc::SIGKILL, none, 0)
        })
        .map(drop),
        // A kernel before 5.3.
        None => nix::sys::signal::kill(Pid::from_raw(process.pid), Signal::SIGKILL),
    };
    match killed {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
