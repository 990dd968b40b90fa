//! What Plexus is installed as on this node: the file by which the runtime calls us, and the plugin's program.

use crate::api::build;
use crate::cni::NetworkConfig;
use crate::engine::planning::disk;
use crate::sys::files::{self, Durability};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Our `type`, and the program's name.
const PLUGIN: &str = "plexus";
/// Our list, where the runtime calls us.
const LIST: &str = "00-plexus.conflist";
/// Our file beside the primary's list, where we are chained behind it.
const CHAINED: &str = "90-plexus.conf";
/// A configuration is a few kilobytes.
const MAX_CONFIG: usize = 1 << 20;
/// A plugin is a few megabytes; built for development, some more.
const MAX_PROGRAM: usize = 512 << 20;

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

/// The plugin's program, and the one beside the daemon's that it is a copy of.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where the runtime starts it.
    pub path: PathBuf,
    source: PathBuf,
    /// The plugin, of any release, that was seen last: device, inode, size and times.
    known: Option<(u64, u64, u64, i64, i64)>,
}

/// What is wrong with the plugin's program, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is gone, or it is a part of ours: it is put back.
    Damaged(&'static str),
    /// What is there is somebody else's: it is named, and a person decides.
    Replaced(&'static str),
}

impl Program {
    /// The one in the runtime's folder of plugins.
    pub fn in_folder(folder: &Path) -> Self {
        let source = std::env::current_exe().unwrap_or_default().with_file_name(PLUGIN);
        Program { path: folder.join(PLUGIN), source, known: None }
    }

    /// What is wrong with it.
    pub fn trouble(&mut self) -> Option<Trouble> {
        let file = match fs::metadata(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let is_link = self.path.is_symlink();
                let dangling = Trouble::Replaced("a link to a file that does not exist took its place");
                return Some(if is_link { dangling } else { Trouble::Damaged("it was removed") });
            }
            Err(_) => return None,
        };
        if !file.is_file() {
            let what = if file.is_dir() { "a directory took its place" } else { "another kind of file took its place" };
            return Some(Trouble::Replaced(what));
        }
        self.damage(&file).map(Trouble::Damaged).or_else(|| self.stranger(&file).map(Trouble::Replaced))
    }

    /// Only its begin is left, or it cannot be executed.
    fn damage(&self, file: &fs::Metadata) -> Option<&'static str> {
        let whole = fs::metadata(&self.source).ok()?.len();
        let is_executable = file.mode() & 0o111 != 0;
        // The whole is not compared at each look.
        let is_suspect = !self.path.is_symlink() && (file.len() < whole || (file.len() == whole && !is_executable));
        match () {
            () if !is_suspect || !self.begins_ours().unwrap_or(false) => None,
            () if file.len() < whole => Some("only its begin is left"),
            () => Some("it is not executable any more"),
        }
    }

    /// It is another program, or cannot be executed. What is there is read once.
    fn stranger(&mut self, file: &fs::Metadata) -> Option<&'static str> {
        let identity =
            (file.dev(), file.ino(), file.len(), file.mtime_nsec() ^ file.mtime(), file.ctime_nsec() ^ file.ctime());
        if self.known != Some(identity) {
            // What cannot be read now is looked at again.
            let program = files::read_bytes_bounded(&self.path, MAX_PROGRAM).ok()??;
            if !build::is_plugin(&program) {
                return Some("another program took its place");
            }
            self.known = Some(identity);
        }
        (file.mode() & 0o111 == 0).then_some("it cannot be executed")
    }

    /// Whether what is there is the begin of ours, or all of it.
    fn begins_ours(&self) -> io::Result<bool> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let read = |path: &Path| files::read_bytes_bounded(path, MAX_PROGRAM)?.ok_or_else(gone);
        Ok(read(&self.source)?.starts_with(&read(&self.path)?))
    }

    /// Puts it back, whole.
    ///
    /// # Errors
    /// There is none beside the daemon's program, it is another program or a build that is not for nodes, or it cannot be
    /// written.
    pub fn put_back(&self) -> io::Result<()> {
        files::remove_unfinished(&self.path);
        let program = files::read_bytes_bounded(&self.source, MAX_PROGRAM)?.ok_or(io::ErrorKind::NotFound)?;
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} {why}", self.source.display())));
        match () {
            () if !build::is_plugin(&program) => refused("is not the plugin of Plexus"),
            () if build::has_daemon(&program) => refused("is built with the daemon's libraries, and is not for nodes"),
            () => files::replace(&self.path, &program, 0o755, Durability::Synced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
    fn only_the_plugin_is_put_back() {
        let folder = folder(&[("image/plexus", "another program")]);
        let mut program =
            Program { path: folder.path().join("plexus"), source: folder.path().join("image/plexus"), known: None };
        let plugin = format!("\u{7f}ELF {}", build::ABOUT);
        let with_daemon = format!("{plugin} {}", build::WITH_DAEMON);
        for (text, why) in [("another program", "not the plugin"), (with_daemon.as_str(), "not for nodes")] {
            fs::write(&program.source, text).unwrap();
            let error = program.put_back().unwrap_err().to_string();
            assert!(error.contains(why) && program.trouble() == Some(Trouble::Damaged("it was removed")), "{error}");
        }
        fs::write(&program.source, &plugin).unwrap();
        program.put_back().unwrap();
        assert_eq!(fs::read_to_string(&program.path).unwrap(), plugin);
        assert_eq!(program.trouble(), None);
        let place = program.path.clone();
        let set = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        for (text, mode, trouble) in [
            (&plugin[..10], 0o755, Some(Trouble::Damaged("only its begin is left"))),
            ("", 0o755, Some(Trouble::Damaged("only its begin is left"))),
            (plugin.as_str(), 0o644, Some(Trouble::Damaged("it is not executable any more"))),
            // Of another release.
            (with_daemon.as_str(), 0o755, None),
            (with_daemon.as_str(), 0o644, Some(Trouble::Replaced("it cannot be executed"))),
            // Of somebody else.
            ("#!/bin/sh", 0o755, Some(Trouble::Replaced("another program took its place"))),
            ("#!/bin/sh", 0o644, Some(Trouble::Replaced("another program took its place"))),
        ] {
            fs::write(&program.path, text).unwrap();
            set(mode);
            assert_eq!(program.trouble(), trouble, "{text:?} {mode:o}");
        }
        let other = folder.path().join("other");
        fs::remove_file(&program.path).unwrap();
        std::os::unix::fs::symlink(&other, &program.path).unwrap();
        assert!(matches!(program.trouble(), Some(Trouble::Replaced(why)) if why.contains("link")));
        // A link to the plugin is as good as the plugin.
        fs::write(&other, &plugin).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program.trouble(), None);
        fs::remove_file(&program.path).unwrap();
        fs::create_dir(&program.path).unwrap();
        assert_eq!(program.trouble(), Some(Trouble::Replaced("a directory took its place")));
        fs::remove_file(&program.source).unwrap();
        assert_eq!(program.put_back().unwrap_err().kind(), io::ErrorKind::NotFound);
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
