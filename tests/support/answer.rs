//! A call of the plugin that runs, and what it answered.

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plexus::cni::CniError;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No call of a test takes so long.
const PATIENCE: Duration = Duration::from_secs(100);

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Running {
    /// `child`, all of whose pipes are ours; `stdin` is what it reads.
    pub fn new(mut child: Child, stdin: impl Into<Vec<u8>>) -> Self {
        let stdin = stdin.into();
        let mut pipe = child.stdin.take().unwrap();
        // A program that does not read its input says so by its answer.
        std::thread::spawn(move || pipe.write_all(&stdin));
        let (stdout, stderr) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
        Running { child, stdout, stderr }
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Kills it as runtimes do: this process alone, without warning. Answers when it is gone; what it
    /// left running may still hold its output open.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Answer {
        let has_ended = self.child.try_wait().unwrap().is_some();
        if !has_ended && !ends(self.pid(), PATIENCE) {
            self.child.kill().unwrap();
            panic!("no answer within {PATIENCE:?}");
        }
        let status = self.child.wait().unwrap();
        Answer { status, stdout: self.stdout.join().unwrap(), stderr: self.stderr.join().unwrap() }
    }
}

/// Waits until a child of ours has ended, for `patience` at most. Whoever looks again and again measures its own pauses, too.
fn ends(pid: i32, patience: Duration) -> bool {
    // SAFETY: the child is not waited for yet, so the number is its own. A new descriptor belongs to nobody else.
    let child = unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(i32::try_from(descriptor).unwrap())
    };
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut waited = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, PollTimeout::try_from(left).unwrap()) {
            Err(Errno::EINTR) => {}
            answer => return answer.unwrap() > 0,
        }
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What a call answered.
#[derive(Debug)]
pub struct Answer {
    /// How the program ended.
    pub status: ExitStatus,
    /// Its answer.
    pub stdout: String,
    /// Its log.
    pub stderr: String,
}

impl Answer {
    /// The result; the call must have succeeded with one JSON document.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert!(self.status.success(), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The call must have succeeded and answered nothing.
    #[track_caller]
    pub fn silence(&self) {
        assert!(self.status.success() && self.stdout.is_empty(), "{self:?}");
    }

    /// The error; the call must have failed by itself with one error object (CNI-IO-02, CNI-ERR-01).
    #[track_caller]
    pub fn error(&self) -> CniError {
        assert!(!self.status.success() && self.status.signal().is_none(), "{self:?}");
        let error: CniError = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert!(!error.msg.is_empty() && !error.msg.contains('\n'), "{error:?}");
        error
    }

    /// The error, which must have `code` and mention all of `words`.
    #[track_caller]
    pub fn refusal(&self, code: u32, words: &[&str]) -> CniError {
        let error = self.error();
        assert_eq!(error.code, code, "{error:?}");
        for word in words {
            assert!(error.msg.contains(word), "{word:?} is not in {:?}", error.msg);
        }
        error
    }
}
