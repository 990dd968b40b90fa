//! The machine, as far as rules look at it.

use super::judged::Machine;
use crate::sys::files;
use std::path::{Path, PathBuf};

const LINKS: &str = "/sys/class/net";

/// What is known of this machine, whose plugins are in `programs`.
pub fn look(programs: Vec<PathBuf>) -> Machine {
    let entries = files::entries(Path::new(LINKS)).into_iter().flatten();
    let bridge = |path: PathBuf| {
        let filtering = files::read_bounded(&path.join("bridge/vlan_filtering"), 16).ok()??;
        Some((path.file_name()?.to_str()?.to_owned(), filtering.trim() == "1"))
    };
    Machine { programs, bridges: entries.filter_map(|entry| bridge(entry.path())).collect() }
}
