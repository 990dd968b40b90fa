//! Where the time of a call goes, step by step, for whoever asks for it with the variable [`VARIABLE`].
//!
//! While nobody asks, a step costs one look at a flag: nothing is measured, and no text is made.

use super::trusted;
use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The variable that names the file. Only the runtime sets it, whose environment is trusted.
pub const VARIABLE: &str = "PLEXUS_TRACE";
/// A file that is longer is not continued.
const LONGEST: usize = 64 << 20;
/// The mode of the file: it names pods and networks.
const MODE: u32 = 0o600;

static IS_ON: AtomicBool = AtomicBool::new(false);
static THREADS: AtomicU32 = AtomicU32::new(1);
static RECORDED: Mutex<Option<Recorded>> = Mutex::new(None);

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static THREAD: u32 = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// What was recorded so far.
#[derive(Debug)]
struct Recorded {
    file: PathBuf,
    began: Instant,
    /// `began`, as the clock had it.
    clock: SystemTime,
    steps: Vec<Step>,
}

/// A step that is over.
#[derive(Debug)]
struct Step {
    name: String,
    from: Duration,
    took: Duration,
    depth: usize,
    thread: u32,
}

/// Records from now on, for `file`.
pub fn begin(file: PathBuf) {
    *recorded() = Some(Recorded { file, began: Instant::now(), clock: SystemTime::now(), steps: Vec::new() });
    IS_ON.store(true, Ordering::Relaxed);
}

/// A step: it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a step ends when it is dropped"]
pub struct Running {
    name: Option<String>,
    began: Option<Instant>,
}

/// Begins the step `name`.
pub fn step(name: &str) -> Running {
    step_of(|| name.to_owned())
}

/// As [`step`], with a name that is made only where somebody asks for it.
pub fn step_of(name: impl FnOnce() -> String) -> Running {
    if !IS_ON.load(Ordering::Relaxed) {
        return Running { name: None, began: None };
    }
    DEPTH.set(DEPTH.get() + 1);
    Running { name: Some(name()), began: Some(Instant::now()) }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(name), Some(began)) = (self.name.take(), self.began) else { return };
        let took = began.elapsed();
        let depth = DEPTH.get().saturating_sub(1);
        DEPTH.set(depth);
        if let Some(recorded) = recorded().as_mut() {
            let from = began.saturating_duration_since(recorded.began);
            recorded.steps.push(Step { name, from, took, depth, thread: THREAD.with(|thread| *thread) });
        }
    }
}

/// Writes what was recorded of the call `title` behind what is in the file, and records no more.
///
/// # Errors
/// The file cannot be written. It has to lie in a directory that only root may write to.
pub fn end(title: &str) -> io::Result<()> {
    if !IS_ON.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    let Some(mut recorded) = recorded().take() else { return Ok(()) };
    recorded.steps.sort_by_key(|step| (step.from, step.depth));
    let is_chrome = recorded.file.extension().is_some_and(|extension| extension == "json");
    let (head, text) = if is_chrome { ("[\n", chrome(title, &recorded)) } else { ("", table(title, &recorded)) };
    let failed = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", recorded.file.display()));
    trusted::append(Path::new(&recorded.file), head, &text, MODE, LONGEST).map_err(failed)
}

/// Lines for a reader.
fn table(title: &str, recorded: &Recorded) -> String {
    let total = recorded.steps.iter().map(|step| step.from + step.took).max().unwrap_or_default();
    let mut text = format!("{title}: {:.3} ms\n  from (ms)   took (ms)  step\n", milliseconds(total));
    for Step { name, from, took, depth, .. } in &recorded.steps {
        let (from, took) = (milliseconds(*from), milliseconds(*took));
        // Writing to a text does not fail.
        let _ = writeln!(text, "{from:>11.3} {took:>11.3}  {:1$}{name}", "", depth * 2);
    }
    text.push('\n');
    text
}

/// Complete events of the Trace Event Format, a line each. Its array needs no end, so calls can be appended.
fn chrome(title: &str, recorded: &Recorded) -> String {
    let began = recorded.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let process = std::process::id();
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let title = quoted(title);
    let mut text =
        format!(r#"{{"name":"process_name","ph":"M","pid":{process},"tid":1,"args":{{"name":{title}}}}},"#) + "\n";
    for Step { name, from, took, thread, .. } in &recorded.steps {
        let (name, at, took) = (quoted(name), microseconds(began + *from), microseconds(*took));
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            r#"{{"name":{name},"ph":"X","ts":{at:.3},"dur":{took:.3},"pid":{process},"tid":{thread}}},"#
        );
    }
    text
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn recorded() -> std::sync::MutexGuard<'static, Option<Recorded>> {
    // A panic in between leaves a list that is whole.
    RECORDED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn while_nobody_asks_no_name_is_made_and_nothing_is_measured() {
        let made = Cell::new(false);
        let running = step_of(|| {
            made.set(true);
            String::new()
        });
        assert!(!made.get() && running.began.is_none() && DEPTH.get() == 0);
    }
}
