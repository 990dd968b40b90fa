//! The folder of a network's addresses, locked.

use crate::cni::request::ValidAttachment;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use crate::sys::shared_folder::{self, LockedFolder, Slot};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

const CURSOR: &str = "last_reserved_ip.";

/// The pool while nobody else changes it.
pub(super) struct Pool {
    folder: LockedFolder,
    path: PathBuf,
}

/// The file that has the address at which the last search ended.
pub(super) struct Cursor {
    name: String,
    slot: Slot,
    /// The address, where it is known.
    pub(super) last: Option<IpAddr>,
}

impl Pool {
    /// Locks the pool; makes it where it is missing.
    pub(super) fn open(path: &Path, deadline: Instant) -> Result<Self, Failure> {
        let folder = LockedFolder::acquire(path, deadline).map_err(|e| failed("lock", path, e))?;
        Ok(Pool { folder, path: path.to_owned() })
    }

    /// Locks the pool where there is one: without one nothing is taken.
    pub(super) fn open_existing(path: &Path, deadline: Instant) -> Result<Option<Self>, Failure> {
        let folder = LockedFolder::acquire_existing(path, deadline).map_err(|e| failed("lock", path, e))?;
        Ok(folder.map(|folder| Pool { folder, path: path.to_owned() }))
    }

    /// Whether `path` is, or will be, a folder that nobody but root can exchange.
    pub(super) fn judge(path: &Path) -> Result<(), Failure> {
        let unsafe_folder = |e| Failure::Config(format!("dataDir: the pool {} cannot be used: {e}", path.display()));
        // What it is relative to is the runtime's affair, and may be another directory at the DEL.
        if path.is_relative() {
            return Err(Failure::Config(format!("dataDir: the pool {} is not an absolute path", path.display())));
        }
        shared_folder::find(path).map(drop).map_err(unsafe_folder)
    }

    /// Takes `address` for `target`, unless it is taken; the next search by `cursor` begins after it.
    pub(super) fn take(&self, address: IpAddr, target: Target<'_>, cursor: &mut Cursor) -> Result<bool, Failure> {
        let name = address.to_string();
        let io = |name: &str, e| failed("write", &self.path.join(name), e);
        if !self.folder.create(&name, &owner(target)).map_err(|e| io(&name, e))? {
            return Ok(false);
        }
        if let Err(e) = cursor.slot.write(name.as_bytes()) {
            // Best effort: the error that matters is the one above.
            let _ = self.folder.remove(&name);
            return Err(io(&cursor.name, e));
        }
        Ok(true)
    }

    /// Gives `address` back.
    pub(super) fn give_back(&self, address: IpAddr) -> Result<(), Failure> {
        let name = address.to_string();
        self.folder.remove(&name).map_err(|e| failed("remove", &self.path.join(&name), e))
    }

    /// Where the last search of `set` ended.
    pub(super) fn cursor(&self, set: usize) -> Result<Cursor, Failure> {
        let name = format!("{CURSOR}{set}");
        let open = || {
            let slot = self.folder.slot(&name)?;
            let last = slot.read()?.and_then(|text| text.parse().ok());
            Ok((slot, last))
        };
        let (slot, last) = open().map_err(|e| failed("read", &self.path.join(&name), e))?;
        Ok(Cursor { name, slot, last })
    }

    /// The addresses taken for `target`. Old versions wrote the container alone; such files count too.
    pub(super) fn addresses_of(&self, target: Target<'_>) -> Result<Vec<IpAddr>, Failure> {
        let (new, old) = (owner(target), target.container_id.as_str());
        Ok(self.taken()?.into_iter().filter(|(_, by)| by == &new || by == old).map(|(address, _)| address).collect())
    }

    /// Gives `addresses` back, unless one of them is not `target`'s; answers whether it did. No other file is looked
    /// at, so that a full pool takes no longer than an empty one.
    pub(super) fn release_known(&self, addresses: &[IpAddr], target: Target<'_>) -> Result<bool, Failure> {
        let own = owner(target);
        for address in addresses {
            if self.read(&address.to_string())?.is_none_or(|by| by.trim() != own) {
                return Ok(false);
            }
        }
        addresses.iter().try_for_each(|address| self.give_back(*address)).map(|()| true)
    }

    /// Gives back what was made and never written: whoever did it was killed in between, since writers hold the lock
    /// that we hold. Answers whether there was any.
    pub(super) fn release_unwritten(&self) -> Result<bool, Failure> {
        let unwritten: Vec<_> =
            self.taken()?.into_iter().filter(|(_, by)| by.is_empty()).map(|(address, _)| address).collect();
        unwritten.iter().try_for_each(|address| self.give_back(*address)).map(|()| !unwritten.is_empty())
    }

    /// Gives back what `target` has; what old versions wrote only where there is nothing else,
    /// because it is not told by interface.
    pub(super) fn release(&self, target: Target<'_>) -> Result<(), Failure> {
        let (new, old) = (owner(target), target.container_id.as_str());
        let taken = self.taken()?;
        let of =
            |owner: &str| taken.iter().filter(|(_, by)| by == owner).map(|(address, _)| *address).collect::<Vec<_>>();
        let mut addresses = of(&new);
        if addresses.is_empty() {
            addresses = of(old);
        }
        // Made and never written: whoever did it was killed in between, since writers hold the lock that we hold.
        addresses.extend(of(""));
        addresses.into_iter().try_for_each(|address| self.give_back(address))
    }

    /// Gives back what is taken for no attachment of `valid`.
    pub(super) fn keep_only(&self, valid: &[ValidAttachment]) -> Result<(), Failure> {
        let is_valid = |owner: &str| match owner.split_once("\r\n") {
            Some((container, ifname)) => valid.iter().any(|a| a.container_id == container && a.ifname == ifname),
            None => valid.iter().any(|a| a.container_id == owner),
        };
        // A file that is being written is empty for nobody but us, who hold the lock.
        let invalid = self.taken()?.into_iter().filter(|(_, by)| !is_valid(by));
        invalid.map(|(address, _)| address).try_for_each(|address| self.give_back(address))
    }

    /// Every taken address with its owner.
    fn taken(&self) -> Result<Vec<(IpAddr, String)>, Failure> {
        let mut addresses = Vec::new();
        let listed =
            self.folder.each_name(|name| addresses.extend(name.parse::<IpAddr>().map(|ip| (ip, name.to_owned()))));
        listed.map_err(|e| failed("list", &self.path, e))?;
        let owned = addresses.into_iter().map(|(address, name)| Ok((address, self.read(&name)?)));
        let told = |(address, owner): (IpAddr, Option<String>)| Some((address, owner?.trim().to_owned()));
        owned.filter_map(|read| read.map(told).transpose()).collect()
    }

    fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        self.folder.read(name).map_err(|e| failed("read", &self.path.join(name), e))
    }
}

/// The content of a file.
fn owner(target: Target<'_>) -> String {
    format!("{}\r\n{}", target.container_id, target.ifname)
}

fn failed(what: &str, path: &Path, source: io::Error) -> Failure {
    Failure::Io { what: format!("{what} {}", path.display()), source }
}
