//! The part of a report that a node has: its files, and what the commands of a node print.

use crate::api::protocol::{Reply, Request};
use crate::api::{RunDirectory, StateDirectory};
use crate::cli::Error;
use crate::cli::directories::NodeDirectories;
use crate::cli::output::Output;
use crate::cli::report::archive::Archive;
use crate::cli::report::own;
use crate::facts::Client;
use crate::sys::files;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest file.
const MAX_FILE: usize = 4 << 20;
/// So many files of a directory.
const MOST: usize = 4096;
/// Where the manifests let the daemon serve its metrics.
const METRICS: &str = "127.0.0.1:9472";
/// How long that may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The commands of a node: the name of the file, and the words.
const COMMANDS: [(&str, &[&str]); 9] = [
    ("version.json", &["version", "-o", "json"]),
    ("doctor.json", &["doctor", "-o", "json"]),
    ("get.json", &["get", "-o", "json"]),
    ("health.json", &["health", "--verbose", "-o", "json"]),
    ("natives.json", &["natives", "-o", "json"]),
    ("gc.json", &["gc", "--dry-run", "-o", "json"]),
    ("ipam-show.json", &["ipam", "show", "-o", "json"]),
    ("ipam-leases.json", &["ipam", "leases", "-o", "json"]),
    ("ipam-check.json", &["ipam", "check", "-o", "json"]),
];

/// Adds everything of this node.
///
/// # Errors
/// Another user could have written the configuration.
pub fn collect(directories: &NodeDirectories, archive: &mut Archive, output: &Output) -> Result<(), Error> {
    let (state, run) = (directories.state()?, directories.run()?);
    let conf = directories.runtime.cni_conf_dir.display().to_string();
    let bin = directories.runtime.cni_bin_dir.display().to_string();
    let (state_path, run_path) = (state.path().display().to_string(), run.path().display().to_string());
    for (name, words) in COMMANDS {
        output.progress(&format!("plexusctl {} …", words[0]));
        let more: &[&str] = match words[0] {
            "version" => &[],
            "doctor" => &[
                "--cni-conf-dir",
                &conf,
                "--cni-bin-dir",
                &bin,
                "--state-directory",
                &state_path,
                "--run-directory",
                &run_path,
            ],
            "health" | "ipam" => {
                &["--cni-conf-dir", &conf, "--state-directory", &state_path, "--run-directory", &run_path]
            }
            "gc" => &["--cni-conf-dir", &conf],
            _ => &["--cni-conf-dir", &conf, "--state-directory", &state_path],
        };
        own::run(name, &[words, more].concat(), archive);
    }
    output.progress("files …");
    folder(&directories.runtime.cni_conf_dir, "net.d", archive);
    names(&directories.runtime.cni_bin_dir, "plugins.txt", archive);
    of_state(&state, archive);
    of_run(&run, archive);
    file(Path::new("/proc/version"), "kernel.txt", archive);
    file(Path::new("/proc/net/dev"), "interfaces.txt", archive);
    match metrics(&run) {
        Ok(text) => archive.add("metrics.txt", &text),
        Err(why) => archive.add("metrics.txt.log", &format!("{why}\n")),
    }
    Ok(())
}

fn of_state(state: &StateDirectory, archive: &mut Archive) {
    folder(&state.sandboxes(), "state/sandboxes", archive);
    folder(&state.damaged(), "state/damaged", archive);
    folder(&state.networks(), "state/networks", archive);
    file(&state.default_network(), "state/default-network.json", archive);
    names(state.path(), "state/names.txt", archive);
}

fn of_run(run: &RunDirectory, archive: &mut Archive) {
    folder(&run.unpublished(), "run/unpublished", archive);
    folder(&run.networks(), "run/networks", archive);
    for (path, name) in [(run.grants(), "run/grants"), (run.reports(), "run/ipam")] {
        // Where no pool was ever used there is none.
        if path.exists() {
            folder(&path, name, archive);
        }
    }
    file(&run.keeping(), "run/keeping.json", archive);
    file(&run.done(), "run/done.json", archive);
    file(&run.sweep_log(), "run/sweep.log", archive);
    names(run.path(), "run/names.txt", archive);
    names(&run.due(), "run/due.txt", archive);
}

/// The file at `path`, as `name`. One that is missing is left out; why another cannot be read is a file of its own.
fn file(path: &Path, name: &str, archive: &mut Archive) {
    match files::read_bytes_bounded(path, MAX_FILE) {
        Ok(Some(bytes)) => archive.add(name, &String::from_utf8_lossy(&bytes)),
        Ok(None) => {}
        Err(e) => archive.add(&format!("{name}.log"), &format!("{} cannot be read: {e}\n", path.display())),
    }
}

/// The files in `path`, below `name`.
fn folder(path: &Path, name: &str, archive: &mut Archive) {
    let entries = match files::entries(path) {
        Ok(entries) => entries,
        Err(e) => return archive.add(&format!("{name}.log"), &format!("{} cannot be read: {e}\n", path.display())),
    };
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    if paths.len() > MOST {
        archive.add(&format!("{name}.log"), &format!("{} of {} files are in this report\n", MOST, paths.len()));
    }
    for path in paths.iter().take(MOST) {
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        // The credentials of another agent, such as those of Multus.
        if own.ends_with(".kubeconfig") {
            archive.add(&format!("{name}/{own}.log"), "a kubeconfig is not a part of a report\n");
            continue;
        }
        file(path, &format!("{name}/{own}"), archive);
    }
}

fn names(path: &Path, name: &str, archive: &mut Archive) {
    let Ok(entries) = files::entries(path) else { return };
    let mut names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    archive.add(name, &names.iter().map(|name| format!("{name}\n")).collect::<String>());
}

/// What the daemon counts, by its socket: its address may be any, and may ask for a token. A daemon of a former release
/// answers only there.
fn metrics(run: &RunDirectory) -> Result<String, String> {
    let asked = Client::connect(run, Instant::now() + ANSWER_LIMIT)
        .and_then(|mut client| client.ask(&Request::Metrics {}))
        .map_err(|e| e.to_string());
    let why = match asked {
        Ok(Reply::Metrics(text)) => return Ok(text),
        Ok(other) => format!("plexusd answered another question ({})", other.kind()),
        Err(why) => why,
    };
    served().map_err(|e| format!("{why}; http://{METRICS}/metrics: {e}"))
}

/// What it serves, where it does without TLS.
fn served() -> io::Result<String> {
    let address: SocketAddr = METRICS.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.take(MAX_FILE as u64).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("it is not an answer in HTTP"))?;
    let first = head.lines().next().unwrap_or_default();
    if first.contains(" 200 ") { Ok(body.to_owned()) } else { Err(io::Error::other(first.to_owned())) }
}
