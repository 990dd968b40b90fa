//! Network configurations in files, found as libcni finds them.

use crate::cni::config::ConfigError;
use crate::cni::{NetworkConfig, RawObject};
use crate::engine::planning::refusals::recursion;
use crate::sys::files::{self, Durability};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes; what is longer is none.
const MAX_CONFIG: usize = 1 << 20;

/// Why a file gives no network configuration.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is not there.
    #[error("{0} does not exist")]
    Absent(PathBuf),
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no network configuration.
    #[error("{path}: {source}")]
    Invalid {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// No file of a folder has the name that is looked for in its key `name`.
    #[error("no file in {folder} has the key \"name\": {name:?}")]
    Unnamed {
        /// Where it was looked for.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// A folder without a usable file.
    #[error("{0} holds no network configuration")]
    Empty(PathBuf),
}

/// Reads the network configuration in the file `path`. To a list, the plugins in the folder of its
/// name beside it are added, unless it says otherwise (CNI-LOAD-07, CNI-DLG-16).
///
/// # Errors
/// See [`DiskError`].
pub fn read(path: &Path) -> Result<NetworkConfig, DiskError> {
    let invalid = |source| DiskError::Invalid { path: path.to_owned(), source };
    let mut network = NetworkConfig::parse_open(&text(path)?, None).map_err(invalid)?;
    if path.extension().is_some_and(|extension| extension == "conflist") && !network.load_only_inlined_plugins {
        let beside = path.with_file_name(network.name.as_str());
        for file in sorted(&beside, &["conf"])? {
            append(&mut network, &file)?;
        }
    }
    network.check().map_err(invalid)?;
    Ok(network)
}

/// Adds the plugin in `file`, unless it is ourselves, chained behind the network we delegate to.
fn append(network: &mut NetworkConfig, file: &Path) -> Result<(), DiskError> {
    let invalid = |source| DiskError::Invalid { path: file.to_owned(), source };
    network.append(&text(file)?).map_err(invalid)?;
    if network.plugins.last().is_some_and(|plugin| recursion::is_meta_plugin(plugin.kind.as_str())) {
        network.plugins.pop();
    }
    Ok(())
}

/// The configuration named `name` in `folder`: lists come before single plugins (NPWG-NAD-07, CNI-LOAD-01).
///
/// # Errors
/// A file that is no JSON stands before it (CNI-LOAD-02); there is none of that name. A file that has another name, or
/// none, is not the one that is looked for, whatever else is in it.
pub fn by_name(folder: &Path, name: &str) -> Result<NetworkConfig, DiskError> {
    for extensions in [["conflist"].as_slice(), &["conf", "json"]] {
        for file in sorted(folder, extensions)? {
            if is_named(&file, name)? {
                return read(&file);
            }
        }
    }
    Err(DiskError::Unnamed { folder: folder.to_owned(), name: name.to_owned() })
}

/// Whether `file` is the configuration called `name`.
fn is_named(file: &Path, name: &str) -> Result<bool, DiskError> {
    let invalid = |source| DiskError::Invalid { path: file.to_owned(), source };
    let object = RawObject::parse(&text(file)?).map_err(|e| invalid(ConfigError::Json(e)))?;
    Ok(object.read::<String>("name").is_ok_and(|found| found.as_deref() == Some(name)))
}

/// The first configuration in `folder` that is not our own (the file a runtime would take without us).
///
/// # Errors
/// The first file cannot be read, or there is none.
pub fn first_of(folder: &Path) -> Result<NetworkConfig, DiskError> {
    for file in candidates(folder)? {
        let network = read(&file)?;
        if recursion::names_itself(&network).is_none() {
            return Ok(network);
        }
    }
    Err(DiskError::Empty(folder.to_owned()))
}

/// The files of `folder` that a runtime may load, in the order in which it looks at them.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn candidates(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    sorted(folder, &["conf", "conflist", "json"])
}

fn text(path: &Path) -> Result<String, DiskError> {
    files::read_bounded(path, MAX_CONFIG)
        .map_err(|source| DiskError::Unreadable { path: path.to_owned(), source })?
        .ok_or_else(|| DiskError::Absent(path.to_owned()))
}

