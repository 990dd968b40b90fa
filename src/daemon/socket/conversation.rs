//! One connection: lines in, lines out.

use crate::api::protocol::{MAX_LINE, Reply, Request};
use crate::cni::json;
use crate::daemon::Daemon;
use crate::daemon::socket::listener::Socket;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Who says nothing for so long is cut off.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// More connections at a time wait in the listener's queue.
const MOST: usize = 256;
/// How long a closed socket's queue is listened to.
const LAST_CALL: Duration = Duration::from_millis(10);
/// What a connection keeps for reading while it is idle.
const BUFFER: usize = 4096;

/// The connections that are open.
#[derive(Debug)]
pub struct Conversations {
    daemon: Arc<Daemon>,
    running: JoinSet<()>,
    places: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    /// Told where all places are taken: plugins keep their connections from one question to the next.
    crowd: watch::Sender<()>,
}

impl Conversations {
    /// None yet.
    pub fn new(daemon: Arc<Daemon>) -> Self {
        let (running, places) = (JoinSet::new(), Arc::new(Semaphore::new(MOST)));
        Conversations { daemon, running, places, stop: watch::Sender::new(false), crowd: watch::Sender::new(()) }
    }

    /// Accepts connections, for ever.
    pub async fn serve(&mut self, socket: &Socket) {
        loop {
            let stream = socket.accept().await;
            if self.places.available_permits() == 0 {
                self.crowd.send_replace(());
            }
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            self.begin(stream, Some(place));
            while self.running.try_join_next().is_some() {}
        }
    }

    /// Closes `socket` and lets what was asked already be answered, for at most `grace`.
    pub async fn finish(mut self, socket: Socket, grace: Duration) {
        socket.withdraw();
        while let Ok(stream) = timeout(LAST_CALL, socket.accept()).await {
            self.begin(stream, None);
        }
        drop(socket);
        self.stop.send_replace(true);
        if timeout(grace, async { while self.running.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(open = self.running.len(), "closing open connections");
        }
    }

    fn begin(&mut self, stream: UnixStream, place: Option<OwnedSemaphorePermit>) {
        let (daemon, stop, crowd) = (Arc::clone(&self.daemon), self.stop.subscribe(), self.crowd.subscribe());
        self.running.spawn(async move {
            daemon.open.fetch_add(1, Ordering::Relaxed);
            converse(stream, &daemon, stop, crowd).await;
            daemon.open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// Answers line by line until the peer closes, falls silent or breaks the protocol, or until there is nothing left
/// to answer after the daemon was told to stop. Who has its answer makes room where others wait for a place.
async fn converse(
    stream: UnixStream,
    daemon: &Daemon,
    mut stop: watch::Receiver<bool>,
    mut crowd: watch::Receiver<()>,
) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::with_capacity(BUFFER, reading);
    let (mut greeted, mut answered) = (false, false);
    let mut text = Vec::new();
    loop {
        let line = tokio::select! {
            biased;
            line = timeout(SILENCE_LIMIT, read_line(&mut lines)) => line,
            _ = stop.wait_for(|stop| *stop) => return,
            _ = crowd.changed(), if answered => return,
        };
        let (reply, last) = match line {
            Ok(Ok(Some(line))) => (answer(&line, daemon, &mut greeted).await, false),
            Ok(Err(e)) if e.kind() == io::ErrorKind::FileTooLarge => (Reply::Unsupported(e.to_string()), true),
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        if serde_json::to_writer(&mut text, &reply).is_err() {
            return;
        }
        text.push(b'\n');
        // The question came with the greeting: its answer does, too, so that the peer wakes up once.
        if matches!(reply, Reply::Hello(_)) && !lines.buffer().is_empty() {
            continue;
        }
        answered |= !matches!(reply, Reply::Hello(_));
        // A peer that is gone may have left more lines, as for a publication that nobody waits for:
        // only one that does not read is given up.
        let written = timeout(SILENCE_LIMIT, writing.write_all(&text)).await;
        // Not cleared: a long answer's memory is not kept while nothing is said.
        text = Vec::new();
        if last || written.is_err() {
            return;
        }
    }
}

async fn answer(line: &[u8], daemon: &Daemon, greeted: &mut bool) -> Reply {
    let begun = Instant::now();
    let (question, about, reply) = match json::parse_bytes::<Request>(line) {
        Ok(Request::Hello(hello)) => {
            *greeted = true;
            ("hello", String::new(), daemon.answer(Request::Hello(hello)).await)
        }
        Ok(_) if !*greeted => ("unknown", String::new(), Reply::Unsupported("hello comes first".to_owned())),
        Ok(request) => (name(&request), about(&request), daemon.answer(request).await),
        Err(e) => {
            let why = format!("not a request of protocol {}: {e}", crate::api::protocol::VERSION);
            ("unknown", String::new(), Reply::Unsupported(why))
        }
    };
    if let Reply::Unavailable(line) | Reply::Unsupported(line) | Reply::Refused(line) = &reply {
        tracing::warn!(question, about, reason = line, "a request failed");
    }
    daemon.metrics.answered(question, outcome(&reply), begun.elapsed());
    reply
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Hello(_) => "hello",
        Request::Facts(_) => "facts",
        Request::Publish(_) => "publish",
        Request::Health { .. } => "health",
        Request::Lease(_) => "lease",
        Request::Cached {} => "cached",
        Request::Metrics {} => "metrics",
        Request::Pools(_) => "pools",
    }
}

/// What a request is about, for the log: the reason alone may not name it.
fn about(request: &Request) -> String {
    match request {
        Request::Facts(facts) => facts.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
        Request::Publish(sandbox) => sandbox.to_string(),
        Request::Lease(lease) => format!("pool {}", lease.pool),
        _ => String::new(),
    }
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Unsupported(_) => "unsupported",
        Reply::Unavailable(_) => "unavailable",
        Reply::Refused(_) => "refused",
        _ => "answered",
    }
}

/// The next line without its end; `None` when there is none.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let used = end.unwrap_or(chunk.len());
        if line.len() + used > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("a line longer than {MAX_LINE} bytes")));
        }
        line.extend_from_slice(&chunk[..used]);
        let consumed = used + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let long = vec![b'x'; MAX_LINE + 1];
        let mut reader = BufReader::new(long.as_slice());
        assert_eq!(read_line(&mut reader).await.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mut reader = BufReader::with_capacity(2, &b"abc\n\nd"[..]);
        assert_eq!(read_line(&mut reader).await.unwrap().unwrap(), b"abc");
        assert_eq!(read_line(&mut reader).await.unwrap().unwrap(), b"");
        assert_eq!(read_line(&mut reader).await.unwrap(), None);
    }
}
