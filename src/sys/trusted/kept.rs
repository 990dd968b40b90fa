//! Folders that were looked at once: during one call they are not walked to again, from the root folder down.
//!
//! What was verified through a descriptor stays bound to it. A folder that is removed is forgotten, and its owner and
//! mode are looked at each time it is used.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

thread_local! {
    /// By thread, because threads may differ in their mounts. None where nobody asked for it: a process that runs for
    /// long has to see what becomes of a path.
    static KEPT: RefCell<Option<Vec<Kept>>> = const { RefCell::new(None) };
}

/// A folder and where it is. There are some dozen of them: to compare their paths as bytes takes less than to hash one
/// component after the other. A path that is written in another way is walked to once more.
type Kept = (PathBuf, Arc<OwnedFd>);

/// While this lives, the calling thread keeps the folders that it has opened.
#[derive(Debug)]
pub struct KeptFolders {
    /// It ends in the thread in which it began.
    _of_thread: PhantomData<*const ()>,
}

impl KeptFolders {
    /// From now on.
    pub fn begin() -> Self {
        KEPT.set(Some(Vec::new()));
        KeptFolders { _of_thread: PhantomData }
    }
}

impl Drop for KeptFolders {
    fn drop(&mut self) {
        KEPT.set(None);
    }
}

/// The folder nearest to `path` that is kept: itself, or one above it.
pub(super) fn nearest(path: &Path) -> Option<(PathBuf, Arc<OwnedFd>)> {
    KEPT.with_borrow(|kept| {
        let kept = kept.as_ref().filter(|kept| !kept.is_empty())?;
        let is = |above: &Path| kept.iter().find(|(path, _)| path.as_os_str() == above.as_os_str());
        path.ancestors().find_map(is).cloned()
    })
}

/// Keeps `folder`, to which no symbolic link led.
pub(super) fn keep(path: &Path, folder: &Arc<OwnedFd>) {
    KEPT.with_borrow_mut(|kept| {
        let is_plain = path.is_absolute() && path.components().all(|part| part != Component::ParentDir);
        if let Some(kept) = kept.as_mut().filter(|_| is_plain) {
            kept.retain(|(known, _)| known.as_os_str() != path.as_os_str());
            kept.push((path.to_owned(), Arc::clone(folder)));
        }
    });
}

/// Forgets all: one of them is not there any more.
pub(super) fn forget() {
    KEPT.with_borrow_mut(|kept| kept.iter_mut().for_each(Vec::clear));
}
