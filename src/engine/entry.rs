//! From the process's environment to the answer on stdout.

use super::Turn;
use super::settings::Settings;
use crate::cni::trace_context::{self, TraceId};
use crate::cni::{CniError, Code, Invocation, RawObject, Verb, Version};
use crate::delegate::remarks;
use crate::engine::cleanup::{counted, due, sweep, sweep_command};
use crate::engine::report::{self, Ended};
use crate::engine::verbs::{add, check, del, gc, status};
use crate::sys::detach;
use crate::sys::files;
use crate::sys::printable;
use crate::sys::trace;
use crate::sys::trusted::KeptFolders;
use std::io::{self, Read};
use std::time::Instant;

/// Annotations come in the configuration: up to 256 KiB of them, beside NADs' own sizes.
const MAX_STDIN: usize = 8 << 20;

/// The end of a call.
#[derive(Debug)]
pub struct Served {
    /// What is printed: on success the result, else the error object.
    pub answer: Result<String, String>,
    /// What the call worked with; none where it could not even be read.
    turn: Option<Turn>,
    /// What it was configured with.
    stdin: String,
    kept: KeptFolders,
    /// What the runtime asked for; none where it is not known, and on VERSION.
    verb: Option<Verb>,
    /// The code of the error; 0 is success.
    code: u32,
    began: Instant,
}

impl Served {
    /// After the answer: tells the daemon's metrics of the call.
    pub fn report(&self) {
        let Some(verb) = self.verb else { return };
        let took = self.began.elapsed();
        let (run, node) = match &self.turn {
            Some(Turn { settings, .. }) => {
                (settings.run.clone(), (verb == Verb::Status).then(|| counted::at_a_glance(&settings.state)))
            }
            // A mistake in one value, perhaps: that every ADD fails for it has to be seen.
            None => match Settings::lenient(&self.stdin) {
                Ok((settings, _)) => (settings.run, None),
                Err(_) => return,
            },
        };
        // The process ends soon, and the kernel closes what is open.
        std::mem::forget(report::send(&run, Ended { verb: verb.as_str(), code: self.code, took, node }));
    }

    /// After the answer: starts a sweep, if one is due, in a process of its own. Nobody listens to that one, so what the
    /// last one told is told first.
    pub fn follow_up(self) {
        if !self.turn.as_ref().is_some_and(due::is_due) {
            // The process ends now, and the kernel closes what is open.
            std::mem::forget(self);
            return;
        }
        let Served { turn: Some(turn), stdin, kept, .. } = self else { return };
        // The sweep's process closes what it inherits: it has to open folders of its own.
        drop(kept);
        let log = sweep::log_of(&turn.settings.run);
        detach::told(&log).lines().for_each(|line| turn.warn(format!("the last sweep: {line}")));
        // What is no text cannot be told in words; nor is there a plugin in such a folder.
        let path = std::env::join_paths(&turn.invocation.path).ok().and_then(|path| path.into_string().ok());
        let words = [stdin, path.unwrap_or_default()];
        // What cannot be started now is due at the next call.
        let _ = detach::detached(sweep::LIMIT, &log, &words, sweep_by_words);
    }
}

/// A sweep from nothing but texts: the configuration and `CNI_PATH`.
fn sweep_by_words(words: &[String]) {
    let [configuration, path] = words else { return };
    let Ok((settings, _)) = Settings::lenient(configuration) else { return };
    let path = std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()).collect();
    let _ = sweep::sweep(&sweep_command::turn(settings, path), sweep::Debts::Due);
}

/// Serves one call.
pub fn run(environment: impl Fn(&str) -> Option<String>, stdin: impl Read) -> Served {
    let (kept, began) = (KeptFolders::begin(), Instant::now());
    let (mut turn, mut text, mut verb) = (None, String::new(), None);
    let outcome = serve(environment, stdin, &mut text, &mut verb, &mut turn);
    let code = outcome.as_ref().err().map_or(0, |error| error.code);
    let version = turn.as_ref().map_or("", |turn| turn.settings.version.as_str());
    let answer = outcome.map_err(|mut error| {
        version.clone_into(&mut error.cni_version);
        // Runtimes write both into their log and into events of the pod.
        (error.msg, error.details) = (printable::line(&error.msg), printable::line(&error.details));
        // An error of texts and a number always serialises.
        serde_json::to_string_pretty(&error).unwrap_or_default()
    });
    Served { answer, turn, stdin: text, kept, verb, code, began }
}

