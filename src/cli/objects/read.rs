//! From files and directories to objects.

use super::network::Network;
use super::object::Object;
use super::pod::Pod;
use super::source::{Place, Source};
use super::{Objects, Unread};
use crate::cli::Error;
use crate::cluster::manifests::manifest;
use crate::cluster::manifests::tree::{self, Node};
use crate::sys::files;
use std::io;
use std::path::{Path, PathBuf};

/// A longer file is not one of manifests.
const MAX_FILE: usize = 64 << 20;
/// What stands for the characters that the API server adds to `generateName`.
const GENERATED: &str = "xxxxx";

impl Objects {
    /// Adds the objects in `paths`: files, directories of them, or `-` for stdin. Objects that name no namespace are in
    /// `namespace`. What cannot be read is in [`Objects::unread`], and does not hide the others.
    pub fn add_files(&mut self, paths: &[PathBuf], namespace: &str) {
        let mut closed = Vec::new();
        let files: Vec<PathBuf> = paths.iter().flat_map(|path| expanded(path, &mut closed)).collect();
        for (path, why) in closed {
            self.add_closed(path.display().to_string(), why);
        }
        for file in files {
            let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
            match text_of(&file) {
                Ok(text) => self.add_text(&name, text, namespace),
                Err(why) => self.add_closed(name, why),
            }
        }
    }

    /// Adds a file or a directory without a text.
    fn add_closed(&mut self, name: String, why: String) {
        self.add_unread(Source { name, text: String::new(), is_file: true }, 0, why);
    }

    fn add_unread(&mut self, source: Source, at: usize, why: String) {
        self.unread.push(Unread { place: Place { source: self.sources.len(), at }, why });
        self.sources.push(source);
    }

    /// Whether everything could be read, for the end of a command.
    ///
    /// # Errors
    /// Some could not.
    pub fn all_read(&self) -> Result<(), Error> {
        let told = |one: &Unread| {
            let source = &self.sources[one.place.source];
            let place =
                source.line_and_column(one.place.at).map(|(line, column)| format!(" (line {line}, column {column})"));
            format!("{}: {}{}", source.name, one.why, place.unwrap_or_default())
        };
        let files: Vec<String> = self.unread.iter().map(told).collect();
        if files.is_empty() { Ok(()) } else { Err(Error::Unread { files }) }
    }

    /// Adds the objects in `text`, which is called `name`. What is neither YAML nor JSON is in [`Objects::unread`].
    pub fn add_text(&mut self, name: &str, text: String, namespace: &str) {
        let read = tree::read(&text);
        let source = Source { name: name.to_owned(), text, is_file: true };
        match read {
            Ok(documents) => {
                let number = self.sources.len();
                self.sources.push(source);
                documents.into_iter().for_each(|document| self.take(number, document, namespace, &Listed::default()));
            }
            Err(flaw) => self.add_unread(source, flaw.at, flaw.what),
        }
    }

    /// Adds an object of a cluster, as JSON.
    pub fn add_object(&mut self, json: &str) {
        let root = match tree::read_json(json) {
            Ok(root) => root,
            Err(e) => {
                let source =
                    Source { name: "an object of the cluster".to_owned(), text: json.to_owned(), is_file: false };
                return self.add_unread(source, 0, e.to_string());
            }
        };
        let source = self.sources.len();
        self.take(source, root, "default", &Listed::default());
        let name = self.all.last().map_or_else(String::new, Object::label);
        self.sources.push(Source { name, text: json.to_owned(), is_file: false });
    }

    fn take(&mut self, source: usize, root: Node, namespace: &str, listed: &Listed) {
        let text = |path: &[&str]| root.below(path).and_then(Node::text).unwrap_or_default().to_owned();
        let or = |own: String, other: &String| if own.is_empty() { other.clone() } else { own };
        let (kind, version) = (or(text(&["kind"]), &listed.kind), or(text(&["apiVersion"]), &listed.version));
        // A kind of somebody's own may end so without being a list.
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), root.get("items")) {
            let listed = Listed { kind: of.to_owned(), version };
            let items = items.items().to_vec();
            return items.into_iter().for_each(|item| self.take(source, item, namespace, &listed));
        }
        let object = Object {
            source,
            kind,
            group: version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
            namespace: or(text(&["metadata", "namespace"]), &namespace.to_owned()),
            name: name_of(&text(&["metadata", "name"]), &text(&["metadata", "generateName"])),
            root,
        };
        let number = self.all.len();
        if object.is_network() {
            self.networks.extend(Network::read(number, &object));
        }
        self.pods.extend(Pod::read(number, &object));
        self.all.push(object);
    }
}

/// What the elements of a typed list do not repeat, as the API server sends them.
#[derive(Debug, Default)]
struct Listed {
    kind: String,
    version: String,
}

/// The API server makes a name of a prefix; ours has the characters `x` where it puts its own.
fn name_of(name: &str, prefix: &str) -> String {
    match (name, prefix) {
        ("", "") => String::new(),
        ("", prefix) => format!("{prefix}{GENERATED}"),
        (name, _) => name.to_owned(),
    }
}

/// The files of a directory and of those in it; another path as it is. A directory that cannot be read goes to `unread`.
fn expanded(path: &Path, unread: &mut Vec<(PathBuf, String)>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut entries: Vec<PathBuf> = match files::entries(path) {
        Ok(entries) => entries.iter().map(|entry| entry.path()).collect(),
        Err(e) => {
            unread.push((path.to_owned(), e.to_string()));
            return Vec::new();
        }
    };
    entries.sort();
    let is_hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_manifest =
        |path: &Path| path.extension().is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known));
    let mut found = Vec::new();
    for entry in entries.into_iter().filter(|entry| !is_hidden(entry)) {
        // A link to a directory may lead back.
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(expanded(&entry, unread));
        } else if is_manifest(&entry) && entry.is_file() {
            found.push(entry);
        }
    }
    found
}

fn text_of(path: &Path) -> Result<String, String> {
    let bytes = if path == Path::new("-") {
        files::read_to_end_bounded(io::stdin().lock(), MAX_FILE)
    } else {
        files::read_named_bytes_bounded(path, MAX_FILE)
    };
    let text = manifest::text(bytes.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
