//! The archive: one top directory, with files in the order of their names, each masked, and a list of them.

use crate::cli::report::mask::mask;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Component, Path};

/// The list of the files.
const MANIFEST: &str = "MANIFEST";
/// How the name of the top directory begins.
const TOP: &str = "plexus-report-";
/// What was masked.
const MASKED: &str = "MASKED.txt";
/// The longest archive of a node, unpacked.
const LONGEST: u64 = 256 << 20;
/// What no rule can know.
const ABOUT: &str = "Masked in this report: values of keys with words like password, token, secret, psk or private key; tokens and\nprivate keys in logs; the annotation last-applied-configuration. Names, addresses and MAC addresses are not masked.\nRead the files before you give them to others.\n";

/// The files of a report.
#[derive(Debug, Default)]
pub struct Archive {
    files: BTreeMap<String, Vec<u8>>,
    masked: BTreeSet<String>,
}

impl Archive {
    /// Adds the file `name` with `text`, without its secrets.
    pub fn add(&mut self, name: &str, text: &str) {
        let masked = mask(text);
        self.masked.extend(masked.places.into_iter().map(|place| format!("{name}: {place}")));
        self.files.insert(name.to_owned(), masked.text.into_bytes());
    }

    /// Adds the files of another archive, below `folder`. Its secrets were masked where it was made, and are again here:
    /// it may be of another release.
    ///
    /// # Errors
    /// It is none, or has a file outside of `folder`.
    pub fn add_archive(&mut self, folder: &str, packed: &[u8]) -> io::Result<()> {
        let mut archive = tar::Archive::new(GzDecoder::new(packed).take(LONGEST));
        let mut found = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let name = below_top(&path);
            if !is_below(name) {
                let why = format!("{} is not the name of a file of a report", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let name = name.display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            found.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
        for (name, text) in found {
            match name.as_str() {
                MANIFEST => {}
                MASKED => {
                    let places = text.strip_prefix(ABOUT).unwrap_or(&text).lines().filter(|line| !line.is_empty());
                    self.masked.extend(places.map(|place| format!("{folder}/{place}")));
                }
                _ => self.add(&format!("{folder}/{name}"), &text),
            }
        }
        Ok(())
    }

    /// How many files it has, and how many places were masked.
    pub fn count(&self) -> (usize, usize) {
        (self.files.len(), self.masked.len())
    }

    /// The archive as tar, compressed, of the moment `now`. The same files at the same moment are the same bytes.
    ///
    /// # Errors
    /// A name is too long.
    pub fn pack(mut self, now: Timestamp) -> io::Result<Vec<u8>> {
        let top = format!("{TOP}{}", now.strftime("%Y%m%d-%H%M%S"));
        let masked = self.masked.iter().map(|place| format!("{place}\n")).collect::<String>();
        self.files.insert(MASKED.to_owned(), format!("{ABOUT}\n{masked}").into_bytes());
        let list = self.files.iter().map(|(name, bytes)| format!("{:>10}  {name}\n", bytes.len())).collect::<String>();
        self.files.insert(MANIFEST.to_owned(), list.into_bytes());
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now.as_second().try_into().unwrap_or_default());
            builder.append_data(&mut header, format!("{top}/{name}"), bytes.as_slice())?;
        }
        builder.into_inner()?.finish()
    }
}

/// `path` without the top directory, which archives of former releases do not have.
fn below_top(path: &Path) -> &Path {
    let is_top = |part: Component<'_>| part.as_os_str().to_string_lossy().starts_with(TOP);
    let mut parts = path.components();
    if parts.next().is_some_and(is_top) { parts.as_path() } else { path }
}

fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8]) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(packed));
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path.strip_prefix("plexus-report-20251129-080000/").unwrap().to_owned(), text)
        });
        files.collect()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_764_403_200).unwrap()
    }

    fn node() -> Archive {
        let mut archive = Archive::default();
        archive.add("b.json", r#"{"psk":"s3cr3t"}"#);
        archive.add("a/x.txt", "x\n");
        archive
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let (one, two) = (node().pack(now()).unwrap(), node().pack(now()).unwrap());
        assert_eq!(one, two);
        let files = unpacked(&one);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["MANIFEST", "MASKED.txt", "a/x.txt", "b.json"]);
        assert!(files["MASKED.txt"].contains("\nb.json: /psk\n") && !files["b.json"].contains("s3cr3t"), "{files:?}");
        assert!(files["MANIFEST"].contains("         2  a/x.txt\n"), "{files:?}");
    }

    #[test]
    fn a_node_is_a_folder() {
        let mut whole = Archive::default();
        whole.add_archive("nodes/n1", &node().pack(now()).unwrap()).unwrap();
        assert_eq!(whole.count(), (2, 1));
        let files = unpacked(&whole.pack(now()).unwrap());
        assert_eq!(files["nodes/n1/a/x.txt"], "x\n");
        // Each file and each place once, although the node has lists of its own.
        assert_eq!(files["MASKED.txt"].matches("nodes/n1/b.json: /psk\n").count(), 1, "{files:?}");
        let list: Vec<&str> = files["MANIFEST"].lines().map(|line| line.rsplit_once("  ").unwrap().1).collect();
        assert_eq!(list, ["MASKED.txt", "nodes/n1/a/x.txt", "nodes/n1/b.json"]);
        assert!(Archive::default().add_archive("x", b"no archive").is_err());
    }

    #[test]
    fn a_node_of_a_former_release_has_no_top_directory() {
        let names =
            [("plexus-report-x/a/b", "a/b"), ("a/plexus-report-x/b", "a/plexus-report-x/b"), ("MANIFEST", "MANIFEST")];
        for (path, name) in names {
            assert_eq!(below_top(Path::new(path)), Path::new(name));
        }
    }

    #[test]
    fn a_node_writes_only_below_its_folder() {
        for bad in ["../x", "/x", "a/../../x", "plexus-report-x", "plexus-report-x/../x"] {
            assert!(!is_below(below_top(Path::new(bad))), "{bad}");
        }
        assert!(is_below(Path::new("a/b")) && !is_below(Path::new("")));
    }
}
