//! The files of taken addresses, locked: container ID, CR LF, interface, CR LF, network, and the pod where it is known.

use super::copies::{Copies, is_without_room};
use super::lessor::Folders;
use super::listing::{LISTING, Listing, MAX_LISTING};
use crate::cni::request::ValidAttachment;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::remarks;
use crate::delegate::stdin::Target;
use crate::ipam::Confirmed;
use crate::ipam::history::{Event, Owner, What};
use crate::ipam::memory::{Former, Times, identity};
use crate::ipam::probe::Aside;
use crate::sys::conflicts::Claim;
use crate::sys::shared_folder::{self, LockedFolder, Slot};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Begins the names of files that hold the last address of a family.
const CURSOR: &str = "last_reserved_ip.";
/// The file with who had an address when, and its predecessors: the oldest is the last one.
pub const HISTORY: [&str; 4] = ["history", "history.1", "history.2", "history.3"];
/// The file with addresses that other devices answered for.
const ASIDE: &str = "aside";
/// A longer one is moved aside.
const MAX_HISTORY: usize = 4 << 20;
/// So many files that nothing depends on are removed in one call.
const MOST_FORGOTTEN: usize = 64;

/// The pool on this node while nobody else changes it.
pub(super) struct Addresses {
    folder: LockedFolder,
    path: PathBuf,
    /// None where there is no room for any, so that there are none.
    copies: Option<Copies>,
    /// When it was locked: what waits for the lock has no older authority.
    pub(super) now: Confirmed,
}

/// The file that has the address at which the last search of a family ended.
pub(super) struct Cursor {
    name: String,
    slot: Slot,
    /// The address, where it is known.
    pub(super) last: Option<IpAddr>,
}

/// For whom addresses are taken by `call`. What CNI_ARGS has no room for is not known.
pub(super) fn owner(call: &Call<'_>, target: Target<'_>, network: &str) -> Owner {
    let args = call.scope.args;
    let plain = |key: &str| {
        let value = args.get(key).unwrap_or_default();
        let is_word = value.bytes().all(|byte| byte.is_ascii_graphic());
        if is_word { value.to_owned() } else { String::new() }
    };
    let (namespace, name) = (plain("K8S_POD_NAMESPACE"), plain("K8S_POD_NAME"));
    let pod = if namespace.is_empty() || name.is_empty() { String::new() } else { format!("{namespace}/{name}") };
    let (container, ifname) = (target.container_id.to_string(), target.ifname.to_string());
    Owner { container, ifname, network: network.to_owned(), pod, uid: plain("K8S_POD_UID") }
}

/// The number of an owner for [`Former::of`].
pub(super) fn number_of(owner: &Owner) -> u64 {
    if owner.pod.is_empty() { 0 } else { identity(&owner.pod, &owner.ifname) }
}

impl Addresses {
    /// Locks the folders; makes them where they are missing. `now` is asked for the time after that.
    pub(super) fn open(folders: &Folders, deadline: Instant, now: impl FnOnce() -> Confirmed) -> Result<Self, Failure> {
        let path = &folders.own;
        let folder = LockedFolder::acquire(path, deadline).map_err(|e| failed("lock", path, e))?;
        let copies = Copies::open(&folders.copies, deadline).map_err(|e| failed("lock", &folders.copies, e))?;
        Ok(Addresses { folder, path: path.clone(), copies: Some(copies), now: now() })
    }

    /// Locks the folders where there is one: without one nothing is taken. What gives back needs no room for copies.
    pub(super) fn open_existing(
        folders: &Folders,
        deadline: Instant,
        now: impl FnOnce() -> Confirmed,
    ) -> Result<Option<Self>, Failure> {
        let exists = |path: &Path| shared_folder::find(path).map_err(|e| failed("lock", path, e));
        if exists(&folders.own)?.is_none() && exists(&folders.copies)?.is_none() {
            return Ok(None);
        }
        let path = &folders.own;
        let folder = LockedFolder::acquire(path, deadline).map_err(|e| failed("lock", path, e))?;
        let copies = match Copies::open(&folders.copies, deadline) {
            Err(e) if is_without_room(&e) => None,
            copies => Some(copies.map_err(|e| failed("lock", &folders.copies, e))?),
        };
        Ok(Some(Addresses { folder, path: path.clone(), copies, now: now() }))
    }

