//! The kubelet's pod-resources socket, passed on byte by byte.
//!
//! The kubelet gives the socket to root alone, and the daemon is not root. What is asked there only reads, so whoever
//! may connect here may ask everything. We understand nothing of what we pass on.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// More connections at a time are closed: the daemon asks one question at a time.
const MOST: usize = 16;
/// The longest that a connection may last; the daemon waits two seconds for its answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(5);
/// How long a side may be silent before the end is looked at.
const SILENCE: Duration = Duration::from_secs(1);
/// How long to wait when a connection cannot be accepted.
const BREATHE: Duration = Duration::from_millis(100);
/// What is passed on at a time.
const PIECE: usize = 16 << 10;

/// A socket of ours that leads to the kubelet's.
#[derive(Debug)]
pub struct Relay {
    listener: UnixListener,
    to: PathBuf,
}

impl Relay {
    /// Opens the socket at `path`, for root and for the group of its folder, in the place of an older one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path, to: PathBuf) -> io::Result<Self> {
        let temporary = path.with_extension("new");
        // Left by a keeper that was killed in this place.
        crate::sys::files::remove(&temporary)?;
        let listener = UnixListener::bind(&temporary)?;
        let opened = std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o660))
            .and_then(|()| std::fs::rename(&temporary, path));
        if opened.is_err() {
            // Best effort: the error that matters is the one above.
            let _ = crate::sys::files::remove(&temporary);
        }
        opened.map(|()| Relay { listener, to })
    }

    /// Passes on what is asked, for ever.
    pub fn serve(&self) {
        let open = Arc::new(());
        loop {
            let Ok((ours, _)) = self.listener.accept() else {
                thread::sleep(BREATHE);
                continue;
            };
            if Arc::strong_count(&open) > MOST {
                continue;
            }
            let (place, to) = (Arc::clone(&open), self.to.clone());
            let begun = thread::Builder::new().name("relay".to_owned()).spawn(move || {
                let _place = place;
                // A connection that breaks is told to the daemon by its end, which names the kubelet.
                let _ = pass_on(ours, &to);
            });
            if begun.is_err() {
                thread::sleep(BREATHE);
            }
        }
    }
}

fn pass_on(ours: UnixStream, to: &Path) -> io::Result<()> {
    let theirs = UnixStream::connect(to)?;
    let end = Instant::now() + CONNECTION_LIMIT;
    for side in [&ours, &theirs] {
        side.set_read_timeout(Some(SILENCE))?;
        side.set_write_timeout(Some(SILENCE))?;
    }
    let (from, back) = (ours.try_clone()?, theirs.try_clone()?);
    let asking = thread::Builder::new().name("relay".to_owned()).spawn(move || copy(from, back, end))?;
    copy(theirs, ours, end);
    // It ends with the sockets, which the other direction has shut down.
    let _ = asking.join();
    Ok(())
}

/// Copies until one side ends or `end` has come, and then lets neither wait for the other.
fn copy(mut from: UnixStream, mut to: UnixStream, end: Instant) {
    let mut piece = [0; PIECE];
    while Instant::now() < end {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) if to.write_all(&piece[..length]).is_ok() => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => break,
        }
    }
    // Best effort: a side that is gone already needs none of it.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    /// A kubelet that says everything twice.
    fn kubelet(path: &Path) {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut piece = [0; 100];
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    stream.write_all(&piece[..length].repeat(2)).unwrap();
                }
            }
        });
    }

    fn ask(path: &Path) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(path)?;
        stream.write_all(b"abc")?;
        let mut answer = vec![0; 6];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn what_is_said_arrives_and_a_kubelet_that_is_away_is_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("relay.sock"), folder.path().join("kubelet.sock"));
        // An older keeper's.
        drop(UnixListener::bind(&path).unwrap());
        let relay = Relay::open(&path, to.clone()).unwrap();
        thread::spawn(move || relay.serve());
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o660);
        assert!(ask(&path).is_err());
        kubelet(&to);
        for _ in 0..2 * MOST {
            assert_eq!(ask(&path).unwrap(), b"abcabc");
        }
    }

    #[test]
    fn one_who_only_holds_connections_is_closed_and_keeps_nobody_out_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("relay.sock"), folder.path().join("kubelet.sock"));
        kubelet(&to);
        let relay = Relay::open(&path, to).unwrap();
        thread::spawn(move || relay.serve());
        let held: Vec<UnixStream> = (0..3 * MOST).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let begun = Instant::now();
        while ask(&path).is_err() {
            assert!(begun.elapsed() < 3 * CONNECTION_LIMIT);
            thread::sleep(BREATHE);
        }
        drop(held);
    }
}
