//! A daemon that answers, is silent, or lies.

use crate::op::{Daemon, NETWORKS};
use plexus::api::protocol::{Facts, Hello, Reply};
use plexus::nad::{Definition, NadRef};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

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
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for (number, line) in lines.enumerate() {
        let Ok(line) = line else { return };
        let text = match (mood, number) {
            (Daemon::Silent | Daemon::Away, _) => continue,
            (Daemon::Lies, _) => r#"{"facts":{"definitions":[{"nad":7}],"annotations":"#.to_owned(),
            (Daemon::Answers, 0) => serde_json::to_string(&Reply::Hello(Hello::from_program("plexusd"))).unwrap(),
            (Daemon::Answers, _) if line.contains("\"facts\"") => {
                serde_json::to_string(&Reply::Facts(facts())).unwrap()
            }
            (Daemon::Answers, _) => serde_json::to_string(&Reply::Unsupported("not here".to_owned())).unwrap(),
        };
        if writeln!(stream, "{text}").is_err() {
            return;
        }
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
