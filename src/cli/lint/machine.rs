//! The machine, as far as rules look at it.

use super::judged::Machine;
use crate::sys::files;
use std::path::{Path, PathBuf};

const LINKS: &str = "/sys/class/net";
/// A flag or a number.
const MAX_VALUE: usize = 16;

/// What is known of this machine, whose plugins are in `programs`.
pub fn look(programs: Vec<PathBuf>) -> Machine {
    let links = files::entries(Path::new(LINKS)).into_iter().flatten().map(|entry| entry.path());
    let mut machine = Machine { programs, ..Machine::default() };
    for link in links {
        let Some(name) = link.file_name().and_then(|name| name.to_str()) else { continue };
        let value = |file: &str| files::read_bounded(&link.join(file), MAX_VALUE).ok().flatten();
        if let Some(filtering) = value("bridge/vlan_filtering") {
            machine.bridges.insert(name.to_owned(), filtering.trim() == "1");
        }
        if let Some(mtu) = value("mtu").and_then(|mtu| mtu.trim().parse().ok()) {
            machine.mtus.insert(name.to_owned(), mtu);
        }
    }
    machine
}