fn serve(
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read,
    text: &mut String,
    verb: &mut Option<Verb>,
    turn: &mut Option<Turn>,
) -> Result<String, CniError> {
    // CNI-IO-04: what is wrong with the configuration is told before an unknown verb; what is wrong
    // with the other variables before anything.
    let invocation = Invocation::read(&environment);
    if matches!(&invocation, Ok(call) if call.verb == Verb::Version) {
        return Ok(versions(stdin));
    }
    let unknown_verb = matches!(&invocation, Err(error) if error.msg.starts_with("unknown CNI_COMMAND"));
    if !unknown_verb && let Err(error) = invocation {
        return Err(error);
    }
    *verb = invocation.as_ref().ok().map(|call| call.verb);
    let reading = trace::step("read");
    *text = files::read_to_string_bounded(stdin, MAX_STDIN).map_err(|e| {
        let code = if e.kind() == io::ErrorKind::InvalidData { Code::Decode } else { Code::Io };
        CniError::new(code, format!("the configuration on stdin cannot be read: {e}"))
    })?;
    let (settings, mistakes) = match invocation.as_ref().map(|call| call.verb) {
        // A mistake in one value, which an operator makes, must neither keep pods from going nor the node from being
        // ready: the key has its default. From a node that is not ready, Kubernetes evicts the pods that run; ADD, which
        // refuses new ones, names the key in their events.
        Ok(Verb::Del | Verb::Gc | Verb::Status) => Settings::lenient(text)?,
        _ => (Settings::parse(text)?, Vec::new()),
    };
    let turn = turn.insert(Turn::new(invocation?, settings));
    turn.trace = environment(trace_context::VARIABLE).and_then(|parent| TraceId::of(&parent));
    drop(reading);
    for mistake in mistakes {
        let stops = if turn.invocation.verb == Verb::Status { "; every ADD is refused until it is mended" } else { "" };
        turn.warn(format!("the configuration of Plexus: {mistake}; its default is used{stops}"));
    }
    // The verbs that an operator looks for in the log: ADD and DEL would repeat it for every pod.
    if matches!(turn.invocation.verb, Verb::Status | Verb::Gc) {
        turn.settings.remarks().iter().for_each(|remark| turn.warn(format!("the configuration of Plexus: {remark}")));
    }
    dispatch(turn)
}

fn dispatch(turn: &Turn) -> Result<String, CniError> {
    for key in &turn.settings.unknown {
        turn.log(super::settings::LogLevel::Info, format!("unknown key {key:?} of the configuration is ignored"));
    }
    for (former, name) in &turn.settings.renamed {
        turn.log(
            super::settings::LogLevel::Debug,
            format!("the key {former:?} of the configuration is now called {name:?}"),
        );
    }
    let needs = |least: Version| match turn.settings.version >= least {
        true => Ok(()),
        false => Err(CniError::new(
            Code::IncompatibleVersion,
            format!("{} needs a configuration of CNI {least}, this is {}", turn.invocation.verb, turn.settings.version),
        )),
    };
    let silent = |()| String::new();
    match turn.invocation.verb {
        Verb::Add => {
            let answer = add::add(turn).map(|result| result.get().to_owned());
            remarks::take().into_iter().for_each(|remark| turn.warn(remark));
            answer
        }
        Verb::Del => del::del(turn).map_err(del::retried).map(silent),
        Verb::Check => needs(Version::V0_4_0).and_then(|()| check::check(turn)).map(silent),
        Verb::Status => needs(Version::V1_1_0).and_then(|()| status::status(turn)).map(silent),
        Verb::Gc => needs(Version::V1_1_0).and_then(|()| gc::gc(turn)).map(silent),
        Verb::Version => Ok(String::new()),
    }
}

/// The answer to VERSION; its `cniVersion` is the one that was asked with (CNI-VSN-01, CNI-VSN-02).
pub(in crate::engine) fn versions(stdin: impl Read) -> String {
    let asked = files::read_to_string_bounded(stdin, MAX_STDIN).ok().and_then(|text| RawObject::parse(&text).ok());
    let asked = asked
        .and_then(|object| object.read::<String>("cniVersion").ok().flatten())
        .filter(|version| !version.is_empty());
    let mut answer = RawObject::default();
    answer.set_value("cniVersion", asked.as_deref().unwrap_or(Version::NEWEST.as_str()));
    answer.set_value("supportedVersions", &Version::ALL.map(Version::as_str));
    answer.to_json()
}
