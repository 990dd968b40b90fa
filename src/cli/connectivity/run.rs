//! One test from the first pod to the last: create, wait, give tasks, read results, delete.

use crate::cli::Error;
use crate::cli::connectivity::clean;
use crate::cli::connectivity::found::{Found, Trouble, judge, late, targets};
use crate::cli::connectivity::layout::Probe;
use crate::cli::connectivity::manifest::{Common, OWNED, RUN, TASK, manifest};
use crate::cli::connectivity::subject::Subject;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::output::counted::counted;
use crate::cli::probe::AT_ONCE;
use crate::cli::probe::words::{Line, Task};
use crate::cluster::{Inquiry, Scope, SeenEvent, SeenPod};
use crate::cni::json;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often pods and logs are looked at.
const LOOK: Duration = Duration::from_millis(700);
/// A pod that waits longer has events that are worth a look.
const EVENTS_AFTER: Duration = Duration::from_secs(3);
/// What a target takes at most: three pings, a connection with data, and the search for the largest packet.
const TARGET: Duration = Duration::from_secs(25);
/// Until a pod has its task, and its log is read.
const SLACK: Duration = Duration::from_secs(30);

/// A test.
#[derive(Debug)]
pub struct Run<'a> {
    inquiry: &'a Inquiry,
    subject: &'a Subject,
    interrupt: &'a Interrupt,
    /// Until the pods must run.
    start: Duration,
    /// Until they must have measured.
    measure: Duration,
}

impl<'a> Run<'a> {
    /// The test of `subject`, whose pods have `start` to run.
    pub fn new(inquiry: &'a Inquiry, subject: &'a Subject, start: Duration, interrupt: &'a Interrupt) -> Self {
        // Two families for each of the others.
        let turns = (subject.probes.len() * 2).div_ceil(AT_ONCE);
        let measure = SLACK + TARGET * u32::try_from(turns).unwrap_or(u32::MAX);
        Run { inquiry, subject, interrupt, start, measure }
    }

    /// All of it. The pods are deleted, however it ends.
    pub fn all(&self, output: &Output) -> Result<Vec<Found>, Error> {
        let namespaces = self.subject.namespaces();
        clean::ended(self.inquiry, &namespaces)?;
        let found = self.create(output).and_then(|()| self.measured(output));
        output.remark("deleting the probe pods …");
        let deleted = clean::run(self.inquiry, &self.subject.run, &namespaces, output);
        match (found, deleted) {
            (Ok(found), Err(e)) => {
                // The result counts; the pods end by themselves, too.
                output.remark(e);
                Ok(found)
            }
            (Err(e), Err(left)) => {
                output.remark(left);
                Err(e)
            }
            (found, Ok(())) => found,
        }
    }

    fn create(&self, output: &Output) -> Result<(), Error> {
        let Subject { run, image, probes, refused } = self.subject;
        let lifetime = self.start + self.measure + SLACK;
        let common = Common { run, image, lifetime: lifetime.as_secs() };
        let wanted: Vec<&Probe> = probes.iter().filter(|probe| !refused.contains_key(&probe.node)).collect();
        output.remark(format!("creating {} of {image}, run {run} …", counted(wanted.len(), "probe pod")));
        for probe in wanted {
            if self.interrupt.is_asked() {
                return Err(Error::Interrupted);
            }
            self.inquiry.create_pod(&probe.namespace, manifest(probe, &common))?;
        }
        Ok(())
    }

    fn measured(&self, output: &Output) -> Result<Vec<Found>, Error> {
        let mut found = self.started(output)?;
        let tasks: Vec<_> = (0..found.len()).map(|at| targets(&found, at)).collect();
        for (one, targets) in found.iter_mut().zip(tasks) {
            if targets.is_empty() {
                continue;
            }
            let task =
                serde_json::to_string(&Task { targets: targets.clone() }).map_err(|e| Error::Output(e.into()))?;
            self.inquiry.annotate_pod(&one.probe.namespace, &one.probe.pod, TASK, &task)?;
            one.targets = targets.into_iter().map(|target| (target, None)).collect();
        }
        self.read(&mut found, output)?;
        Ok(found)
    }

    /// Waits until each pod runs, or will not.
    fn started(&self, output: &Output) -> Result<Vec<Found>, Error> {
        let begun = Instant::now();
        let refused = |probe: &Probe| self.subject.refused.get(&probe.node).map(|trouble| Err(trouble.clone()));
        let mut starts: Vec<Option<Result<Vec<IpAddr>, Trouble>>> = self.subject.probes.iter().map(refused).collect();
        let mut told = String::new();
        loop {
            let pods = self.pods()?;
            let (waited, is_late) = (begun.elapsed(), begun.elapsed() >= self.start);
            for (probe, start) in self.subject.probes.iter().zip(&mut starts).filter(|(_, start)| start.is_none()) {
                let pod = pods.iter().find(|pod| pod.name == probe.pod && pod.namespace == probe.namespace);
                let events = self.events(pod, waited);
                *start = judge(probe, pod, &events, waited);
                if start.is_none() && is_late {
                    *start = Some(Err(late(probe, pod, &events, waited)));
                }
            }
            let open: Vec<&str> = self
                .subject
                .probes
                .iter()
                .zip(&starts)
                .filter(|(_, start)| start.is_none())
                .map(|(probe, _)| probe.place.as_str())
                .collect();
            if open.is_empty() {
                break;
            }
            let running = starts.iter().filter(|start| matches!(start, Some(Ok(_)))).count();
            let failed = starts.len() - running - open.len();
            let failed = if failed > 0 { format!(", {failed} cannot run") } else { String::new() };
            progress(
                format!("{running} of {} probe pods run{failed}; waiting for {}", starts.len(), short(open)),
                &mut told,
                output,
            );
            if self.interrupt.wait(LOOK) {
                return Err(Error::Interrupted);
            }
        }
        let starts = self.subject.probes.iter().cloned().zip(starts);
        Ok(starts.map(|(probe, start)| Found::new(probe, start.unwrap_or_else(|| Ok(Vec::new())))).collect())
    }

