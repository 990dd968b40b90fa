//! What is taken in a pool and what was, as the names of its files say; and a copy of that in one file.
//!
//! To list a folder of a thousand files takes the kernel longer than all else that an ADD does for an address. So the
//! list is kept in a file of the folder, with the time at which the folder was changed last: it counts while that is the
//! folder's time. It may be wrong all the same, where somebody changed the folder within one tick of the kernel's clock.
//! So nothing depends on it but the order in which addresses are tried: an address is taken by making its file, and
//! before the daemon is told anything the folder is listed.

use crate::ipam::Taken;
use crate::ipam::memory::Former;
use crate::ipam::spans::{address, number};
use crate::sys::shared_folder::State;
use std::net::IpAddr;

/// The file with the copy.
pub(super) const LISTING: &str = "listing";
/// A longer one is none: a pool has some thousand addresses on a node.
pub(super) const MAX_LISTING: usize = 4 << 20;
/// A folder with fewer files is listed as fast as the copy is read.
const MANY: usize = 128;
/// Ends the file. It is written last: what is cut in the middle ends otherwise, or with another time.
const MARK: &[u8; 8] = b"plexus 1";

/// What the names of the files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The taken addresses.
    pub(super) taken: Taken,
    /// Addresses that were given back.
    pub(super) former: Vec<Former>,
}

impl Listing {
    /// Whether a copy is worth its file.
    pub(super) fn is_long(&self) -> bool {
        self.taken.iter().len() + self.former.len() >= MANY
    }

    /// `address` was given back; `former` is what is remembered of it.
    pub(super) fn give_back(&mut self, address: IpAddr, former: Option<Former>) {
        self.taken.remove(address);
        self.former.extend(former);
    }

    /// The copy, of a folder in `state`.
    pub(super) fn to_bytes(&self, state: State) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 * self.taken.iter().len() + 33 * self.former.len() + 64);
        let put = |bytes: &mut Vec<u8>, address: IpAddr| {
            bytes.push(u8::from(address.is_ipv4()));
            bytes.extend(number(address).to_le_bytes());
        };
        self.taken.iter().for_each(|address| put(&mut bytes, address));
        for Former { at, of, address } in &self.former {
            bytes.extend(at.to_le_bytes());
            bytes.extend(of.to_le_bytes());
            put(&mut bytes, *address);
        }
        for count in [self.taken.iter().len(), self.former.len()] {
            bytes.extend((count as u64).to_le_bytes());
        }
        bytes.extend(state.to_bytes());
        bytes.extend(MARK);
        bytes
    }

    /// Reads a copy of the folder in `state`; none where it is of another state, or no copy.
    pub(super) fn from_bytes(bytes: &[u8], state: State) -> Option<Self> {
        let rest = bytes.strip_suffix(MARK)?.strip_suffix(&state.to_bytes())?;
        let (rest, former) = rest.split_last_chunk()?;
        let (rest, taken) = rest.split_last_chunk()?;
        let [taken, former] = [taken, former].map(|count| usize::try_from(u64::from_le_bytes(*count)).ok());
        let (taken, former) = (taken?, former?);
        let length = taken.checked_mul(17)?.checked_add(former.checked_mul(33)?)?;
        if rest.len() != length {
            return None;
        }
        let (addresses, memory) = rest.split_at_checked(taken * 17)?;
        let former = memory.chunks_exact(33).map(|entry| {
            let (at, entry) = entry.split_first_chunk()?;
            let (of, entry) = entry.split_first_chunk()?;
            Some(Former { at: u64::from_le_bytes(*at), of: u64::from_le_bytes(*of), address: read(entry)? })
        });
        let taken: Option<Taken> = addresses.chunks_exact(17).map(read).collect();
        Some(Listing { taken: taken?, former: former.collect::<Option<_>>()? })
    }
}

fn read(entry: &[u8]) -> Option<IpAddr> {
    let (family, number) = entry.split_first()?;
    Some(address(*family == 1, u128::from_le_bytes(number.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_as_it_was_written_and_of_this_state_only() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let former = |at, address| Former { at, of: u64::MAX - at, address: ip(address) };
        let listing = Listing {
            taken: [ip("10.0.0.9"), ip("fd00::7"), ip("10.0.0.2")].into_iter().collect(),
            former: vec![former(7, "10.0.0.3"), former(8, "fd00::8")],
        };
        let folder = tempfile::tempdir().unwrap();
        let state = || State::of(&std::fs::metadata(folder.path()).unwrap());
        let before = state();
        let bytes = listing.to_bytes(before);
        assert_eq!(Listing::from_bytes(&bytes, before), Some(listing.clone()));
        assert_eq!(Listing::from_bytes(&Listing::default().to_bytes(before), before), Some(Listing::default()));
        for length in 0..bytes.len() {
            assert_eq!(Listing::from_bytes(&bytes[..length], before), None, "{length}");
            assert_eq!(Listing::from_bytes(&bytes[length + 1..], before), None, "{length}");
        }
        // A short list over a longer one, cut in the middle.
        let mut cut = Listing { former: Vec::new(), ..listing }.to_bytes(before);
        cut.truncate(20);
        let mixed = [&cut, &bytes[20..]].concat();
        nix::sys::stat::utimes(folder.path(), &nix::sys::time::TimeVal::new(1, 0), &nix::sys::time::TimeVal::new(1, 0))
            .unwrap();
        for bytes in [mixed, bytes] {
            assert_eq!(Listing::from_bytes(&bytes, state()), None, "the folder was changed since");
        }
    }
}
