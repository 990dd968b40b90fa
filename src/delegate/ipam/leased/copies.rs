//! A copy of the file of each address in use, in the run directory: it lives at least as long as the pods do.
//!
//! Somebody may delete the state directory, or replace it by an old image, while pods run. Then their addresses are still
//! in use, and only these copies say so. An address is free if neither place has it, and each attachment removes only what
//! is its own in both.

use crate::ipam::history::Owner;
use crate::sys::shared_folder::LockedFolder;
use crate::sys::trusted::Folder;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The mode of the folder of all pools: names of pools are for root.
const PRIVATE: u32 = 0o700;

/// The copies of one pool, locked. The folder of the pool is locked first; a call that locked one that was deleted since then
/// is alone here all the same.
pub(super) struct Copies {
    folder: LockedFolder,
    path: PathBuf,
}

impl Copies {
    /// Locks them; makes their folder where it is missing.
    pub(super) fn open(path: &Path, deadline: Instant) -> io::Result<Self> {
        if let Some(all) = path.parent().filter(|all| !all.exists()) {
            Folder::make(all, PRIVATE)?;
        }
        Ok(Copies { folder: LockedFolder::acquire(path, deadline)?, path: path.to_owned() })
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes that of `address`, unless somebody else has the address; answers whether it did.
    pub(super) fn create(&self, address: IpAddr, owner: &Owner) -> io::Result<bool> {
        let (name, text) = (address.to_string(), owner.to_text());
        if self.folder.create(&name, &text)? {
            return Ok(true);
        }
        // What a killed writer has left has no owner: writers hold the lock that we hold.
        if self.owner(address)?.is_some() {
            return Ok(false);
        }
        self.folder.remove(&name)?;
        self.folder.create(&name, &text)
    }

    /// For whom `address` is in use; none where it is not.
    pub(super) fn owner(&self, address: IpAddr) -> io::Result<Option<Owner>> {
        let owner = self.folder.read(&address.to_string())?.map(|text| Owner::parse(&text));
        Ok(owner.filter(|owner| !owner.container.is_empty()))
    }

    /// Removes that of `address` where it is of the attachment of `owner`.
    pub(super) fn remove(&self, address: IpAddr, owner: &Owner) -> io::Result<()> {
        let is_own = |other: Owner| other.container == owner.container && other.ifname == owner.ifname;
        if self.owner(address)?.is_some_and(is_own) { self.folder.remove(&address.to_string()) } else { Ok(()) }
    }

    /// The addresses that have one, sorted.
    pub(super) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mut all: Vec<IpAddr> = Vec::new();
        self.folder.each_name(|name| all.extend(name.parse::<IpAddr>()))?;
        all.sort_unstable();
        Ok(all)
    }
}

/// Whether `e` says that nothing can be made where the copies are: that is memory, and may be full.
pub(super) fn is_without_room(e: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// Removes the copy at `path`, a folder of copies, for `owner`, whose container is gone.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_copy(path: &Path, address: IpAddr, owner: &Owner, deadline: Instant) -> io::Result<()> {
    if path.exists() { Copies::open(path, deadline)?.remove(address, owner) } else { Ok(()) }
}