    /// The pods of this run.
    fn pods(&self) -> Result<Vec<SeenPod>, Error> {
        let mut pods = Vec::new();
        for namespace in self.subject.namespaces() {
            let labels = Some(format!("{OWNED},{RUN}={}", self.subject.run));
            pods.extend(self.inquiry.pods(&Scope { namespace: Some(namespace), labels, node: None })?);
        }
        Ok(pods)
    }

    /// The events of a pod that does not run; none without the right to read them.
    fn events(&self, pod: Option<&SeenPod>, waited: Duration) -> Vec<SeenEvent> {
        let waiting = pod.filter(|pod| waited >= EVENTS_AFTER && pod.phase != "Running");
        waiting.and_then(|pod| self.inquiry.events(pod).ok()).unwrap_or_default()
    }

    /// Reads the logs until each probe has measured everything.
    fn read(&self, found: &mut [Found], output: &Output) -> Result<(), Error> {
        let end = Instant::now() + self.measure;
        let mut open: Vec<usize> = (0..found.len()).filter(|at| !found[*at].targets.is_empty()).collect();
        let mut told = String::new();
        while !open.is_empty() {
            open.retain(|at| match self.inquiry.printed_by(&found[*at].probe.namespace, &found[*at].probe.pod) {
                Ok(log) => !take(&mut found[*at], &log),
                Err(e) => {
                    found[*at].silence = Some(e.to_string());
                    true
                }
            });
            if open.is_empty() || Instant::now() >= end {
                break;
            }
            let places: Vec<&str> = open.iter().map(|at| found[*at].probe.place.as_str()).collect();
            progress(format!("measuring; waiting for {}", short(places)), &mut told, output);
            if self.interrupt.wait(LOOK) {
                return Err(Error::Interrupted);
            }
        }
        for at in open {
            let limit = self.measure.as_secs();
            found[at].silence.get_or_insert_with(|| format!("it did not end within {limit} s"));
        }
        Ok(())
    }
}

/// Takes the results out of `log`; whether that was all.
fn take(found: &mut Found, log: &str) -> bool {
    found.silence = None;
    let mut is_done = false;
    for line in log.lines() {
        match json::parse::<Line>(line) {
            Ok(Line::Ready { mtu }) => found.mtu = Some(mtu),
            Ok(Line::Result(measured)) => {
                if let Some((_, result)) = found.targets.get_mut(measured.target) {
                    *result = Some(measured);
                }
            }
            Ok(Line::Done) => is_done = true,
            // An error of the probe, or of the runtime that could not start it.
            Err(_) => found.silence = Some(line.to_owned()),
        }
    }
    is_done
}

/// Tells of a change.
fn progress(now: String, told: &mut String, output: &Output) {
    if *told != now {
        output.remark(&now);
        *told = now;
    }
}

/// The first of `places`, each once.
fn short(mut places: Vec<&str>) -> String {
    places.dedup();
    let more = places.len().saturating_sub(3);
    places.truncate(3);
    let names = places.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connectivity::found::tests::found;

    #[test]
    fn results_are_read_from_a_log() {
        let all = [found("a", &["10.0.0.1"]), found("b", &["10.0.0.2"])];
        let mut one = all[0].clone();
        one.targets = targets(&all, 0).into_iter().map(|target| (target, None)).collect();
        let log = r#"{"line":"ready","mtu":1500}
{"line":"result","target":0,"ping":{"sent":3,"received":3,"milliseconds":0.1,"problem":null},"tcp":{"milliseconds":0.2,"problem":null},"packet":{"expected":1500,"largest":1500}}
"#;
        assert!(!take(&mut one, log), "it has not ended");
        assert!(one.mtu == Some(1500) && one.targets[0].1.is_some() && one.silence.is_none());
        assert!(take(&mut one, &format!("{log}{{\"line\":\"done\"}}\n")));
        assert!(!take(&mut one, "error: unrecognized subcommand 'probe'\n"));
        assert_eq!(one.silence.as_deref(), Some("error: unrecognized subcommand 'probe'"));
    }

    #[test]
    fn places_are_named_once_and_not_all() {
        assert_eq!(short(vec!["a", "a", "b"]), "a, b");
        assert_eq!(short(vec!["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
