//! A plugin that is a program on disk.

use super::{Call, Delegate, Error};
use crate::cni::json;
use crate::cni::{CniError, PluginType, Verb};
use crate::sys::executable;
use crate::sys::owner::Owner;
use crate::sys::process::{Finished, Run, RunError};
use crate::sys::trace;
use crate::sys::{files, printable, tell_lines};
use nix::errno::Errno;
use serde_json::value::RawValue;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer is no script.
const MAX_SCRIPT: usize = 1 << 20;

/// Runs the program named by the plugin's `type` in the folders of the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct External;

impl Delegate for External {
    fn is_program(&self) -> bool {
        true
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Error> {
        let kind = &call.plugin.kind;
        let answer = text(kind, run(Verb::Add, call, kind)?)?;
        json::parse_raw(answer)
            .map_err(|e| Error::Broken { plugin: kind.to_string(), what: format!("printed no result: {e}") })
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Del, call, &call.plugin.kind).map(drop)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Check, call, &call.plugin.kind).map(drop)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Status, call, &call.plugin.kind).map(drop)
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Gc, call, &call.plugin.kind).map(drop)
    }
}

/// The program of `kind`: the first folder that holds a regular file of that name (CNI-EXEC-01).
pub fn find(kind: &str, path: &[PathBuf]) -> Option<PathBuf> {
    path.iter().map(|folder| folder.join(kind)).find(|file| file.is_file())
}

/// Whether the program of `kind` can be started, as far as can be seen without starting it.
///
/// # Errors
/// It is missing, or nobody can execute it.
pub(super) fn look(kind: &PluginType, path: &[PathBuf]) -> Result<(), Error> {
    let program = located(kind, path)?;
    match executable::unfit(&program) {
        Some(why) => Err(Error::NotExecutable { plugin: kind.to_string(), program, why }),
        None => Ok(()),
    }
}

fn located(kind: &PluginType, path: &[PathBuf]) -> Result<PathBuf, Error> {
    find(kind.as_str(), path).ok_or_else(|| Error::Missing { plugin: kind.to_string(), path: path.to_vec() })
}

/// What an ADD printed, as text.
///
/// # Errors
/// Nothing at all: that is no result (CNI-DLG-04).
pub(super) fn text(kind: &PluginType, printed: Vec<u8>) -> Result<String, Error> {
    let text = String::from_utf8_lossy(&printed).into_owned();
    if text.trim().is_empty() {
        return Err(Error::Broken { plugin: kind.to_string(), what: "printed no result: nothing at all".to_owned() });
    }
    Ok(text)
}

/// Runs the program of `kind` for `call`; answers what it printed.
///
/// # Errors
/// It is missing, was killed at the deadline, or failed.
pub(super) fn run(verb: Verb, call: &Call<'_>, kind: &PluginType) -> Result<Vec<u8>, Error> {
    let program = located(kind, call.scope.path)?;
    let began = Instant::now();
    if began >= call.scope.deadline {
        // It would be killed at once, in the middle of something.
        return Err(Error::NoTime { plugin: kind.to_string() });
    }
    let environment = environment(verb, call);
    let run = Run {
        program: &program,
        environment: &environment,
        stdin: call.stdin.as_bytes(),
        deadline: call.scope.plugin_deadline(),
        inherit: call.scope.lock.map(|lock| lock.descriptor()),
    };
    let _step = trace::step_of(|| format!("program {}", program.display()));
    let ended = run.to_end(|group| note_group(call, group));
    if let Some(lock) = call.scope.lock.filter(|_| !ended.as_ref().is_ok_and(Finished::is_orderly)) {
        // It was killed: what it started may go on, and whoever comes next has to end it first.
        lock.keep_for_children();
    }
    let finished = ended.map_err(|e| run_error(kind, &program, began.elapsed(), e))?;
    pass_on_stderr(&finished);
    if finished.status.success() { Ok(finished.stdout) } else { Err(refusal(kind, &finished)) }
}

