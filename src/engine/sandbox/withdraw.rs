//! Taking back a network status that waits for the daemon.

use crate::cni::ContainerId;
use crate::engine::Turn;
use crate::sys::trusted;

/// Takes a status back: it is on its pod, or not wanted any more.
pub fn withdraw(turn: &Turn, id: &ContainerId) {
    let path = turn.settings.run.publication(id);
    // A daemon that could not read it has put it aside.
    for path in [path.with_extension("damaged"), path] {
        if let Err(e) = trusted::remove(&path) {
            turn.warn(format!("cannot remove a waiting network-status: {e}"));
        }
    }
}
