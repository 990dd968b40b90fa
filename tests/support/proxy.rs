//! A wire to a server that can be cut in silence, or is long: what is connected when it is cut gets nothing any more, and is not
//! told; on a long one each answer comes later.

use nix::sched::{CloneFlags, setns};
use plexus::sys::netns::Netns;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The wire; it listens on the address of its server for as long as the test runs.
pub struct Proxy {
    pub address: SocketAddr,
    /// Connections of an earlier age are dead.
    age: Arc<AtomicUsize>,
}

impl Proxy {
    pub fn start(server: SocketAddr) -> Proxy {
        Proxy::late(server, Duration::ZERO)
    }

    /// What the server sends comes so much later.
    pub fn late(server: SocketAddr, delay: Duration) -> Proxy {
        Proxy::between(SocketAddr::new(server.ip(), 0), server, delay, || ())
    }

    /// On the calling thread's machine the server of `home` has the same address from now on.
    pub fn into_node(server: SocketAddr, home: &Netns) -> Proxy {
        let home = home.as_fd().try_clone_to_owned().unwrap();
        Proxy::between(server, server, Duration::ZERO, move || setns(&home, CloneFlags::CLONE_NEWNET).unwrap())
    }

    /// `enter` is called by the thread that connects to the server.
    fn between(
        address: SocketAddr,
        server: SocketAddr,
        delay: Duration,
        enter: impl FnOnce() + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind(address).unwrap();
        let (address, age) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let now = Arc::clone(&age);
        std::thread::spawn(move || {
            enter();
            for inside in listener.incoming().map_while(Result::ok) {
                let Ok(outside) = TcpStream::connect(server) else { continue };
                let born = now.load(Ordering::SeqCst);
                for (from, to, delay) in [(&inside, &outside, Duration::ZERO), (&outside, &inside, delay)] {
                    let (from, to, now) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&now));
                    std::thread::spawn(move || carry(from, to, delay, &now, born));
                }
            }
        });
        Proxy { address, age }
    }

    /// What is connected now is dead from now on.
    pub fn cut(&self) {
        self.age.fetch_add(1, Ordering::SeqCst);
    }

    /// Writes `kubeconfig`, which names the server at `url`, to `path` with this wire instead.
    pub fn kubeconfig(&self, kubeconfig: &Path, url: &str, path: PathBuf) -> PathBuf {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        std::fs::write(&path, text.replace(url, &format!("https://{}", self.address))).unwrap();
        path
    }
}

/// Bytes wait on their way, and not one after another: a wire is long, and not narrow.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration, now: &AtomicUsize, born: usize) {
    let (sent, arriving) = channel::<(Instant, Vec<u8>)>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (at, bytes) in arriving {
                std::thread::sleep((at + delay).saturating_duration_since(Instant::now()));
                // Read and thrown away: the other side is not told.
                if now.load(Ordering::SeqCst) == born && to.write_all(&bytes).is_err() {
                    break;
                }
            }
            if now.load(Ordering::SeqCst) == born {
                let _ = to.shutdown(Shutdown::Write);
            }
        });
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if sent.send((Instant::now(), bytes[..count].to_vec())).is_err() {
                break;
            }
        }
        drop(sent);
    });
}
