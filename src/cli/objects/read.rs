//! From files and directories to objects.

use super::Objects;
use super::network::Network;
use super::object::Object;
use super::pod::Pod;
use super::source::Source;

use crate::cli::Error;
use crate::cluster::manifests::manifest;
use crate::cluster::manifests::tree::{self, Node};
use crate::sys::files;
use std::io;
use std::path::{Path, PathBuf};

/// A longer file is not one of manifests.
const MAX_FILE: usize = 64 << 20;

impl Objects {
    /// Adds the objects in `paths`: files, directories of them, or `-` for stdin. Objects that name no namespace are in
    /// `namespace`. A file that cannot be read does not hide the others.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn add_files(&mut self, paths: &[PathBuf], namespace: &str) -> Result<(), Error> {
        for path in paths {
            for file in expanded(path)? {
                let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
                let added = text_of(&file).and_then(|text| self.add_text(&name, text, namespace));
                self.unread.extend(added.err().map(|why| format!("{name}: {why}")));
            }
        }
        Ok(())
    }

    /// Whether all files could be read, for the end of a command.
    ///
    /// # Errors
    /// Some could not.
    pub fn all_read(&self) -> Result<(), Error> {
        if self.unread.is_empty() { Ok(()) } else { Err(Error::Unread { files: self.unread.clone() }) }
    }

    /// Adds the objects in `text`, which is called `name`.
    ///
    /// # Errors
    /// It is neither YAML nor JSON.
    pub fn add_text(&mut self, name: &str, text: String, namespace: &str) -> Result<(), String> {
        let documents = tree::read(&text).map_err(|e| e.to_string())?;
        let source = self.sources.len();
        self.sources.push(Source { name: name.to_owned(), text, is_file: true });
        documents.into_iter().for_each(|document| self.take(source, document, namespace));
        Ok(())
    }

    /// Adds an object of a cluster, as JSON.
    pub fn add_object(&mut self, json: &str) {
        let Ok(root) = tree::read_json(json) else { return };
        let source = self.sources.len();
        self.take(source, root, "default");
        let name = self.all.last().map_or_else(String::new, Object::label);
        self.sources.push(Source { name, text: json.to_owned(), is_file: false });
    }

    fn take(&mut self, source: usize, root: Node, namespace: &str) {
        let text = |path: &[&str]| root.below(path).and_then(Node::text).unwrap_or_default().to_owned();
        let kind = text(&["kind"]);
        if kind.ends_with("List") {
            let items = root.get("items").map_or(&[] as &[Node], Node::items).to_vec();
            return items.into_iter().for_each(|item| self.take(source, item, namespace));
        }
        let own = Some(text(&["metadata", "namespace"])).filter(|own| !own.is_empty());
        let object = Object {
            source,
            kind,
            group: text(&["apiVersion"]).split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
            namespace: own.unwrap_or_else(|| namespace.to_owned()),
            name: text(&["metadata", "name"]),
            root,
        };
        let number = self.all.len();
        if object.group == "k8s.cni.cncf.io" && object.kind == "NetworkAttachmentDefinition" {
            self.networks.extend(Network::read(number, &object));
        }
        self.pods.extend(Pod::read(number, &object));
        self.all.push(object);
    }
}

/// The files of a directory and of those in it; another path as it is.
fn expanded(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e: io::Error| Error::Networks { what: path.display().to_string(), why: e.to_string() };
    let mut entries: Vec<PathBuf> = files::entries(path).map_err(failed)?.iter().map(|entry| entry.path()).collect();
    entries.sort();
    let is_hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_manifest =
        |path: &Path| path.extension().is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known));
    let mut found = Vec::new();
    for entry in entries.into_iter().filter(|entry| !is_hidden(entry)) {
        // A link to a directory may lead back.
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(expanded(&entry)?);
        } else if is_manifest(&entry) && entry.is_file() {
            found.push(entry);
        }
    }
    Ok(found)
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
