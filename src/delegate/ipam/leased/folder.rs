//! The files of taken addresses, locked: container ID, CR LF, interface, CR LF, network.

use crate::cni::request::ValidAttachment;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::Target;
use crate::sys::shared_folder::LockedFolder;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Begins the names of files that hold the last address of a family.
const CURSOR: &str = "last_reserved_ip.";

/// The pool on this node while nobody else changes it.
pub(super) struct Addresses {
    folder: LockedFolder,
    path: PathBuf,
}

impl Addresses {
    /// Locks the folder; makes it where it is missing.
    pub(super) fn open(path: &Path, deadline: Instant) -> Result<Self, Failure> {
        let folder = LockedFolder::acquire(path, deadline).map_err(|e| failed("lock", path, e))?;
        Ok(Addresses { folder, path: path.to_owned() })
    }

    /// Locks the folder where there is one: without one nothing is taken.
    pub(super) fn open_existing(path: &Path, deadline: Instant) -> Result<Option<Self>, Failure> {
        let folder = LockedFolder::acquire_existing(path, deadline).map_err(|e| failed("lock", path, e))?;
        Ok(folder.map(|folder| Addresses { folder, path: path.to_owned() }))
    }

    /// The taken addresses, sorted. No file is read.
    pub(super) fn taken(&self) -> Result<Vec<IpAddr>, Failure> {
        let names = self.folder.names().map_err(|e| failed("list", &self.path, e))?;
        let mut taken: Vec<IpAddr> = names.iter().filter_map(|name| name.parse().ok()).collect();
        taken.sort_unstable();
        Ok(taken)
    }

    /// Takes `address`, unless it is taken; the next search of its family begins after it.
    pub(super) fn take(&self, address: IpAddr, target: Target<'_>, network: &str) -> Result<bool, Failure> {
        let name = address.to_string();
        let owner = format!("{}\r\n{}\r\n{network}", target.container_id, target.ifname);
        if !self.folder.create(&name, &owner).map_err(|e| failed("write", &self.path.join(&name), e))? {
            return Ok(false);
        }
        let cursor = cursor_of(address.is_ipv4());
        if let Err(e) = self.folder.overwrite(&cursor, &name) {
            // Best effort: the error that matters is the one above.
            let _ = self.folder.remove(&name);
            return Err(failed("write", &self.path.join(&cursor), e));
        }
        Ok(true)
    }

    /// Where the last search of a family ended.
    pub(super) fn cursor(&self, is_v4: bool) -> Result<Option<IpAddr>, Failure> {
        Ok(self.read(&cursor_of(is_v4))?.and_then(|text| text.trim().parse().ok()))
    }

    /// Gives `address` back.
    pub(super) fn give_back(&self, address: IpAddr) -> Result<(), Failure> {
        let name = address.to_string();
        self.folder.remove(&name).map_err(|e| failed("remove", &self.path.join(&name), e))
    }

    /// Gives `told` back where each of them is of `target`, and answers whether it did. No other file is read.
    pub(super) fn release_told(&self, told: &[IpAddr], target: Target<'_>) -> Result<bool, Failure> {
        for address in told {
            if !self.owner(*address)?.is_some_and(|owner| owner.is_of(target)) {
                return Ok(false);
            }
        }
        told.iter().try_for_each(|address| self.give_back(*address)).map(|()| !told.is_empty())
    }

    /// Gives back what `target` has, and what a killed writer left without an owner.
    pub(super) fn release(&self, target: Target<'_>) -> Result<(), Failure> {
        self.release_if(|owner| owner.container.is_empty() || owner.is_of(target))
    }

    /// Gives back what a killed writer left without an owner: writers hold the lock that we hold.
    pub(super) fn release_unwritten(&self) -> Result<(), Failure> {
        self.release_if(|owner| owner.container.is_empty())
    }

    /// Gives back what was taken for `network` and for none of `valid`. Another network may share the pool: its
    /// attachments need not be in the list.
    pub(super) fn keep_only(&self, network: &str, valid: &[ValidAttachment]) -> Result<(), Failure> {
        let is_valid = |owner: &Owner| {
            valid.iter().any(|valid| valid.container_id == owner.container && valid.ifname == owner.ifname)
        };
        self.release_if(|owner| owner.container.is_empty() || owner.network == network && !is_valid(owner))
    }

    /// The addresses of `target`.
    pub(super) fn of(&self, target: Target<'_>) -> Result<Vec<IpAddr>, Failure> {
        self.select(|owner| owner.is_of(target))
    }

    fn release_if(&self, chosen: impl Fn(&Owner) -> bool) -> Result<(), Failure> {
        self.select(chosen)?.into_iter().try_for_each(|address| self.give_back(address))
    }

    fn select(&self, chosen: impl Fn(&Owner) -> bool) -> Result<Vec<IpAddr>, Failure> {
        let mut found = Vec::new();
        for address in self.taken()? {
            if self.owner(address)?.is_some_and(|owner| chosen(&owner)) {
                found.push(address);
            }
        }
        Ok(found)
    }

    fn owner(&self, address: IpAddr) -> Result<Option<Owner>, Failure> {
        Ok(self.read(&address.to_string())?.map(|text| Owner::parse(&text)))
    }

    fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        self.folder.read(name).map_err(|e| failed("read", &self.path.join(name), e))
    }
}

/// Who has an address.
struct Owner {
    container: String,
    ifname: String,
    network: String,
}

impl Owner {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.trim().to_owned());
        let mut next = || lines.next().unwrap_or_default();
        Owner { container: next(), ifname: next(), network: next() }
    }

    fn is_of(&self, target: Target<'_>) -> bool {
        self.container == target.container_id.as_str() && self.ifname == target.ifname.as_str()
    }
}

fn cursor_of(is_v4: bool) -> String {
    format!("{CURSOR}{}", crate::ipam::grant::family(is_v4))
}

fn failed(what: &str, path: &Path, source: io::Error) -> Failure {
    Failure::Io { what: format!("{what} {}", path.display()), source }
}
