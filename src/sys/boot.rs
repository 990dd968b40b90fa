//! Which boot of the machine this is.

use super::proc_file::Unproved;
use super::{files, proc_file};
use nix::time::{ClockId, clock_gettime};
use std::path::Path;

/// The file of the identifier, below `/proc`.
const ID: &str = "sys/kernel/random/boot_id";

/// An identifier and a newline.
const MAX_ID: usize = 64;

/// What is known of this boot. Identifiers of different kinds cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The kernel's identifier, by the kernel itself: what is of another one cannot exist any more.
    Kernels(String),
    /// What `/proc` shows in its place: a manager of containers gives each boot of a container its own.
    Shown {
        /// The identifier.
        id: String,
        /// Why it is not the kernel's.
        why: String,
    },
    /// Nothing; why.
    Unknown(String),
}

impl Boot {
    /// This boot.
    pub fn this() -> Self {
        let unproved = match proved() {
            Ok(id) => return Boot::Kernels(id),
            Err(why) => why.to_string(),
        };
        // One that changes from look to look is no identifier of a boot.
        match shown().filter(|id| shown().as_ref() == Some(id)) {
            Some(id) => Boot::Shown { id, why: unproved },
            None => Boot::Unknown(unproved),
        }
    }

    /// The kernel's identifier, if this is one.
    pub fn kernels(&self) -> Option<&str> {
        match self {
            Boot::Kernels(id) => Some(id),
            Boot::Shown { .. } | Boot::Unknown(_) => None,
        }
    }

    /// The identifier that is shown in its place.
    pub fn shown_instead(&self) -> Option<&str> {
        match self {
            Boot::Shown { id, .. } => Some(id),
            Boot::Kernels(_) | Boot::Unknown(_) => None,
        }
    }

    /// Why the kernel's is unknown.
    pub fn doubt(&self) -> Option<&str> {
        match self {
            Boot::Kernels(_) => None,
            Boot::Shown { why, .. } | Boot::Unknown(why) => Some(why),
        }
    }
}

fn proved() -> Result<String, Unproved> {
    let text = proc_file::read(ID, MAX_ID)?;
    let id = text.trim();
    if id.is_empty() { Err(proc_file::unreadable(ID)) } else { Ok(id.to_owned()) }
}

/// The identifier of this boot as `/proc` shows it here, which proves nothing.
pub fn shown() -> Option<String> {
    let text = files::read_bounded(&Path::new("/proc").join(ID), MAX_ID).ok()??;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// How many seconds ago this boot began, by a clock that nobody sets and that runs while the machine sleeps: that of
/// proc_uptime(5), which is also the time of former releases.
pub fn seconds() -> Option<u64> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.tv_sec().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_identifier_and_began_before_now() {
        let id = Boot::this().kernels().unwrap().to_owned();
        assert_eq!((Boot::this(), shown().unwrap()), (Boot::Kernels(id.clone()), id.clone()));
        assert_eq!((id.len(), id.matches('-').count()), (36, 4));
        assert!(seconds().is_some_and(|seconds| seconds > 0));
    }
}
