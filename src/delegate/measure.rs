//! How long each plugin of a call took, and how it ended: for the trace, and for the report of the call.
//!
//! A process is one call of the plugin, or one sweep: so the notes are the process's, as those of the trace.

use super::{Call, Delegate, Error};
use crate::cni::Verb;
use crate::sys::trace;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More are not noted; a report has no room for them.
const MOST: usize = 64;

static NOTES: Mutex<Vec<Note>> = Mutex::new(Vec::new());

/// One call of one plugin that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its `type`.
    pub kind: String,
    /// Whether a program ran; else the plugin is a built-in one.
    pub is_program: bool,
    /// What it was asked for.
    pub verb: Verb,
    /// The code of its error; 0 is success.
    pub code: u32,
    /// How long it took.
    pub took: Duration,
}

/// Has `delegate` do its `work` of `verb`, and notes how that went.
pub(super) fn measured<T>(
    verb: Verb,
    delegate: &dyn Delegate,
    call: &Call<'_>,
    work: impl FnOnce(&dyn Delegate, &Call<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let kind = &call.plugin.kind;
    let _step = trace::step_of(|| format!("plugin {kind}"));
    let began = Instant::now();
    let outcome = work(delegate, call);
    let (took, is_program) = (began.elapsed(), delegate.is_program());
    let code = outcome.as_ref().err().map_or(0, |error| error.to_cni().code);
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.len() < MOST {
        notes.push(Note { kind: kind.to_string(), is_program, verb, code, took });
    }
    outcome
}

/// What was noted since this was asked last.
pub fn take() -> Vec<Note> {
    std::mem::take(&mut NOTES.lock().unwrap_or_else(PoisonError::into_inner))
}
