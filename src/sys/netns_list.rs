//! Every network namespace of the machine.

use super::netns::{Error, Netns};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where runtimes keep the files of namespaces that no process need be in.
const FOLDERS: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// The namespaces that a process is in or a runtime keeps a file of, each once.
///
/// # Errors
/// One that is there cannot be looked at, so that the list would not be whole.
pub fn every() -> Result<Vec<Netns>, Error> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for path in processes()?.into_iter().chain(FOLDERS.iter().flat_map(|folder| files(Path::new(folder)))) {
        // What ends while we look has nothing any more.
        let Ok(file) = fs::metadata(&path) else { continue };
        if !seen.insert((file.dev(), file.ino())) {
            continue;
        }
        match Netns::open(&path) {
            Ok(netns) => all.push(netns),
            Err(Error::Missing { .. } | Error::NotANamespace { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

fn processes() -> Result<Vec<PathBuf>, Error> {
    let failed = |source: io::Error| Error::Io { what: "list", path: PathBuf::from("/proc"), source };
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let entries = fs::read_dir("/proc").map_err(failed)?.flatten();
    Ok(entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_process))
        .map(|entry| entry.path().join("ns/net"))
        .collect())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_among_them_once() {
        let all = every().unwrap();
        assert_eq!(all.iter().filter(|netns| netns.is_at(Path::new("/proc/self/ns/net"))).count(), 1);
    }
}
