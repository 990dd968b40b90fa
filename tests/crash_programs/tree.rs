//! All files below a folder, to be compared.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mode and content of a file.
pub type File = (u32, String);
/// Paths below the folder with their files; the folder's own path is `@` in it.
pub type Tree = BTreeMap<String, File>;

/// A folder of the test's own.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text, if name.starts_with("bin/") { 0o755 } else { 0o644 });
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.replace('@', &self.0.path().display().to_string())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The file of this name, also while somebody else replaces or removes it; none where there is none.
    pub fn file(&self, name: &str) -> Option<File> {
        self.read_file(&self.path(name))
    }

    fn read_file(&self, path: &Path) -> Option<File> {
        let mut file = fs::File::open(path).ok()?;
        let mode = file.metadata().ok()?.permissions().mode() & 0o7777;
        let mut content = Vec::new();
        file.read_to_end(&mut content).ok()?;
        let own = self.0.path().display().to_string();
        Some((mode, String::from_utf8_lossy(&content).replace(&own, "@")))
    }

    /// All files, while nobody changes any.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.read(self.0.path(), &mut tree);
        tree
    }

    fn read(&self, folder: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(self.0.path()).unwrap().display().to_string();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            if kind.is_dir() {
                tree.insert(name + "/", (mode, String::new()));
                self.read(&path, tree);
            } else {
                // A socket has no content.
                let text = self.read_file(&path).map(|(_, text)| text).unwrap_or_default();
                tree.insert(name, (mode, text));
            }
        }
    }
}

/// What is in one of the two only.
pub fn difference(found: &Tree, wanted: &Tree) -> String {
    let only = |these: &Tree, those: &Tree, sign: char| -> String {
        let rows = these.iter().filter(|(path, file)| those.get(*path) != Some(file));
        rows.map(|(path, (mode, text))| format!("\n{sign} {path} {mode:o} {text:.200}")).collect()
    };
    only(found, wanted, '+') + &only(wanted, found, '-')
}
