//! What installs Multus is killed before each change: the installer of the thin one, and the daemon of the thick one, which
//! writes the runtime's file itself.

use super::kills::{Kill, before_each};
use super::multus::{Multus, default_network};
use super::support::changes::Changes;
use super::support::{eventually, node};
use super::table::Table;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub fn all(multus: &mut Multus, table: &mut Table) {
    if multus.is_thick() {
        let (torn, tried) = before_each(1, |number| daemon_killed(multus, number));
        table.tell_kills(multus.side, "kill install, file torn", torn, tried);
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

/// Whether the file was written since it was as `before`.
fn is_new(file: &Path, before: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text != before) && is_whole(file)
}

/// The daemon is killed while it starts: is the runtime's file whole before the next one starts?
fn daemon_killed(multus: &mut Multus, number: usize) -> Kill {
    multus.end_daemon();
    let head = multus.thick.head_file();
    // As of a default network of another name, so that it can be seen when it is written.
    let before = fs::read_to_string(&head).unwrap().replace("multus-cni-network", "another");
    fs::write(&head, &before).unwrap();
    let mut changes = None;
    multus.thick.spawn_daemon(|command| changes = Some(Changes::of(command, number)));
    let mut is_written = false;
    eventually("the daemon to start, or to end", || {
        is_written = is_new(&head, &before);
        is_written || multus.thick.has_ended()
    });
    let is_torn = !is_whole(&head);
    multus.thick.end_daemon();
    drop(changes.map(Changes::seen));
    multus.restart_daemon();
    match (is_written, is_torn) {
        (true, _) => Kill::NotReached,
        (false, true) => Kill::Left,
        (false, false) => Kill::Clean,
    }
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
