//! A sweep by the node's own plugin, asked for from a container: there neither the namespaces of the node can be seen
//! nor its networks changed.

use crate::cli::gc::rows::Row;
use crate::cli::output::Output;
use crate::cli::{Error, sight};
use crate::engine::Settings;
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::{fate, leases, sweep, wish};
use crate::store::{State, Store};
use crate::sys::files;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often it is looked whether the plugin has swept.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is told that we wait.
const TELL: Duration = Duration::from_secs(5);
/// What a sweep told.
const MAX_LOG: usize = 1 << 20;

/// Leaves the wish for a sweep of everything, waits for its end, and answers what is owed then. With `dry_run` only that.
pub fn ask(settings: &Settings, dry_run: bool, seconds: u64, output: &Output) -> Result<Vec<Row>, Error> {
    let survey = see_records(settings)?;
    if dry_run {
        output.remark("This process may not look into the node's networks: only what is owed is shown.");
        return Ok(owed(&survey));
    }
    let told = log(settings);
    let path = settings.run.due().join(wish::ALL);
    wish::for_all(&settings.run).map_err(|source| Error::Write { path: path.clone(), source })?;
    output.remark(format!(
        "This process may not change the node's networks: the plugin is asked to sweep after its next call. Waiting up to {seconds} s …"
    ));
    let swept = wait(|| !path.exists(), Duration::from_secs(seconds), output);
    let mut rows = Vec::new();
    if swept {
        let now = log(settings);
        let new = now.strip_prefix(told.as_str()).unwrap_or(&now);
        // A doubt is printed with the answer.
        let doubt_at =
            |line: &str| [fate::DOUBT, fate::UNKNOWN_BOOT, leases::DOUBT].iter().find_map(|doubt| line.find(doubt));
        new.lines().filter(|line| doubt_at(line).is_none()).for_each(|line| output.remark(line));
        rows.extend(new.lines().find_map(|line| doubt_at(line).map(|at| Row::doubt(&line[at..]))));
    } else {
        rows.push(Row::doubt(&format!(
            "the plugin has not swept within {seconds} s; it will after the next call of the runtime"
        )));
    }
    rows.extend(owed(&see_records(settings)?));
    Ok(rows)
}

/// Reads the records.
///
/// # Errors
/// They cannot be read, or not be seen in this container.
pub fn see_records(settings: &Settings) -> Result<Survey, Error> {
    if !settings.state.path().is_dir() {
        return Err(sight::out_of_sight(&settings.state, "gc"));
    }
    let unreadable = |source| Error::Records { folder: settings.state.sandboxes(), source };
    Survey::read(&Store::new(&settings.state)).map_err(unreadable)
}

fn wait(done: impl Fn() -> bool, limit: Duration, output: &Output) -> bool {
    let began = Instant::now();
    let mut told = began;
    while !done() {
        if began.elapsed() >= limit {
            return false;
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            output.remark(format!("… no sweep yet after {} s", began.elapsed().as_secs()));
        }
        sleep(LOOK);
    }
    true
}

fn owed(survey: &Survey) -> Vec<Row> {
    let owed = |attachment: &&crate::store::Attachment| attachment.state == State::Owed;
    let rows = survey
        .records
        .values()
        .flat_map(|record| record.attachments.iter().filter(owed).map(move |attachment| Row::debt(record, attachment)));
    rows.collect()
}

fn log(settings: &Settings) -> String {
    files::read_bounded(&sweep::log_of(&settings.run), MAX_LOG).ok().flatten().unwrap_or_default()
}
