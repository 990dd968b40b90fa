//! What other commands of this program print, for a report.

use crate::cli::report::archive::Archive;
use std::process::{Command, Stdio};

/// Runs this program with `words`, and adds what it prints as `name`; what it prints beside, and an exit code that is
/// not 0, as `<name>.log`.
pub fn run(name: &str, words: &[&str], archive: &mut Archive) {
    let output = Command::new("/proc/self/exe").args(words).stdin(Stdio::null()).output();
    let log = match output {
        Ok(output) => {
            if !output.stdout.is_empty() {
                archive.add(name, &String::from_utf8_lossy(&output.stdout));
            }
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) if said.is_empty() => return,
                Some(code) => format!("exit code {code}\n{said}"),
                None => format!("it was killed\n{said}"),
            }
        }
        Err(e) => format!("it could not be started: {e}\n"),
    };
    archive.add(&format!("{name}.log"), &log);
}
