//! What is left of a sandbox: not in Multus' cache, but on the node.

use super::support::{Pod, kernel};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Where plugins keep what they have made.
const KEPT: &str = "/var/lib/cni";
/// Multus' own cache: what is left there harms nobody.
pub const CACHE: &str = "/var/lib/cni/multus";

/// What is left of a sandbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// On the machine and in the sandbox.
    pub interfaces: Vec<String>,
    /// Files that name the sandbox: leases.
    pub addresses: Vec<PathBuf>,
}

impl Left {
    /// What is left of `pod`, the only one.
    pub fn of(pod: &Pod) -> Left {
        let mut interfaces: Vec<String> =
            kernel::host_links().into_iter().filter(|link| link.starts_with("veth")).collect();
        if pod.netns.exists() {
            interfaces.extend(kernel::links(&pod.netns));
        }
        let is_of_pod = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&pod.id));
        let kept = files(Path::new(KEPT)).into_iter().filter(|path| !path.starts_with(CACHE));
        Left { interfaces, addresses: kept.filter(is_of_pod).collect() }
    }

    pub fn is_nothing(&self) -> bool {
        *self == Left::default()
    }
}

/// The interfaces on the machine are the other ends of those in the sandbox.
impl fmt::Display for Left {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_sandbox = self.interfaces.iter().filter(|name| !name.starts_with("veth")).count();
        let links = if in_sandbox > 0 { in_sandbox } else { self.interfaces.len() };
        let counted = [(links, "interface", "interfaces"), (self.addresses.len(), "address", "addresses")];
        let some = counted.into_iter().filter(|(count, ..)| *count > 0);
        let words: Vec<String> =
            some.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
        to.write_str(if words.is_empty() { "nothing".to_owned() } else { words.join(" and ") }.as_str())
    }
}

/// The files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// All that a call may change which is no interface.
pub fn contents() -> BTreeMap<PathBuf, String> {
    files(Path::new(KEPT)).into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}
