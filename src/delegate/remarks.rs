//! What an operator should hear of a call that succeeds: for the log of whoever made the call, and for its report.
//!
//! A process is one call of the plugin: so the remarks are the process's, as the notes of [`super::measure`].

use crate::ipam::PoolName;
use std::sync::{Mutex, PoisonError};

/// More are not kept.
const MOST: usize = 64;
/// So many addresses that other devices have are counted; a report has no room for more.
const MOST_CONFLICTS: usize = 16;

static REMARKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static CONFLICTS: Mutex<Vec<PoolName>> = Mutex::new(Vec::new());

/// Adds a line.
pub(super) fn add(text: String) {
    let mut remarks = REMARKS.lock().unwrap_or_else(PoisonError::into_inner);
    if remarks.len() < MOST {
        remarks.push(text);
    }
}

/// What was added since this was asked last.
pub fn take() -> Vec<String> {
    std::mem::take(&mut REMARKS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Another device has `count` addresses of `pool`.
pub(super) fn add_conflicts(pool: &PoolName, count: usize) {
    let mut conflicts = CONFLICTS.lock().unwrap_or_else(PoisonError::into_inner);
    let room = MOST_CONFLICTS.saturating_sub(conflicts.len());
    conflicts.extend(std::iter::repeat_n(pool.clone(), count.min(room)));
}

/// The pools of addresses that other devices have, once for each address, since this was asked last.
pub fn take_conflicts() -> Vec<PoolName> {
    std::mem::take(&mut CONFLICTS.lock().unwrap_or_else(PoisonError::into_inner))
}
