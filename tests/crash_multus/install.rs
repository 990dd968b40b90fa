//! What installs Multus is killed: the installer of the thin one before each change, and the daemon of the thick one, which
//! writes the runtime's file itself, while it does that.

use super::kills::{Kill, before_each};
use super::multus::{Multus, default_network};
use super::support::changes::Changes;
use super::support::{eventually, node};
use super::table::Table;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub fn all(multus: &mut Multus, table: &mut Table) {
    if multus.is_thick() {
        table.tell(multus.side, "kill install, file", &daemon_killed(multus));
        return;
    }
    let mut torn = 0;
    let (copies, tried) = before_each(1, |number| installer_killed(multus, number, &mut torn));
    table.tell_kills(multus.side, "kill install, copy left", copies, tried);
    table.tell_kills(multus.side, "kill install, file torn", torn, tried);
}

/// Whether the runtime can read the file; it need not be there.
fn is_whole(file: &Path) -> bool {
    fs::read_to_string(file).map_or(true, |text| serde_json::from_str::<Value>(&text).is_ok())
}

/// The daemon is killed before its next change once the runtime's file is not whole, if it ever is.
fn daemon_killed(multus: &mut Multus) -> String {
    multus.end_daemon();
    let head = multus.thick.head_file();
    let before = fs::read_to_string(&head).unwrap().replace("multus-cni-network", "another");
    fs::write(&head, &before).unwrap();
    let (mut changes, watched) = (None, head.clone());
    multus.thick.spawn_daemon(|command| {
        changes = Some(Changes::watched(command, move |change| {
            if !is_whole(&watched) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(change.command), Signal::SIGKILL);
            }
        }));
    });
    let is_written = || fs::read_to_string(&head).is_ok_and(|text| text != before) && is_whole(&head);
    eventually("the daemon to start, or to end", || multus.thick.has_ended() || is_written());
    let length = fs::metadata(&head).unwrap().len();
    let outcome = if is_whole(&head) { "a whole file".to_owned() } else { format!("a file of {length} bytes") };
    multus.thick.end_daemon();
    drop(changes.map(Changes::seen));
    multus.restart_daemon();
    outcome
}

/// The installer is killed, and starts again. The default network's file is shorter by then.
fn installer_killed(multus: &mut Multus, number: usize, torn: &mut usize) -> Kill {
    let head = multus.thick.thin_head_file();
    let primary = multus.thick.node.primary_file().with_extension("conf");
    multus.thick.end_daemon();
    fs::remove_file(&head).unwrap();
    let mut changes = None;
    // What it copies is short, so that no more than one write is of it.
    let program = Path::new(node::FOLDER).join("program");
    node::write(&program, "a program");
    multus.thick.spawn_installer(|command| {
        command.arg("--multus-bin-file").arg(&program);
        changes = Some(Changes::of(command, number));
    });
    eventually("the installer to be done, or to end", || head.exists() || multus.thick.has_ended());
    multus.thick.end_daemon();
    let is_reached = changes.map_or(0, |changes| changes.seen().len()) >= number;
    let mut is_torn = !is_whole(&head);
    let mut shorter = default_network("b", "10.1.0.0/24");
    shorter.as_object_mut().unwrap().remove("isGateway");
    node::write(&primary, &shorter.to_string());
    let before = fs::read_to_string(&head).unwrap_or_default();
    multus.thick.spawn_installer(|command| _ = command.arg("--multus-bin-file").arg(&program));
    let is_written = || fs::read_to_string(&head).is_ok_and(|text| text != before);
    eventually("the installer to be done", is_written);
    is_torn |= !is_whole(&head);
    node::write(&primary, &default_network("br0", "10.1.0.0/24").to_string());
    multus.thick.end_daemon();
    let copies = copies(&multus.thick.node.bin());
    copies.iter().for_each(|copy| fs::remove_file(copy).unwrap());
    fs::remove_file(&head).unwrap();
    multus.thick.become_thin();
    *torn += usize::from(is_reached && is_torn);
    match is_reached {
        false => Kill::NotReached,
        true if copies.is_empty() => Kill::Clean,
        true => Kill::Left,
    }
}

/// What was copied in part only.
fn copies(bin: &Path) -> Vec<PathBuf> {
    let is_copy = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("_multus"));
    fs::read_dir(bin).unwrap().map(|entry| entry.unwrap().path()).filter(is_copy).collect()
}
