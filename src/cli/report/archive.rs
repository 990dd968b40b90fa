//! The archive: files in the order of their names, each masked, with a list of them.

use crate::cli::report::mask::mask;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

/// The list of the files.
const MANIFEST: &str = "MANIFEST";
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
    masked: Vec<String>,
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
            if !is_below(&path) {
                let why = format!("{} is not the name of a file of a report", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
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

    /// The archive as tar, compressed. The same files are the same bytes.
    ///
    /// # Errors
    /// A name is too long.
    pub fn pack(mut self) -> io::Result<Vec<u8>> {
        let masked = self.masked.iter().map(|place| format!("{place}\n")).collect::<String>();
        self.files.insert(MASKED.to_owned(), format!("{ABOUT}\n{masked}").into_bytes());
        let list = self.files.iter().map(|(name, bytes)| format!("{:>10}  {name}\n", bytes.len())).collect::<String>();
        self.files.insert(MANIFEST.to_owned(), list.into_bytes());
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(0);
            builder.append_data(&mut header, name, bytes.as_slice())?;
        }
        builder.into_inner()?.finish()
    }
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
            (entry.path().unwrap().display().to_string(), text)
        });
        files.collect()
    }

    fn node() -> Archive {
        let mut archive = Archive::default();
        archive.add("b.json", r#"{"psk":"s3cr3t"}"#);
        archive.add("a/x.txt", "x\n");
        archive
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let (one, two) = (node().pack().unwrap(), node().pack().unwrap());
        assert_eq!(one, two);
        let files = unpacked(&one);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["MANIFEST", "MASKED.txt", "a/x.txt", "b.json"]);
        assert!(files["MASKED.txt"].contains("\nb.json: /psk\n") && !files["b.json"].contains("s3cr3t"), "{files:?}");
        assert!(files["MANIFEST"].contains("         2  a/x.txt\n"), "{files:?}");
    }

    #[test]
    fn a_node_is_a_folder() {
        let mut whole = Archive::default();
        whole.add_archive("nodes/n1", &node().pack().unwrap()).unwrap();
        let files = unpacked(&whole.pack().unwrap());
        assert_eq!(files["nodes/n1/a/x.txt"], "x\n");
        assert!(files["MASKED.txt"].contains("nodes/n1/b.json: /psk\n"), "{files:?}");
        assert!(Archive::default().add_archive("x", b"no archive").is_err());
    }

    #[test]
    fn a_node_writes_only_below_its_folder() {
        for bad in ["../x", "/x", "a/../../x"] {
            assert!(!is_below(Path::new(bad)), "{bad}");
        }
        assert!(is_below(Path::new("a/b")) && !is_below(Path::new("")));
    }
}