/// The files of `folder` with one of `extensions`, exactly so written (CNI-LOAD-03), in the order of their names.
fn sorted(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match files::entries(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(DiskError::Unreadable { path: folder.to_owned(), source }),
        Ok(entries) => entries,
    };
    let wanted = |path: &PathBuf| path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e));
    let mut files: Vec<PathBuf> =
        entries.iter().map(|entry| entry.path()).filter(|path| wanted(path) && !path.is_dir()).collect();
    files.sort();
    Ok(files)
}

/// Makes `change` in a folder inside of `folder`, and the runtime load it: runtimes watch their own folder, not those
/// in it, and would go on without. Interrupted, it is told the next time, by the file that is in the way.
///
/// # Errors
/// The change's own, or what `failed` makes of it when `folder` cannot be written to.
pub fn and_tell_runtime<T, E>(
    folder: &Path,
    failed: impl Fn(PathBuf, io::Error) -> E,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // No runtime takes it for a configuration: it has no extension.
    let note = folder.join(".plexus-changed");
    files::replace(&note, b"\n", 0o644, Durability::Cached).map_err(|e| failed(note.clone(), e))?;
    let changed = change()?;
    fs::remove_file(&note).map_err(|e| failed(note, e))?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn plugins_beside_a_list_are_added() {
        // CNI-LOAD-07, CNI-CFG-07, CNI-LOAD-11
        let files = [
            ("10-n.conflist", r#"{"name":"n","plugins":[{"type":"a"}]}"#),
            ("n/50-x.conf", r#"{"type":"x"}"#),
            ("n/40-w.conf", r#"{"type":"w"}"#),
            ("n/90-plexus.conf", r#"{"type":"plexus"}"#),
            ("n/60.CONF", r#"{"type":"y"}"#),
            ("20-m.conflist", r#"{"name":"m","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]}"#),
            ("m/50-x.conf", r#"{"type":"x"}"#),
        ];
        let folder = folder(&files);
        assert_eq!(read(&folder.path().join("10-n.conflist")).unwrap().kinds(), "a+w+x");
        assert_eq!(read(&folder.path().join("20-m.conflist")).unwrap().kinds(), "a");
    }

    #[test]
    fn a_list_comes_before_a_plugin() {
        // NPWG-NAD-07, CNI-LOAD-01, CNI-LOAD-04
        let folder = folder(&[
            ("00.conf", r#"{"name":"n","type":"single"}"#),
            ("90.conflist", r#"{"name":"n","plugins":[{"type":"list"}]}"#),
        ]);
        assert_eq!(by_name(folder.path(), "n").unwrap().kinds(), "list");
        assert!(matches!(by_name(folder.path(), "other"), Err(DiskError::Unnamed { .. })));
    }

    #[test]
    fn a_broken_file_before_the_match_is_told() {
        // CNI-LOAD-02
        let folder = folder(&[("00-bad.conflist", "{"), ("10.conflist", r#"{"name":"n","plugins":[{"type":"a"}]}"#)]);
        assert!(by_name(folder.path(), "n").unwrap_err().to_string().contains("00-bad.conflist"));
    }

    #[test]
    fn a_file_of_another_name_or_none_is_passed_over() {
        let folder = folder(&[
            ("05-noname.conf", r#"{"cniVersion":"1.0.0","type":"rec"}"#),
            ("06-space.conf", r#"{"name":"my net","type":"rec"}"#),
            ("07-empty.conflist", r#"{"name":"other","plugins":[]}"#),
            ("30-js.json", r#"{"name":"js","type":"a"}"#),
        ]);
        assert_eq!(by_name(folder.path(), "js").unwrap().kinds(), "a");
        let absent = by_name(folder.path(), "nospec").unwrap_err().to_string();
        assert_eq!(absent, format!("no file in {} has the key \"name\": \"nospec\"", folder.path().display()));
    }

    #[test]
    fn our_own_file_is_not_the_first() {
        let folder = folder(&[
            ("00-plexus.conflist", r#"{"name":"n","plugins":[{"type":"plexus"}]}"#),
            ("10-n.conf", r#"{"name":"n","type":"bridge"}"#),
        ]);
        assert_eq!(first_of(folder.path()).unwrap().kinds(), "bridge");
        assert!(matches!(first_of(&folder.path().join("none")), Err(DiskError::Empty(_))));
    }
}
