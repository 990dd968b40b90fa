//! A daemon that answers, soon or late, is silent, lies, or cannot ask the API server.

use crate::op::{Daemon, NETWORKS};
use plexus::api::protocol::{Facts, Hello, Published, Reply};
use plexus::nad::{Definition, NadRef};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// After so many milliseconds a slow daemon answers, one after another. The plugin waits 300 for a network, and 100 for the
/// publication.
const DELAYS: [u64; 5] = [60, 120, 250, 320, 700];

/// Where the plugin looks for it.
const SOCKET: &str = "/run/plexus/daemon/plexusd.sock";

/// Its listener, and what it says.
pub struct Server {
    mood: Arc<Mutex<Daemon>>,
    listens: bool,
}

/// What a pod selects, as the daemon would know it: the test leaves it here.
pub const SELECTED: &str = "/run/node/selected";

impl Server {
    pub fn new() -> Self {
        Server { mood: Arc::new(Mutex::new(Daemon::Away)), listens: false }
    }

    pub fn become_(&mut self, mood: Daemon) {
        *self.mood.lock().unwrap() = mood;
        if mood == Daemon::Away {
            self.listens = false;
            // It may never have been there.
            let _ = fs::remove_file(SOCKET);
        } else if !self.listens {
            self.listens = true;
            fs::create_dir_all(Path::new(SOCKET).parent().unwrap()).unwrap();
            let _ = fs::remove_file(SOCKET);
            let listener = UnixListener::bind(SOCKET).unwrap();
            let mood = Arc::clone(&self.mood);
            // It ends with the test: nobody connects to a socket that has no name any more.
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let mood = *mood.lock().unwrap();
                    std::thread::spawn(move || serve(stream, mood));
                }
            });
        }
    }
}

fn serve(mut stream: UnixStream, mood: Daemon) {
    static SLOW: AtomicUsize = AtomicUsize::new(0);
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in lines {
        let Ok(line) = line else { return };
        if mood == Daemon::Slow {
            let delay = DELAYS[SLOW.fetch_add(1, Ordering::Relaxed) % DELAYS.len()];
            std::thread::sleep(Duration::from_millis(delay));
        }
        let text = match mood {
            Daemon::Silent | Daemon::Away => continue,
            Daemon::Lies => r#"{"facts":{"definitions":[{"nad":7}],"annotations":"#.to_owned(),
            Daemon::Answers | Daemon::Slow | Daemon::Unavailable => {
                serde_json::to_string(&answer(&line, mood == Daemon::Unavailable)).unwrap()
            }
        };
        if writeln!(stream, "{text}").is_err() {
            return;
        }
    }
}

fn answer(line: &str, is_unavailable: bool) -> Reply {
    let away = || "the API server does not answer".to_owned();
    if line.contains("\"hello\"") {
        Reply::Hello(Hello::from_program("plexusd"))
    } else if is_unavailable && line.contains("\"publish\"") {
        Reply::Published(Published::Retrying(away()))
    } else if is_unavailable {
        Reply::Unavailable(away())
    } else if line.contains("\"facts\"") {
        Reply::Facts(facts())
    } else {
        Reply::Unsupported("not here".to_owned())
    }
}

/// The annotation of the pod that is asked about; the definitions are on the node.
fn facts() -> Facts {
    let selected = fs::read_to_string(SELECTED).unwrap_or_default();
    let annotations = BTreeMap::from([(plexus::nad::NETWORKS.to_owned(), selected)]);
    let definitions = NETWORKS.iter().filter_map(|name| {
        let nad = NadRef::new("default", name).ok()?;
        let copy = fs::read_to_string(plexus::api::StateDirectory::default().network(&nad)).ok()?;
        serde_json::from_str::<Definition>(&copy).ok()
    });
    Facts { annotations: Some(annotations), definitions: definitions.collect(), ..Facts::default() }
}