    /// What is taken, and what was: by the copy where there is one, so that nothing may depend on it.
    pub(super) fn listing(&self) -> Result<Listing, Failure> {
        let copy = || {
            let bytes = self.folder.existing_slot(LISTING).ok()??.read_bytes(MAX_LISTING).ok()?;
            Listing::from_bytes(&bytes, self.folder.state().ok()?)
        };
        copy().map_or_else(|| self.list(), Ok)
    }

    /// What is taken, and what was. No file is read.
    pub(super) fn list(&self) -> Result<Listing, Failure> {
        let (taken, former) = self.names()?;
        Ok(Listing { taken: taken.into_iter().collect(), former })
    }

    /// Leaves `listing` for the next call. Without a copy that one lists the folder.
    pub(super) fn keep(&self, listing: &Listing) {
        if listing.is_long()
            && let Ok(mut slot) = self.folder.slot(LISTING)
            && let Ok(state) = self.folder.state()
        {
            let _ = slot.write(&listing.to_bytes(state));
        }
    }

    fn names(&self) -> Result<(Vec<IpAddr>, Vec<Former>), Failure> {
        let (mut taken, mut former) = (Vec::new(), Vec::new());
        let listed = self.folder.each_name(|name| match name.parse() {
            Ok(address) => taken.push(address),
            Err(_) => former.extend(Former::parse(name)),
        });
        listed.map_err(|e| failed("list", &self.path, e))?;
        taken.sort_unstable();
        let copied = self.copies()?;
        let lacks = |all: &[IpAddr], address: &IpAddr| all.binary_search(address).is_err();
        // Of a former release, or of another boot.
        for address in taken.iter().filter(|address| lacks(&copied, address)) {
            if let (Some(owner), Some(copies)) = (self.written(*address)?, &self.copies) {
                // Without it the address is as safe as before; who gives one back does not need it.
                let _ = copies.create(*address, &owner);
            }
        }
        let missing: Vec<IpAddr> = copied.into_iter().filter(|address| lacks(&taken, address)).collect();
        taken.extend(self.restore(missing)?);
        Ok((taken, former))
    }

