//! The answer to other probes: who this is, and enough data to fill packets of the largest size.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What a probe begins with, and what it is answered, before the name.
pub const GREETING: &str = "plexus-probe 1";
/// So much data follows the answer: a network that loses large packets lets connections through, and no data.
pub const BULK: usize = 64 << 10;
/// So many are answered at a time.
const AT_ONCE: usize = 64;
/// How long another probe may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers everybody, for as long as the process lives.
pub fn serve(listener: &TcpListener, name: &str) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Too many descriptors: those that are open end within their time.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (name, counted) = (name.to_owned(), open.clone());
        let work = move || {
            // A probe that goes away has its own reason.
            let _ = answer(stream, &name);
            counted.fetch_sub(1, Ordering::Relaxed);
        };
        if thread::Builder::new().name("answer".to_owned()).spawn(work).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut greeting = [0; GREETING.len() + 1];
    stream.read_exact(&mut greeting)?;
    if greeting != format!("{GREETING}\n").as_bytes() {
        return Ok(());
    }
    let mut answer = format!("{GREETING} {name}\n").into_bytes();
    answer.resize(answer.len() + BULK, b'.');
    stream.write_all(&answer)?;
    stream.shutdown(Shutdown::Write)?;
    // The other one closes, once it has everything.
    stream.read(&mut [0; 1]).map(drop)
}
