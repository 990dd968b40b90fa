//! The plugin's side of the daemon's socket.

use super::PATIENCE;
use plexus::api::protocol::{Hello, Reply, Request};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to a daemon.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects and greets; `None` when nobody answers.
    pub fn open(socket: &Path) -> Option<Connection> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut connection = Connection(BufReader::new(stream));
        connection.send(&serde_json::to_string(&Request::Hello(Hello::from_program("plexus"))).ok()?).ok()?;
        matches!(connection.read(), Some(Reply::Hello(hello)) if hello.program == "plexusd").then_some(connection)
    }

    /// Connects without a word.
    pub fn silent(socket: &Path) -> Connection {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    pub fn send(&mut self, line: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// The next answer; `None` when the daemon has closed.
    pub fn read(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.send(&serde_json::to_string(request).unwrap()).unwrap();
        self.read().unwrap()
    }
}