/// The six variables, over our own environment (CNI-ENV-01, CNI-ENV-12).
fn environment(verb: Verb, call: &Call<'_>) -> [(&'static str, String); 6] {
    let scope = call.scope;
    let text = |path: Option<&Path>| path.map(|path| path.display().to_string()).unwrap_or_default();
    let path = scope.path.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":");
    [
        ("CNI_COMMAND", verb.to_string()),
        ("CNI_CONTAINERID", scope.container_id.map(ToString::to_string).unwrap_or_default()),
        ("CNI_NETNS", text(scope.netns)),
        ("CNI_IFNAME", scope.ifname.map(ToString::to_string).unwrap_or_default()),
        ("CNI_ARGS", scope.args.to_string()),
        ("CNI_PATH", path),
    ]
}

/// Who finds the sandbox locked after our death learns from the note which group still works in it.
fn note_group(call: &Call<'_>, group: i32) {
    if let Some(lock) = call.scope.lock {
        // Without the note DEL waits for the orphan instead of ending it.
        let _ = lock.note(&Owner::here(group));
    }
}

/// The delegate's complaints go where ours go (CNI-DLG-03), whether it succeeded or not.
fn pass_on_stderr(finished: &Finished) {
    tell_lines(&finished.stderr);
}

fn run_error(kind: &PluginType, program: &Path, after: Duration, error: RunError) -> Error {
    let plugin = kind.to_string();
    match error {
        RunError::Deadline => Error::Deadline { plugin, after },
        RunError::TooMuch => Error::Broken { plugin, what: error.to_string() },
        // The machine has no room for another process now: the next attempt may find it.
        RunError::Start(source) if is_passing(&source) => {
            Error::Io { plugin, what: format!("cannot start {}", program.display()), source }
        }
        RunError::Start(source) => {
            Error::NotExecutable { plugin, program: program.to_owned(), why: why_not_executable(program, &source) }
        }
        RunError::Io(source) => Error::Io { plugin, what: "talking to it".into(), source },
    }
}

/// Whether a program could not be started for a reason that is not its own (fork(2), execve(2)).
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE, Errno::ETXTBSY, Errno::ECANCELED];
    passing.iter().any(|passing| error.raw_os_error() == Some(*passing as i32))
}

/// Why `program`, which exists, cannot be executed. The words of ENOENT are the file's, though its interpreter is
/// missing; and containerd takes them in a DEL's error for success.
fn why_not_executable(program: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::NotFound {
        return error.raw_os_error().map_or_else(|| error.to_string(), |raw| Errno::from_raw(raw).desc().to_owned());
    }
    let text = files::read_bytes_bounded(program, MAX_SCRIPT).ok().flatten().unwrap_or_default();
    match executable::interpreter(&text) {
        Some(interpreter) => executable::no_interpreter(&interpreter),
        None => "its dynamic loader does not exist".to_owned(),
    }
}

/// Reads the error of a program that failed (CNI-ERR-02, CNI-ERR-06).
fn refusal(kind: &PluginType, finished: &Finished) -> Error {
    let plugin = kind.to_string();
    let error = json::parse_bytes::<CniError>(&finished.stdout).ok();
    // The code of success is none, and without a word it tells no cause.
    let tells = |error: &CniError| !error.msg.trim().is_empty() || !error.details.trim().is_empty();
    if let Some(error) = error.filter(|error| error.code != 0 && tells(error)) {
        return Error::Refused { plugin, error };
    }
    let ending = match (finished.status.code(), finished.status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended abnormally".to_owned(),
    };
    let said = if finished.stdout.is_empty() { &finished.stderr } else { &finished.stdout };
    let said = excerpt(&String::from_utf8_lossy(said));
    let what = if said.is_empty() { format!("{ending} and no error message") } else { format!("{ending}: {said}") };
    Error::Broken { plugin, what }
}

/// The beginning of a text that may be anything, on one line.
fn excerpt(text: &str) -> String {
    let line = printable::line(text);
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_with_a_regular_file_wins() {
        // CNI-EXEC-01
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir_all(a.join("plugin")).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        std::fs::write(b.join("plugin"), "").unwrap();
        let path = [a, b.clone()];
        assert_eq!(find("plugin", &path), Some(b.join("plugin")));
        assert_eq!(find("other", &path), None);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(excerpt(" a\n b\t c "), "a b c");
        assert_eq!(excerpt("a\0\0\u{1b}[2Jb"), "a [2Jb");
        assert_eq!(excerpt(&"é".repeat(400)).chars().count(), 301);
    }
}
