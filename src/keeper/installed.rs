//! What Plexus is installed as on this node: the file by which the runtime calls us.

use crate::cni::NetworkConfig;
use crate::engine::planning::disk;
use crate::sys::files::{self, Durability};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Our `type`.
const PLUGIN: &str = "plexus";
/// Our list, where the runtime calls us.
const LIST: &str = "00-plexus.conflist";
/// Our file beside the primary's list, where we are chained behind it.
const CHAINED: &str = "90-plexus.conf";
/// A configuration is a few kilobytes.
const MAX_CONFIG: usize = 1 << 20;

/// A file that is ours, as it is when it is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where it is.
    pub path: PathBuf,
    text: String,
}

impl Configuration {
    /// Ours in the runtime's folder, whoever has added to it; none where there is none that names us.
    pub fn find(folder: &Path) -> Option<Self> {
        let list = Configuration::read(&folder.join(LIST));
        let beside = || files::entries(folder).into_iter().flatten().map(|entry| entry.path().join(CHAINED));
        list.or_else(|| beside().find_map(|path| Configuration::read(&path)))
    }

    fn read(path: &Path) -> Option<Self> {
        let text = files::read_bounded(path, MAX_CONFIG).ok()??;
        let network = NetworkConfig::parse(&text, Some(PLUGIN)).ok()?;
        let names_us = network.plugins.iter().any(|plugin| plugin.kind.as_str() == PLUGIN);
        names_us.then(|| Configuration { path: path.to_owned(), text })
    }

    /// Puts it back, whole. A file that it was renamed to goes: it would stay for ever.
    ///
    /// # Errors
    /// It cannot be written; what is there is as it was.
    pub fn put_back(&self) -> io::Result<()> {
        files::remove_unfinished(&self.path);
        let write = || files::replace(&self.path, self.text.as_bytes(), 0o644, Durability::Synced);
        match self.runtime_folder() {
            Some(folder) => disk::and_tell_runtime(folder, |_, source| source, write)?,
            None => write()?,
        }
        if let Some(renamed) = self.renamed()
            && files::read_bounded(&renamed, MAX_CONFIG).ok().flatten().as_deref() == Some(&self.text)
        {
            // Best effort: it is only in the way.
            let _ = fs::remove_file(renamed);
        }
        Ok(())
    }

    /// Who displaced it, as far as the folder tells, for a person.
    pub fn culprit(&self) -> String {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(renamed) = self.renamed() {
            return format!("it was renamed to {}", name(&renamed));
        }
        if self.path.exists() {
            return "it was written over, and does not name Plexus any more".to_owned();
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match disk::candidates(folder).unwrap_or_default().first() {
            Some(first) => format!("it was removed, and {} is what the runtime takes now", name(first)),
            None => "it was removed".to_owned(),
        }
    }

    /// The file that the runtime takes before ours: it stands before it and does not lead to us.
    pub fn rival(&self) -> Option<PathBuf> {
        if self.is_chained() {
            return None;
        }
        let before = disk::candidates(self.path.parent()?).unwrap_or_default().into_iter();
        before.take_while(|path| *path < self.path).find(|path| Configuration::read(path).is_none())
    }

    /// The folder that the runtime watches, where ours is in one beneath it.
    fn runtime_folder(&self) -> Option<&Path> {
        self.is_chained().then(|| self.path.parent()?.parent()).flatten()
    }

    fn is_chained(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == CHAINED)
    }

    /// `00-plexus.conflist.cilium_bak` and the like.
    fn renamed(&self) -> Option<PathBuf> {
        let name = self.path.file_name()?.to_str()?;
        let entries = files::entries(self.path.parent()?).ok()?.into_iter();
        let is_longer = |path: &PathBuf| {
            path.file_name().and_then(|other| other.to_str()?.strip_prefix(name)).is_some_and(|rest| !rest.is_empty())
        };
        entries.map(|entry| entry.path()).find(is_longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"plexus"},{"type":"istio-cni"}]}"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn ours_is_what_names_us() {
        let list = folder(&[("00-plexus.conflist", OURS), ("10-a.conflist", "{}")]);
        assert_eq!(Configuration::find(list.path()).unwrap().path, list.path().join("00-plexus.conflist"));
        let chained = folder(&[("10-a.conflist", "{}"), ("a/90-plexus.conf", r#"{"type":"plexus"}"#)]);
        assert_eq!(Configuration::find(chained.path()).unwrap().path, chained.path().join("a/90-plexus.conf"));
        for other in [r#"{"name":"n","plugins":[{"type":"cilium-cni"}]}"#, "", "{"] {
            assert_eq!(Configuration::find(folder(&[("00-plexus.conflist", other)]).path()), None);
        }
    }

    #[test]
    fn the_culprit_is_named() {
        let ours = |folder: &tempfile::TempDir| Configuration {
            path: folder.path().join("00-plexus.conflist"),
            text: OURS.to_owned(),
        };
        let renamed = folder(&[("00-plexus.conflist.cilium_bak", OURS), ("05-cilium.conflist", "{}")]);
        assert!(ours(&renamed).culprit().contains("renamed to 00-plexus.conflist.cilium_bak"));
        ours(&renamed).put_back().unwrap();
        assert_eq!(Configuration::find(renamed.path()), Some(ours(&renamed)));
        assert!(!renamed.path().join("00-plexus.conflist.cilium_bak").exists());
        assert!(ours(&folder(&[("05-b.conflist", "{}")])).culprit().contains("removed, and 05-b.conflist"));
        assert!(ours(&folder(&[("00-plexus.conflist", "{}")])).culprit().contains("written over"));
    }

    #[test]
    fn the_runtime_hears_of_a_file_beneath_its_folder() {
        let folder = folder(&[("10-a.conflist", "{}"), ("a/x.conf", "{}")]);
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(folder.path()).unwrap().set_modified(long_ago).unwrap();
        let ours =
            Configuration { path: folder.path().join("a/90-plexus.conf"), text: r#"{"type":"plexus"}"#.to_owned() };
        ours.put_back().unwrap();
        assert_eq!(Configuration::find(folder.path()), Some(ours));
        // What watches a folder hears what changes its time, and nothing of it stays.
        assert!(fs::metadata(folder.path()).unwrap().modified().unwrap() > long_ago);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_rival_stands_before_ours_and_does_not_lead_to_us() {
        let rival = |name: &str, text: &str| {
            let folder = folder(&[("00-plexus.conflist", OURS), (name, text)]);
            Configuration::find(folder.path()).unwrap().rival().is_some()
        };
        let other = r#"{"name":"o","plugins":[{"type":"bridge"}]}"#;
        assert!(rival("00-a.conflist", other) && rival("00-a.conf", "{"));
        assert!(!rival("00-a.conflist", OURS) && !rival("05-b.conflist", other) && !rival("00-a.conflist.bak", other));
    }
}
