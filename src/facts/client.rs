//! The plugin's side of the daemon's socket.

use crate::api::RunDirectory;
use crate::api::layout::{DAEMON, SOCKET};
use crate::api::protocol::{Hello, MAX_LINE, Reply, Request};
use crate::cni::json;
use crate::sys::trusted::{TheirFolder, Untrusted};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::TimeVal;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("plexusd is not running ({socket}: {source})")]
    Absent {
        /// Where it should be.
        socket: String,
        /// Why it could not be reached.
        source: io::Error,
    },
    /// Somebody else could have put a socket there.
    #[error("plexusd is not asked: {0}")]
    Untrusted(io::Error),
    /// Somebody listens who is neither root nor in the group of the daemon's folder.
    #[error("the process that listens on {0} is neither root nor the daemon")]
    NotRoot(String),
    /// It did not answer in time.
    #[error("plexusd does not answer in time")]
    Deadline,
    /// The connection broke.
    #[error("plexusd closed the connection: {0}")]
    Broken(io::Error),
    /// It said something else than the protocol.
    #[error("plexusd sent an unreadable answer: {0}")]
    Unreadable(String),
}

impl ClientError {
    /// Whether there is no daemon at all, as between two of its lives.
    pub fn is_absent(&self) -> bool {
        matches!(self, ClientError::Absent { .. })
    }

    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Deadline,
            _ => ClientError::Broken(error),
        }
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    deadline: Instant,
    greeted: bool,
}

impl Client {
    /// Connects to the daemon of `run`, or to one of a former release; every later wait ends at `deadline`.
    ///
    /// # Errors
    /// Nobody listens, or somebody who is not the daemon.
    pub fn connect(run: &RunDirectory, deadline: Instant) -> Result<Self, ClientError> {
        let absent = match Client::connect_to_daemon(run, deadline) {
            Err(e) if e.is_absent() => e,
            connected => return connected,
        };
        let former = run.former_socket();
        // A link leads to the daemon's folder, where it was just asked, and there to whatever a daemon has put.
        if !former.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
            return Err(absent);
        }
        Client::connect_to(&former, &former, None, deadline).map_err(|e| if e.is_absent() { absent } else { e })
    }

    /// The daemon may put anything into its folder: only a socket that lies there itself is connected to.
    fn connect_to_daemon(run: &RunDirectory, deadline: Instant) -> Result<Self, ClientError> {
        let socket = run.socket();
        let absent = |source| ClientError::Absent { socket: socket.display().to_string(), source };
        let folder = TheirFolder::open(run.path(), &[DAEMON])
            .map_err(|e| if Untrusted::is(&e) { ClientError::Untrusted(e) } else { absent(e) })?;
        let pinned = folder.socket(SOCKET).map_err(absent)?;
        Client::connect_to(&pinned.path(), &socket, folder.trusted_group(), deadline)
    }

    /// Connects to `path`, which is `named` in errors, where root listens, or somebody of `group`.
    fn connect_to(path: &Path, named: &Path, group: Option<u32>, deadline: Instant) -> Result<Self, ClientError> {
        let absent = |source: Errno| match source {
            Errno::EAGAIN => ClientError::Deadline,
            _ => ClientError::Absent { socket: named.display().to_string(), source: source.into() },
        };
        let socket =
            socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(absent)?;
        // unix(7): a connect waits while the listener's backlog is full; the send timeout bounds that.
        let left = TimeVal::new(0, 0).max(time_left(deadline));
        socket::setsockopt(&socket, sockopt::SendTimeout, &left).map_err(absent)?;
        let address = UnixAddr::new(path).map_err(absent)?;
        socket::connect(socket.as_raw_fd(), &address).map_err(absent)?;
        let peer = socket::getsockopt(&socket, sockopt::PeerCredentials).map_err(absent)?;
        let is_root = peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw();
        if !is_root && group != Some(peer.gid()) {
            return Err(ClientError::NotRoot(named.display().to_string()));
        }
        Ok(Client { stream: BufReader::new(UnixStream::from(socket)), deadline, greeted: false })
    }

    /// From now on every wait ends at `deadline`.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Sends `request` without waiting for anything.
    ///
    /// # Errors
    /// It could not be sent.
    pub fn tell(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut lines = String::new();
        let greeting = (!self.greeted).then(|| Request::Hello(Hello::from_program("plexus")));
        for request in greeting.iter().chain(Some(request)) {
            lines.push_str(&serde_json::to_string(request).map_err(|e| ClientError::Unreadable(e.to_string()))?);
            lines.push('\n');
        }
        self.stream.get_mut().write_all(lines.as_bytes()).map_err(ClientError::from_io)
    }

    /// Sends `request` and waits for its answer.
    ///
    /// # Errors
    /// There is none in time, or it cannot be read.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.ask_while(request, || ())
    }

    /// As [`Client::ask`]; `meanwhile` runs while the daemon works on the answer.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_while(&mut self, request: &Request, meanwhile: impl FnOnce()) -> Result<Reply, ClientError> {
        self.tell(request)?;
        meanwhile();
        if !self.greeted {
            // What it calls itself matters to nobody yet; that it greets shows that it is one of ours.
            match self.read()? {
                Reply::Hello(_) => self.greeted = true,
                other => return Err(ClientError::Unreadable(format!("no greeting but an answer ({})", other.kind()))),
            }
        }
        self.read()
    }

    fn read(&mut self) -> Result<Reply, ClientError> {
        let line = self.read_line()?;
        json::parse_bytes(&line).map_err(|e| ClientError::Unreadable(e.to_string()))
    }

    /// The next line. The deadline holds for all of it, also where it comes byte by byte.
    fn read_line(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut line = Vec::new();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !line.is_empty() {
                return Err(ClientError::Deadline);
            }
            if self.stream.buffer().is_empty() {
                let left = left.max(Duration::from_millis(1));
                self.stream.get_ref().set_read_timeout(Some(left)).map_err(ClientError::from_io)?;
            }
            let chunk = self.stream.fill_buf().map_err(ClientError::from_io)?;
            if chunk.is_empty() {
                return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let used = end.unwrap_or(chunk.len());
            if line.len() + used > MAX_LINE {
                return Err(ClientError::Unreadable(format!("a line longer than {MAX_LINE} bytes")));
            }
            line.extend_from_slice(&chunk[..used]);
            self.stream.consume(used + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(line);
            }
        }
    }
}

/// What is left until `deadline`, at least a millisecond: zero would mean for ever.
fn time_left(deadline: Instant) -> TimeVal {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    TimeVal::new(left.as_secs().try_into().unwrap_or(i64::MAX), left.subsec_micros().into())
}
