//! A wire to a server that can be cut in silence: what is connected then gets nothing any more, and is not told.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The wire; it listens on the address of its server, on another port, for as long as the test runs.
pub struct Proxy {
    pub address: SocketAddr,
    /// Connections of an earlier age are dead.
    age: Arc<AtomicUsize>,
}

impl Proxy {
    pub fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((server.ip(), 0)).unwrap();
        let (address, age) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let now = Arc::clone(&age);
        std::thread::spawn(move || {
            for inside in listener.incoming().map_while(Result::ok) {
                let Ok(outside) = TcpStream::connect(server) else { continue };
                let born = now.load(Ordering::SeqCst);
                for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                    let (from, to, now) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&now));
                    std::thread::spawn(move || carry(from, to, &now, born));
                }
            }
        });
        Proxy { address, age }
    }

    /// What is connected now is dead from now on.
    pub fn cut(&self) {
        self.age.fetch_add(1, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, now: &AtomicUsize, born: usize) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        // Read and thrown away: the other side is not told.
        if now.load(Ordering::SeqCst) == born && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    if now.load(Ordering::SeqCst) == born {
        let _ = to.shutdown(Shutdown::Write);
    }
}
