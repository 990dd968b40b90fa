//! What an operator should hear of a call that succeeds: for the log of whoever made the call.
//!
//! A process is one call of the plugin: so the remarks are the process's, as the notes of [`super::measure`].

use std::sync::{Mutex, PoisonError};

/// More are not kept.
const MOST: usize = 64;

static REMARKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

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
