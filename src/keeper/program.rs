//! The plugin's program on this node, and who put it there.

use crate::api::build;
use crate::sys::files::{self, Durability};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The program's name.
const PLUGIN: &str = "plexus";
/// A plugin is a few megabytes; built for development, some more.
const MAX_PROGRAM: usize = 512 << 20;
/// The installer's note is a number.
const MAX_NOTE: usize = 64;

/// The plugin's program, and the one beside the daemon's that it is a copy of.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where the runtime starts it.
    pub path: PathBuf,
    source: PathBuf,
    /// Where installers leave which plugin they put there.
    note: PathBuf,
    /// What was seen at the path, and beside the daemon's program.
    seen: [Option<(Stamp, Seen)>; 2],
}

/// What changes with the content of a file: device, inode, size and times.
type Stamp = (u64, u64, u64, i64, i64);

/// What a file was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The plugin of Plexus, of the build with this identity.
    Plugin(String),
    /// Another program.
    Another,
}

/// What is wrong with the plugin's program, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is gone, only a part of it is left, or another program took its place: it is put back.
    Displaced(&'static str),
    /// What is there may be what somebody wants: it is named, and a person decides.
    Foreign(&'static str),
}

impl Program {
    /// The one in the runtime's folder of plugins; installers leave their `note`.
    pub fn in_folder(folder: &Path, note: PathBuf) -> Self {
        let source = std::env::current_exe().unwrap_or_default().with_file_name(PLUGIN);
        Program { path: folder.join(PLUGIN), source, note, seen: [None, None] }
    }

    /// What is wrong with it.
    pub fn trouble(&mut self) -> Option<Trouble> {
        let is_link = self.path.is_symlink();
        let file = match fs::metadata(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let dangling = Trouble::Foreign("a link to a file that does not exist took its place");
                return Some(if is_link { dangling } else { Trouble::Displaced("it was removed") });
            }
            Err(_) => return None,
        };
        if !file.is_file() {
            let what = if file.is_dir() { "a directory took its place" } else { "another kind of file took its place" };
            return Some(Trouble::Foreign(what));
        }
        // A link may lead out of what is mounted here: whoever made it has a reason.
        let displaced = if is_link { Trouble::Foreign } else { Trouble::Displaced };
        self.damage(&file).map(Trouble::Displaced).or_else(|| self.stranger(&file).map(displaced)).or_else(|| {
            let is_executable = file.mode() & 0o111 != 0;
            (!is_executable).then_some(Trouble::Foreign("it cannot be executed"))
        })
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

    /// It is another program, or the plugin of another build that no installer put there. An installer of another release
    /// leaves its note first: a plugin that is not ours is none of our business as long as its note is not ours.
    fn stranger(&mut self, file: &fs::Metadata) -> Option<&'static str> {
        // What cannot be read now is looked at again.
        let present = see(&self.path, file, &mut self.seen[0])?;
        if present == Seen::Another {
            return Some("another program took its place");
        }
        let own = see(&self.source, &fs::metadata(&self.source).ok()?, &mut self.seen[1])?;
        let Seen::Plugin(identity) = &own else { return None };
        let was_last =
            || files::read_bounded(&self.note, MAX_NOTE).ok().flatten().is_some_and(|note| note == *identity);
        (present != own && was_last()).then_some("the plugin of another release took its place")
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

/// What `file` at `path` is: read once, and again when it changes. None where it cannot be read.
fn see(path: &Path, file: &fs::Metadata, known: &mut Option<(Stamp, Seen)>) -> Option<Seen> {
    let stamp =
        (file.dev(), file.ino(), file.len(), file.mtime_nsec() ^ file.mtime(), file.ctime_nsec() ^ file.ctime());
    if let Some((_, seen)) = known.as_ref().filter(|(of, _)| *of == stamp) {
        return Some(seen.clone());
    }
    let program = files::read_bytes_bounded(path, MAX_PROGRAM).ok()??;
    let is_plugin = build::is_plugin(&program);
    let seen = if is_plugin { Seen::Plugin(build::identity(&program)) } else { Seen::Another };
    *known = Some((stamp, seen.clone()));
    Some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Node {
        folder: tempfile::TempDir,
        program: Program,
        plugin: String,
    }

    impl Node {
        /// With the plugin in the image, and not on the node.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (path, source) = (folder.path().join("plexus"), folder.path().join("image"));
            let plugin = format!("\u{7f}ELF {}", build::ABOUT);
            fs::write(&source, &plugin).unwrap();
            let note = folder.path().join("installed");
            Node { program: Program { path, source, note, seen: [None, None] }, folder, plugin }
        }

        fn put(&self, text: &str, mode: u32) {
            fs::write(&self.program.path, text).unwrap();
            fs::set_permissions(&self.program.path, fs::Permissions::from_mode(mode)).unwrap();
        }

        /// As an installer does it.
        fn note(&self, text: &str) {
            fs::write(&self.program.note, build::identity(text.as_bytes())).unwrap();
        }
    }

    #[test]
    fn only_the_plugin_is_put_back() {
        let mut node = Node::new();
        let (plugin, program) = (node.plugin.clone(), &mut node.program);
        let with_daemon = format!("{plugin} {}", build::WITH_DAEMON);
        for (text, why) in [("another program", "not the plugin"), (with_daemon.as_str(), "not for nodes")] {
            fs::write(&program.source, text).unwrap();
            let error = program.put_back().unwrap_err().to_string();
            assert!(error.contains(why) && program.trouble() == Some(Trouble::Displaced("it was removed")), "{error}");
        }
        fs::write(&program.source, &plugin).unwrap();
        program.put_back().unwrap();
        assert_eq!(fs::read_to_string(&program.path).unwrap(), plugin);
        assert_eq!(program.trouble(), None);
        fs::remove_file(&program.source).unwrap();
        assert_eq!(program.put_back().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_plugin_is_displaced_and_what_somebody_made_so_is_foreign() {
        let mut node = Node::new();
        let (plugin, more) = (node.plugin.clone(), format!("{} more", node.plugin));
        for (text, mode, trouble) in [
            (&plugin[..10], 0o755, Some(Trouble::Displaced("only its begin is left"))),
            ("", 0o755, Some(Trouble::Displaced("only its begin is left"))),
            (plugin.as_str(), 0o644, Some(Trouble::Displaced("it is not executable any more"))),
            // Of another release.
            (more.as_str(), 0o755, None),
            (more.as_str(), 0o644, Some(Trouble::Foreign("it cannot be executed"))),
            // Of somebody else.
            ("#!/bin/sh", 0o755, Some(Trouble::Displaced("another program took its place"))),
            ("#!/bin/sh", 0o644, Some(Trouble::Displaced("another program took its place"))),
        ] {
            node.put(text, mode);
            assert_eq!(node.program.trouble(), trouble, "{text:?} {mode:o}");
        }
        let other = node.folder.path().join("other");
        fs::remove_file(&node.program.path).unwrap();
        std::os::unix::fs::symlink(&other, &node.program.path).unwrap();
        assert!(matches!(node.program.trouble(), Some(Trouble::Foreign(why)) if why.contains("link")));
        fs::write(&other, "#!/bin/sh").unwrap();
        assert_eq!(node.program.trouble(), Some(Trouble::Foreign("another program took its place")));
        // A link to the plugin is as good as the plugin.
        fs::write(&other, &plugin).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(node.program.trouble(), None);
        fs::remove_file(&node.program.path).unwrap();
        fs::create_dir(&node.program.path).unwrap();
        assert_eq!(node.program.trouble(), Some(Trouble::Foreign("a directory took its place")));
    }

    #[test]
    fn a_plugin_of_another_release_is_displaced_only_where_ours_was_installed_last() {
        let mut node = Node::new();
        let (ours, other) = (node.plugin.clone(), format!("{} 9.9", node.plugin));
        node.put(&other, 0o755);
        assert_eq!(node.program.trouble(), None, "nobody knows who installed it");
        node.note(&other);
        assert_eq!(node.program.trouble(), None, "the installer of a pod of another release put it there");
        node.note(&ours);
        assert_eq!(node.program.trouble(), Some(Trouble::Displaced("the plugin of another release took its place")));
        node.put(&ours, 0o755);
        assert_eq!(node.program.trouble(), None);
        // The next installer has begun.
        node.note(&other);
        assert_eq!(node.program.trouble(), None);
    }
}
