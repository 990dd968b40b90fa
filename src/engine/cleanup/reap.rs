//! Files that nobody asks for any more.

use crate::cni::ContainerId;
use crate::engine::Turn;
use crate::engine::cleanup::due::INTERVAL;
use crate::engine::sandbox::lock;
use crate::sys::files;
use crate::sys::lock::FileLock;
use std::fs::DirEntry;
use std::path::Path;
use std::time::Duration;

/// Who writes a file for so long was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Lock files of sandboxes without a record are only notes that everything is deleted, and beside them the numbers of
/// DELs that got nowhere; after a while nobody asks.
pub fn locks(turn: &Turn) {
    for entry in files::entries(&turn.settings.run.locks()).into_iter().flatten() {
        let old = is_older(&entry, INTERVAL);
        let name = entry.file_name();
        let of = |suffix| name.to_str().and_then(|name| ContainerId::new(name.strip_suffix(suffix)?).ok());
        let is_left = |id: &ContainerId| old && !turn.settings.state.record(id).exists();
        if let Some(id) = of(".attempts").filter(is_left) {
            lock::forget_attempts(turn, &id);
        }
        let Some(id) = of(".lock").filter(is_left) else { continue };
        if let Ok(Some(lock)) = FileLock::try_acquire(&turn.settings.run.lock(&id)) {
            lock.remove();
        }
    }
}

/// Files are written beside their place, by names that begin with a dot; a writer that was killed leaves one.
pub fn temporary_files(turn: &Turn) {
    let (state, run) = (&turn.settings.state, &turn.settings.run);
    for folder in [state.path().to_owned(), state.sandboxes(), state.networks(), run.due(), run.unpublished()] {
        abandoned_in(turn, &folder);
    }
}

/// The answer to a comparison is of no use when the pod may have changed since.
pub fn comparisons(turn: &Turn) {
    for entry in files::entries(&turn.settings.run.comparisons()).into_iter().flatten() {
        if is_older(&entry, INTERVAL)
            && let Err(e) = files::remove(&entry.path())
        {
            turn.warn(format!("{}: {e}", entry.path().display()));
        }
    }
}

fn abandoned_in(turn: &Turn, folder: &Path) {
    for entry in files::entries(folder).into_iter().flatten() {
        let temporary = entry.file_name().as_encoded_bytes().starts_with(b".");
        let file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if temporary
            && file
            && is_older(&entry, ABANDONED)
            && let Err(e) = files::remove(&entry.path())
        {
            turn.warn(format!("{}: {e}", entry.path().display()));
        }
    }
}

fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let modified = entry.metadata().and_then(|file| file.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::{CniArgs, Invocation, Verb};
    use crate::engine::settings::Settings;
    use std::fs::{File, create_dir_all, write};
    use std::time::SystemTime;

    #[test]
    fn numbers_of_attempts_go_with_the_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let text = format!(
            r#"{{"name":"x","cniVersion":"1.0.0","runDirectory":"{path}/run","stateDirectory":"{path}/state"}}"#
        );
        let invocation = Invocation { verb: Verb::Status, target: None, args: CniArgs::default(), path: Vec::new() };
        let turn = Turn::new(invocation, Settings::parse(&text).unwrap());
        let (run, state) = (&turn.settings.run, &turn.settings.state);
        create_dir_all(run.locks()).unwrap();
        create_dir_all(state.sandboxes()).unwrap();
        let [gone, recorded, young] = ["gone", "recorded", "young"].map(|id| ContainerId::new(id).unwrap());
        write(state.record(&recorded), "{}").unwrap();
        for id in [&gone, &recorded, &young] {
            assert_eq!(lock::count_attempt(&turn, id), 1);
        }
        let file = |id: &ContainerId| run.locks().join(format!("{id}.attempts"));
        for id in [&gone, &recorded] {
            File::options().write(true).open(file(id)).unwrap().set_modified(SystemTime::now() - 2 * INTERVAL).unwrap();
        }
        locks(&turn);
        assert_eq!([&gone, &recorded, &young].map(|id| file(id).exists()), [false, true, true]);
    }
}
