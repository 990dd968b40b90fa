//! Where a path leads, by whatever links and mounts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found on the way to several locations: each folder is asked for once.
#[derive(Debug, Default)]
pub struct Landmarks {
    identities: RefCell<HashMap<PathBuf, Option<(u64, u64)>>>,
    real: RefCell<HashMap<PathBuf, PathBuf>>,
}

impl Landmarks {
    /// Device and inode of what is at `path`.
    fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        if let Some(known) = self.identities.borrow().get(path) {
            return *known;
        }
        let found = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        self.identities.borrow_mut().insert(path.to_owned(), found);
        found
    }

    /// `path`, which is there, without links.
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return fs::canonicalize(path) };
        if fs::symlink_metadata(path)?.is_symlink() {
            return fs::canonicalize(path);
        }
        if let Some(known) = self.real.borrow().get(above) {
            return Ok(known.join(name));
        }
        let real = fs::canonicalize(above)?;
        let whole = real.join(name);
        self.real.borrow_mut().insert(above.to_owned(), real);
        Ok(whole)
    }
}

/// Where a path leads, by whatever links and mounts. What is missing of it counts as it is written.
#[derive(Debug)]
pub struct Location<'l> {
    landmarks: &'l Landmarks,
    written: PathBuf,
    real: PathBuf,
    /// The folder itself, as far as it is there, and all above it.
    above: Vec<(u64, u64)>,
}

impl<'l> Location<'l> {
    /// Where `path` leads.
    ///
    /// # Errors
    /// A part of it is there and leads nowhere.
    pub fn of(path: &Path, landmarks: &'l Landmarks) -> io::Result<Self> {
        let written = std::path::absolute(path)?;
        let (part, there) = existing(&written, landmarks);
        let there = there?;
        let above = there.ancestors().filter_map(|folder| landmarks.identity(folder)).collect();
        let real = there.join(written.strip_prefix(part).unwrap_or(Path::new("")));
        Ok(Location { landmarks, real, above, written })
    }

    /// The path without links.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// The first of `folders` that it is, or is in.
    pub fn lies_in<'a>(&self, folders: &[&'a Path]) -> Option<&'a Path> {
        let contains = |folder: &&&Path| {
            self.written.starts_with(folder)
                || self.landmarks.identity(folder).is_some_and(|own| self.above.contains(&own))
        };
        folders.iter().find(contains).copied()
    }
}

/// The part of `path`, which is absolute, that is there, and the same without links.
fn existing<'p>(path: &'p Path, landmarks: &Landmarks) -> (&'p Path, io::Result<PathBuf>) {
    let there = |part: &&Path| fs::symlink_metadata(part).is_ok();
    let part = match landmarks.real(path) {
        Ok(real) => return (path, Ok(real)),
        Err(_) => path.ancestors().find(there).unwrap_or(Path::new("/")),
    };
    (part, fs::canonicalize(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_found_by_every_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        fs::create_dir_all(own.join("in")).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        std::os::unix::fs::symlink(own.join("missing"), folder.path().join("nowhere")).unwrap();
        let landmarks = Landmarks::default();
        let lies =
            |path: &str| Location::of(&folder.path().join(path), &landmarks).map(|at| at.lies_in(&[&own]).is_some());
        for (path, is_own) in [
            ("own", true),
            ("own/in/pool", true),
            ("link/in", true),
            ("link/new/pool", true),
            ("new/own", false),
            ("", false),
        ] {
            assert_eq!(lies(path).unwrap(), is_own, "{path}");
        }
        assert!(lies("nowhere/pool").is_err());
        let missing = folder.path().join("not/yet");
        assert!(Location::of(&missing.join("pool"), &landmarks).unwrap().lies_in(&[&missing]).is_some());
    }
}
