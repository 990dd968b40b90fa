//! Ctrl-C and the signals that end a program, for commands that have to clean up first.

use super::Error;
use crate::cli::output::Output;
use nix::sys::signal::{SigSet, Signal};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Whether the command was told to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// From now on a signal is noted instead of ending the program. The second one ends it at once, with `last_words`.
    /// To be called before the first thread is started: all of them leave the signals to one thread.
    ///
    /// # Errors
    /// The signals cannot be blocked, or there is no thread to wait for them.
    pub fn catch(last_words: &'static str) -> Result<Self, Error> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        signals.thread_block().map_err(|e| Error::Signals(e.into()))?;
        let this = Interrupt::default();
        let told = this.clone();
        let wait = move || {
            while signals.wait().is_ok() {
                if told.is_asked() {
                    Output::of_process().remark(last_words);
                    std::process::exit(1);
                }
                *told.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                told.0.1.notify_all();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(Error::Signals)?;
        Ok(this)
    }

    /// Whether it was told to stop.
    pub fn is_asked(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, or until it is told to stop; whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(asked, time, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
