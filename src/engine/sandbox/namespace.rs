//! `CNI_NETNS`: a namespace we may work in, or none.

use crate::cni::{CniError, Code};
use crate::engine::Turn;
use crate::sys::netns::{Error, Netns};
use std::path::Path;
use std::sync::Arc;

/// Opens the namespace for ADD and CHECK, refusing our own: delegates would work on the host (CNI-ENV-11).
///
/// # Errors
/// Code 8.
pub fn open(path: &Path) -> Result<Netns, CniError> {
    let netns = Netns::open(path).map_err(|e| refuse(&e))?;
    if is_own(&netns) { Err(own(path)) } else { Ok(netns) }
}

/// As [`open`], for the namespace of the call, which is opened once.
///
/// # Errors
/// As [`open`].
pub fn of_call(turn: &Turn, path: &Path) -> Result<Arc<Netns>, CniError> {
    let netns = turn.netns(path).map_err(|e| refuse(&e))?;
    if is_own(&netns) { Err(own(path)) } else { Ok(netns) }
}

/// The namespace for DEL: none where it is gone, or only the stale file of an unmounted one is left.
/// Delegates then free what is outside of it.
///
/// # Errors
/// Code 8: it is our own, and DEL would delete the node's interfaces.
pub fn still_there(path: Option<&Path>) -> Result<Option<&Path>, CniError> {
    let Some(path) = path else { return Ok(None) };
    match Netns::open(path) {
        Ok(netns) if is_own(&netns) => Err(own(path)),
        Ok(_) => Ok(Some(path)),
        Err(Error::Missing { .. } | Error::NotANamespace { .. }) => Ok(None),
        Err(e) => Err(refuse(&e)),
    }
}

/// Whether there is no file `path`, and the directory in which it was exists.
pub fn is_missing(path: &Path) -> bool {
    let is_there = path.parent().is_some_and(Path::is_dir);
    is_there && matches!(Netns::open(path), Err(Error::Missing { .. }))
}

fn is_own(netns: &Netns) -> bool {
    // The escape hatch of the reference frame.
    let overridden =
        std::env::var("CNI_NETNS_OVERRIDE").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    !overridden && netns.is_own().unwrap_or(false)
}

fn own(path: &Path) -> CniError {
    refuse(&format!("{} is the namespace Plexus runs in", path.display()))
}

fn refuse(why: &dyn std::fmt::Display) -> CniError {
    CniError::new(Code::Namespace, format!("CNI_NETNS: {why}"))
}
