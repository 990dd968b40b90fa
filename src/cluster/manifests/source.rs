//! The cluster as a folder of ordinary manifests: for a machine without Kubernetes, for the demo and for tests.

use crate::cluster::cache::Cache;
use crate::cluster::manifests::manifest;
use crate::cluster::manifests::manifest::{ManifestError, Objects};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A longer file is passed over.
const MAX_FILE: usize = 64 << 20;

/// The folder, and what was read of it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    cache: Arc<Cache>,
    files: Mutex<BTreeMap<PathBuf, ReadFile>>,
    /// Why the folder itself cannot be read now.
    error: Mutex<Option<String>>,
}

#[derive(Debug)]
struct ReadFile {
    stamp: Stamp,
    /// What the file contains, or contained when it could be read last.
    objects: Objects,
    /// Why it cannot be read now.
    error: Option<String>,
}

/// When a file is the same file with the same content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Directory {
    /// The folder at `path`, which fills `cache`.
    pub fn new(path: PathBuf, cache: Arc<Cache>) -> Self {
        Directory { path, cache, files: Mutex::default(), error: Mutex::default() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that cannot be read now, each with the reason.
    pub fn unreadable(&self) -> Vec<String> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = files.iter().filter_map(|(path, file)| Some((path, file.error.as_ref()?)));
        errors.map(|(path, error)| format!("{}: {error}", path.display())).collect()
    }

    /// Why the folder itself cannot be read now.
    pub fn error(&self) -> Option<String> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.as_ref().map(|error| format!("{}: {error}", self.path.display()))
    }

    fn note(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Reads what has changed since the last call. Without a change it costs one `stat` a file, so every
    /// question can begin with it.
    pub fn refresh(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match stamps(&self.path) {
            Ok(found) => {
                self.note(None);
                let read = self.read_changed(&mut files, found);
                // The folder can be read again, and nothing in it has changed.
                let recovered = !self.cache.confirmed() && is_whole(&files);
                if read || recovered || !self.cache.definitions_synced() {
                    self.fill(&files);
                }
            }
            Err(e) => {
                // What is known stays known: a folder that vanishes is not a cluster without networks.
                if self.cache.confirmed() || !self.cache.definitions_synced() {
                    tracing::warn!(folder = %self.path.display(), error = %e, "cannot read the source directory");
                }
                self.note(Some(e.to_string()));
                self.cache.set_confirmed(false);
            }
        }
    }

    /// Reads the files of `found` that differ from `files`; whether there were any.
    fn read_changed(&self, files: &mut BTreeMap<PathBuf, ReadFile>, found: BTreeMap<PathBuf, Stamp>) -> bool {
        let before = files.len();
        files.retain(|path, _| found.contains_key(path));
        let mut changed = files.len() != before;
        for (path, stamp) in found {
            if files.get(&path).is_some_and(|file| file.stamp == stamp) {
                continue;
            }
            changed = true;
            match read_file(&path) {
                Ok(objects) => drop(files.insert(path, ReadFile { stamp, objects, error: None })),
                Err(e) => {
                    let error = e.to_string();
                    tracing::error!(file = %path.display(), error, "cannot read a manifest; its previous content stays in use");
                    // The stamp is kept, so that this is logged once for each change.
                    let file = files.entry(path).or_insert_with(|| ReadFile {
                        stamp,
                        objects: Objects::default(),
                        error: None,
                    });
                    (file.stamp, file.error) = (stamp, Some(error));
                }
            }
        }
        changed
    }

    /// Makes the cache say what the files say; of an object in two files, the later file's.
    fn fill(&self, files: &BTreeMap<PathBuf, ReadFile>) {
        let (mut definitions, mut pods) = (BTreeMap::new(), BTreeMap::new());
        for objects in files.values().map(|file| &file.objects) {
            definitions.extend(objects.definitions.iter().map(|definition| (&definition.nad, definition)));
            pods.extend(objects.pods.iter().map(|(name, pod)| (name, pod)));
        }
        for definition in definitions.values() {
            self.cache.put_definition(Arc::clone(definition));
        }
        for (name, pod) in &pods {
            self.cache.put_pod((*name).clone(), (*pod).clone());
        }
        // What a file that cannot be read contains is not known: a network that is in no other file is not gone.
        let seen = definitions.into_keys().cloned().collect::<HashSet<_>>();
        self.cache.definitions_are_at_least(&seen, is_whole(files));
        self.cache.pods_are(&pods.into_keys().cloned().collect::<HashSet<_>>());
    }
}

