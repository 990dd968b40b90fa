//! A checklist as a person reads it.

use crate::cli::Error;
use crate::cli::diagnosis::{Check, Mark};
use crate::cli::output::{Output, Tone};

/// Prints `checks`, each on a line; below those that are not well, what to do.
pub fn print(checks: &[Check], output: &mut Output) -> Result<(), Error> {
    let width = checks.iter().map(|check| check.check.chars().count()).max().unwrap_or_default();
    for check in checks {
        let (sign, tone) = sign(check.mark);
        output.parts(&[(sign, tone), (&format!(" {:width$}   {}", check.check, check.finding), Tone::Plain)])?;
        if let Some(remedy) = &check.remedy {
            output.line(&format!("  {:width$}   -> {remedy}", ""))?;
        }
    }
    Ok(())
}

/// The sign of a mark, and how it is shown.
fn sign(mark: Mark) -> (&'static str, Tone) {
    match mark {
        Mark::Bad => ("✗", Tone::Bad),
        Mark::Warning => ("!", Tone::Waiting),
        Mark::Unseen => ("?", Tone::Plain),
        Mark::Good => ("✓", Tone::Good),
    }
}
