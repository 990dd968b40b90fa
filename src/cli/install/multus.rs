//! Beside Multus. Its configuration sorts before ours, so the runtime would go on calling Multus; and a Multus that
//! starts takes the first other file of the directory, then ours, as its default network: it would call us without
//! the pod's annotations. So nothing is installed while its file stands before ours, unless a person asks to replace it.

use crate::cli::config::document::LIST;
use crate::cli::config::{Mode, Wanted};
use crate::cli::output::Output;
use crate::cli::{Error, trust};
use crate::engine::planning::disk;
use crate::engine::planning::refusals::recursion;
use crate::sys::files;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Added to the name of a file of Multus that is replaced: no runtime loads it, and a person can rename it back.
pub const REPLACED: &str = ".plexus-replaced";

/// Refuses to install while the runtime takes a file of Multus before ours.
///
/// # Errors
/// It does, or the directory cannot be read.
pub fn refuse(wanted: &Wanted) -> Result<(), Error> {
    trust::check(&wanted.cni_conf_dir)?;
    match before_ours(wanted)?.into_iter().next() {
        Some(path) => Err(Error::BesideMultus { path, ours: wanted.cni_conf_dir.join(LIST) }),
        None => Ok(()),
    }
}

/// Prints what [`replace`] will rename, before anything is changed.
///
/// # Errors
/// The directory cannot be read.
pub fn announce(wanted: &Wanted, output: &Output) -> Result<(), Error> {
    trust::check(&wanted.cni_conf_dir)?;
    for path in before_ours(wanted)? {
        let aside = free_name(&path);
        output.remark(format!(
            "{} is Multus' configuration: it will be renamed to {}",
            path.display(),
            aside.display()
        ));
    }
    Ok(())
}

/// Renames the files of Multus that the runtime takes before ours. Ours is there by now, so that it always has one.
///
/// # Errors
/// One cannot be renamed; the others may be.
pub fn replace(wanted: &Wanted, output: &Output) -> Result<(), Error> {
    for path in before_ours(wanted)? {
        let aside = free_name(&path);
        fs::rename(&path, &aside).map_err(|source| Error::Write { path: aside.clone(), source })?;
        output.remark(format!(
            "renamed {} to {}; while Multus' DaemonSet exists, its next start writes the file again",
            path.display(),
            aside.display()
        ));
    }
    Ok(())
}

/// What was renamed by [`replace`] and is still there, for whoever takes Plexus off the node again.
pub fn replaced(folder: &Path) -> Vec<PathBuf> {
    let entries = files::entries(folder).into_iter().flatten().map(|entry| entry.path());
    let mut replaced: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains(REPLACED)).collect();
    replaced.sort();
    replaced
}

/// The files of Multus that the runtime takes before ours. Where ours is chained behind a network that is the first
/// file which is not Multus'.
fn before_ours(wanted: &Wanted) -> Result<Vec<PathBuf>, Error> {
    let folder = std::path::absolute(&wanted.cni_conf_dir).unwrap_or_else(|_| wanted.cni_conf_dir.clone());
    let ours = folder.join(LIST);
    let candidates = disk::candidates(&folder).map_err(|source| Error::Primary { source })?.into_iter();
    Ok(match wanted.mode {
        Mode::Delegate => candidates.take_while(|path| *path < ours).filter(|path| is_multus(path)).collect(),
        Mode::Chain => candidates.take_while(|path| is_multus(path)).collect(),
    })
}

/// By what it holds; where that cannot be read, by its name.
fn is_multus(path: &Path) -> bool {
    match disk::read(path) {
        Ok(network) => recursion::names_itself(&network).is_some_and(|kind| kind.starts_with("multus")),
        Err(_) => path.file_name().is_some_and(|name| name.to_string_lossy().contains("multus")),
    }
}

/// A name that no file has: what was replaced before is kept, too.
fn free_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_free = |path: &PathBuf| matches!(fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound);
    let numbered = (2..).map(|number| format!("{name}{REPLACED}-{number}"));
    let mut names = std::iter::once(format!("{name}{REPLACED}")).chain(numbered).map(|name| path.with_file_name(name));
    names.find(is_free).unwrap_or_else(|| path.with_file_name(format!("{name}{REPLACED}")))
}