    /// Makes the files of `missing` again, which are in use, and answers which those are. Where it cannot be done the copies
    /// count all the same.
    fn restore(&self, missing: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failure> {
        let (mut restored, mut count) = (Vec::new(), 0);
        for address in missing {
            let Some(owner) = self.copied_for(address)? else { continue };
            if self.folder.create(&address.to_string(), &owner.to_text()).unwrap_or(false) {
                self.note(What::Taken, address, &owner);
                count += 1;
            }
            restored.push(address);
        }
        if count > 0 {
            let path = self.path.display();
            remarks::add(format!(
                "{path} was deleted or replaced while pods run: {count} addresses in use were missing, and their files exist again"
            ));
        }
        Ok(restored)
    }

    /// Takes `address`, unless it is taken; the next search by `cursor` begins after it.
    pub(super) fn take(&self, address: IpAddr, owner: &Owner, cursor: &mut Cursor) -> Result<bool, Failure> {
        let name = address.to_string();
        if !self.folder.create(&name, &owner.to_text()).map_err(|e| failed("write", &self.path.join(&name), e))? {
            return Ok(false);
        }
        // Somebody deleted the file of an address that is in use.
        let made = self.copies.as_ref().map_or(Ok(true), |copies| copies.create(address, owner));
        let copied = made.map_err(|e| self.of_copies(e));
        if !matches!(copied, Ok(true)) {
            self.remove(address)?;
            return copied;
        }
        if let Err(e) = cursor.slot.write(name.as_bytes()) {
            // Best effort: the error that matters is the one above.
            let _ = self.undo(address, owner);
            return Err(failed("write", &self.path.join(&cursor.name), e));
        }
        Ok(true)
    }

    /// Gives `address` back that this call has taken for `owner`: nobody has used it.
    pub(super) fn undo(&self, address: IpAddr, owner: &Owner) -> Result<(), Failure> {
        self.remove_copy(address, owner)?;
        self.remove(address)
    }

    /// Gives `address` back that this call has taken for `owner`, where it is still that one's, and notes that.
    pub(super) fn withdraw(&self, address: IpAddr, owner: &Owner) -> Result<(), Failure> {
        if self.owner(address)?.as_ref() == Some(owner) {
            self.undo(address, owner)?;
            self.note(What::Released, address, owner);
        }
        Ok(())
    }

    /// The addresses that nobody gets for a while, because another device answered for them.
    pub(super) fn aside(&self) -> Result<BTreeSet<IpAddr>, Failure> {
        Ok(Aside::parse(&self.read(ASIDE)?.unwrap_or_default()).addresses(self.now.clock))
    }

    /// Sets the addresses of `claims` aside.
    pub(super) fn set_aside(&self, claims: &[Claim]) -> Result<(), Failure> {
        let mut aside = Aside::parse(&self.read(ASIDE)?.unwrap_or_default());
        claims.iter().for_each(|claim| aside.add(claim.address, &claim.mac.to_string(), self.now.clock));
        let write = || self.folder.slot(ASIDE)?.write(aside.to_text().as_bytes());
        write().map_err(|e| failed("write", &self.path.join(ASIDE), e))
    }

    /// Where the last search of a family ended.
    pub(super) fn cursor(&self, is_v4: bool) -> Result<Cursor, Failure> {
        let name = format!("{CURSOR}{}", crate::ipam::grant::family(is_v4));
        let open = || {
            let slot = self.folder.slot(&name)?;
            let last = slot.read()?.and_then(|text| text.trim().parse().ok());
            Ok((slot, last))
        };
        let (slot, last) = open().map_err(|e| failed("read", &self.path.join(&name), e))?;
        Ok(Cursor { name, slot, last })
    }

    /// Gives `told` back where each of them is of `target`, and answers whether it did. No other file is read.
    pub(super) fn release_told(
        &self,
        told: &[IpAddr],
        target: Target<'_>,
        listing: &mut Listing,
    ) -> Result<bool, Failure> {
        let mut owners = Vec::new();
        for address in told {
            match self.owner(*address)?.filter(|owner| is_of(owner, target)) {
                Some(owner) => owners.push((*address, owner)),
                None => return Ok(false),
            }
        }
        for (address, owner) in &owners {
            listing.give_back(*address, self.give_back(*address, owner, What::Released)?);
        }
        Ok(!told.is_empty())
    }

    /// Gives back what `target` has, and what a killed writer left without an owner.
    pub(super) fn release(&self, target: Target<'_>) -> Result<(), Failure> {
        self.release_if(What::Released, |owner| owner.container.is_empty() || is_of(owner, target))
    }

    /// Gives back what a killed writer left without an owner: writers hold the lock that we hold.
    pub(super) fn release_unwritten(&self) -> Result<(), Failure> {
        self.release_if(What::Lost, |owner| owner.container.is_empty())
    }

    /// Gives back what was taken for `network` and for none of `valid`. Another network may share the pool: its
    /// attachments need not be in the list.
    pub(super) fn keep_only(&self, network: &str, valid: &[ValidAttachment]) -> Result<(), Failure> {
        let is_valid = |owner: &Owner| {
            valid.iter().any(|valid| valid.container_id == owner.container && valid.ifname == owner.ifname)
        };
        self.release_if(What::Lost, |owner| owner.container.is_empty() || owner.network == network && !is_valid(owner))
    }

    /// The addresses of `target`.
    pub(super) fn of(&self, target: Target<'_>) -> Result<Vec<IpAddr>, Failure> {
        Ok(self.select(|owner| is_of(owner, target))?.into_iter().map(|(address, _)| address).collect())
    }

    /// Removes what is remembered of addresses that are taken again, that are `elsewhere`, or of a time that is over.
    pub(super) fn forget(&self, listing: &mut Listing, times: Times, elsewhere: impl Fn(IpAddr) -> bool) {
        let Listing { taken, former } = listing;
        former.sort_unstable_by_key(|one| (one.address, one.at));
        let younger = former.iter().skip(1).map(Some).chain([None]);
        let over = former.iter().zip(younger).filter(|(one, next)| {
            let has_younger = next.is_some_and(|next| next.address == one.address && next.at > one.at);
            let is_over = taken.contains(one.address) || times.is_over(one, self.now.clock);
            has_younger || is_over || elsewhere(one.address)
        });
        let over: Vec<Former> = over.take(MOST_FORGOTTEN).map(|(one, _)| one.clone()).collect();
        for one in &over {
            // Best effort: the next call tries again.
            let _ = self.folder.remove(&one.to_name());
        }
        former.retain(|one| !over.contains(one));
    }

    /// Notes in the history what happened. Nothing depends on it, so that a full disk keeps nobody from anything.
    pub(super) fn note(&self, what: What, address: IpAddr, owner: &Owner) {
        let line = Event { at: self.now.clock, what, address, owner: owner.clone() }.to_line();
        note(&self.folder, &line);
    }

    fn release_if(&self, what: What, chosen: impl Fn(&Owner) -> bool) -> Result<(), Failure> {
        self.select(&chosen)?
            .iter()
            .try_for_each(|(address, owner)| self.give_back(*address, owner, what).map(drop))?;
        // One whose file is somebody else's: an old image has it.
        for address in self.copies()? {
            if let Some(owner) = self.copied_for(address)?.filter(|owner| chosen(owner)) {
                self.remove_copy(address, &owner)?;
            }
        }
        Ok(())
    }

    /// Its file becomes what is remembered of it, in one step; answers that. Where it cannot be, nothing is remembered.
    fn give_back(&self, address: IpAddr, owner: &Owner, what: What) -> Result<Option<Former>, Failure> {
        // The copy first: what is killed here leaves the file, and the address is in use until the next DEL.
        self.remove_copy(address, owner)?;
        let name = address.to_string();
        let former = Former { at: self.now.clock, of: number_of(owner), address };
        let is_kept = !owner.container.is_empty() && self.folder.rename(&name, &former.to_name()).is_ok();
        if !is_kept {
            self.remove(address)?;
        }
        self.note(what, address, owner);
        Ok(is_kept.then_some(former))
    }

    fn remove(&self, address: IpAddr) -> Result<(), Failure> {
        let name = address.to_string();
        self.folder.remove(&name).map_err(|e| failed("remove", &self.path.join(&name), e))
    }

    fn select(&self, chosen: impl Fn(&Owner) -> bool) -> Result<Vec<(IpAddr, Owner)>, Failure> {
        let mut found = Vec::new();
        let (mut taken, _) = self.names()?;
        taken.sort_unstable();
        for address in taken {
            found.extend(self.owner(address)?.filter(&chosen).map(|owner| (address, owner)));
        }
        Ok(found)
    }

    /// For whom `address` is taken; none where it is not.
    pub(super) fn owner(&self, address: IpAddr) -> Result<Option<Owner>, Failure> {
        match self.read(&address.to_string())? {
            Some(text) => Ok(Some(Owner::parse(&text))),
            None => self.copied_for(address),
        }
    }

    /// For whom the file of `address` is; none where it is being written.
    fn written(&self, address: IpAddr) -> Result<Option<Owner>, Failure> {
        let text = self.read(&address.to_string())?;
        Ok(text.map(|text| Owner::parse(&text)).filter(|owner| !owner.container.is_empty()))
    }

    /// The addresses that have a copy, sorted.
    fn copies(&self) -> Result<Vec<IpAddr>, Failure> {
        self.copies.as_ref().map_or(Ok(Vec::new()), Copies::addresses).map_err(|e| self.of_copies(e))
    }

    /// For whom the copy of `address` is.
    fn copied_for(&self, address: IpAddr) -> Result<Option<Owner>, Failure> {
        self.copies.as_ref().map_or(Ok(None), |copies| copies.owner(address)).map_err(|e| self.of_copies(e))
    }

    fn remove_copy(&self, address: IpAddr, owner: &Owner) -> Result<(), Failure> {
        self.copies.as_ref().map_or(Ok(()), |copies| copies.remove(address, owner)).map_err(|e| self.of_copies(e))
    }

    fn of_copies(&self, e: io::Error) -> Failure {
        failed("use", self.copies.as_ref().map_or(&self.path, Copies::path), e)
    }

    fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        self.folder.read(name).map_err(|e| failed("read", &self.path.join(name), e))
    }
}

/// Notes in the history of the pool at `path` that a sweep has given `address` back.
pub fn note_lost(path: &Path, address: IpAddr, owner: Owner, deadline: Instant) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Ok(Some(folder)) = LockedFolder::acquire_existing(path, deadline) {
        note(&folder, &Event { at, what: What::Lost, address, owner }.to_line());
    }
}

/// Appends `line`. A history that is full is moved aside, and the oldest one goes.
fn note(folder: &LockedFolder, line: &str) {
    let full = folder.append(HISTORY[0], line, MAX_HISTORY).is_err_and(|e| e.kind() == io::ErrorKind::FileTooLarge);
    if full {
        for pair in HISTORY.windows(2).rev() {
            let _ = folder.rename(pair[0], pair[1]);
        }
        let _ = folder.append(HISTORY[0], line, MAX_HISTORY);
    }
}

fn is_of(owner: &Owner, target: Target<'_>) -> bool {
    owner.container == target.container_id.as_str() && owner.ifname == target.ifname.as_str()
}

fn failed(what: &str, path: &Path, source: io::Error) -> Failure {
    Failure::Io { what: format!("{what} {}", path.display()), source }
}