/// Whether all of `files` could be read.
fn is_whole(files: &BTreeMap<PathBuf, ReadFile>) -> bool {
    files.values().all(|file| file.error.is_none())
}

/// The manifests in `folder`; sub-folders and hidden files are passed over.
fn stamps(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut stamps = BTreeMap::new();
    for entry in crate::sys::files::entries(folder)? {
        let path = entry.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let manifest = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
        if hidden || !manifest {
            continue;
        }
        let stamp = match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => continue,
            Ok(metadata) => Stamp {
                inode: metadata.ino(),
                size: metadata.size(),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            // It vanished between the two calls.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // The attempt to read it gives the reason.
            Err(_) => Stamp::default(),
        };
        stamps.insert(path, stamp);
    }
    Ok(stamps)
}

fn read_file(path: &Path) -> Result<Objects, ManifestError> {
    let bytes = crate::sys::files::read_bytes_bounded(path, MAX_FILE)?.unwrap_or_default();
    manifest::read(&manifest::text(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nad::NadRef;

    #[test]
    fn the_cache_follows_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::default());
        let directory = Directory::new(folder.path().join("later"), Arc::clone(&cache));
        directory.refresh();
        assert!(!cache.definitions_synced());

        fs::create_dir(directory.path()).unwrap();
        let nad = |name: &str| {
            format!("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\n")
        };
        let file = directory.path().join("x.yaml");
        fs::write(&file, nad("a")).unwrap();
        fs::write(directory.path().join(".hidden.yaml"), "a: [").unwrap();
        directory.refresh();
        assert!(cache.definitions_synced() && cache.confirmed());
        assert!(cache.definition(&NadRef::new("default", "a").unwrap()).is_some());

        // Half a file: what was known stays, other files are read, and the file is named.
        fs::write(&file, "a: [").unwrap();
        let beside = directory.path().join("y.yaml");
        fs::write(&beside, nad("b")).unwrap();
        directory.refresh();
        assert!(cache.sizes() == (2, 0) && cache.definitions_synced() && !cache.confirmed());
        let unreadable = directory.unreadable();
        assert!(unreadable.len() == 1 && unreadable[0].contains("x.yaml: "), "{unreadable:?}");
        fs::write(&file, nad("other")).unwrap();
        fs::remove_file(&beside).unwrap();
        directory.refresh();
        assert!(directory.unreadable().is_empty() && cache.confirmed());
        assert!(cache.definition(&NadRef::new("default", "other").unwrap()).is_some());
        assert_eq!(cache.sizes(), (1, 0));
        fs::remove_file(&file).unwrap();
        directory.refresh();
        assert_eq!(cache.sizes(), (0, 0));

        // A file that is there and cannot even be looked at.
        std::os::unix::fs::symlink("loop.yaml", directory.path().join("loop.yaml")).unwrap();
        directory.refresh();
        assert!(directory.unreadable().len() == 1 && !cache.confirmed());
        fs::remove_file(directory.path().join("loop.yaml")).unwrap();
        directory.refresh();
        assert!(cache.confirmed());

        // The folder itself goes and comes again without a change.
        let away = folder.path().join("away");
        fs::rename(directory.path(), &away).unwrap();
        directory.refresh();
        assert!(!cache.confirmed() && directory.error().unwrap().contains("later: No such file"));
        fs::rename(&away, directory.path()).unwrap();
        directory.refresh();
        assert!(cache.confirmed() && directory.error().is_none());
    }
}
