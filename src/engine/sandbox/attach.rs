//! Carrying out a plan: the record first, then one network after another.

use crate::cni::{CniError, Code, IfName};
use crate::delegate::{Chain, Scope};
use crate::engine::Turn;
use crate::engine::cleanup::{traces, wish};
use crate::engine::planning::plan::Planned;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::{device_info, undo};
use crate::store::{Attachment, Record, State, record};
use crate::sys::boot::Boot;
use crate::sys::files::Durability;
use crate::sys::netns::Identity;
use crate::sys::trace;
use serde_json::value::RawValue;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// kubelet gives a sandbox up after 4 minutes: attaching has this, undoing has [`UNDO`].
pub const ADD: Duration = Duration::from_secs(150);
/// What undoing has.
pub const UNDO: Duration = Duration::from_secs(30);

/// A sandbox in which the networks of a plan are attached.
#[derive(Debug)]
pub struct Session<'t> {
    turn: &'t Turn,
    sandbox: &'t Sandbox,
    /// What is in the sandbox, as far as it is known.
    pub record: Record,
    /// The plan; parallel to the last attachments of the record.
    pub plan: Vec<Planned>,
    /// Attachments of earlier calls for other interfaces of the sandbox.
    before: usize,
    attempted: usize,
    /// The node had no record of the sandbox before this call.
    is_first: bool,
    /// The record on the disk may be replaced by ours.
    replaceable: bool,
    /// The record of the plan is not forced to the disk yet.
    is_unsynced: bool,
    /// Why networks were not attached.
    errors: Vec<(IfName, CniError)>,
}

/// What the disk has of the sandbox before an ADD.
#[derive(Debug)]
pub enum Standing {
    /// A record that may be replaced, or none.
    Sound,
    /// A damaged record; the line says how.
    Damaged(String),
    /// A record that cannot be read now: it may be sound, and must not be replaced.
    Unreadable(io::Error),
}

impl<'t> Session<'t> {
    /// Writes the record, before the first side effect. For a plain pod (`plan` of one) a record that
    /// cannot be written is a warning: DEL works without it.
    ///
    /// # Errors
    /// Code 5: the record of a pod with additional networks cannot be written.
    pub fn begin(
        turn: &'t Turn,
        sandbox: &'t Sandbox,
        (record, standing): (Record, Standing),
        plan: Vec<Planned>,
    ) -> Result<Self, CniError> {
        let target = turn.target()?;
        let path = turn.path();
        let before = record.attachments.len();
        let is_first = matches!(standing, Standing::Sound) && before == 0 && !record.incomplete;
        let mut session = Session {
            turn,
            sandbox,
            record,
            plan,
            before,
            attempted: 0,
            is_first,
            replaceable: true,
            is_unsynced: false,
            errors: Vec::new(),
        };
        let intended = session.plan.iter().map(|planned| intended(planned, &target.ifname, &path));
        session.record.attachments.extend(intended);
        if !session.plan.is_empty() {
            session.write_first(standing)?;
        }
        sandbox.begin();
        Ok(session)
    }

    fn write_first(&mut self, standing: Standing) -> Result<(), CniError> {
        let store = &self.turn.store;
        let sound = matches!(standing, Standing::Sound);
        let written = match standing {
            Standing::Sound => store.write(&self.record, Durability::Cached),
            Standing::Damaged(damage) => {
                self.turn.warn(damage);
                store.restore(&self.record, Durability::Cached).map(drop)
            }
            Standing::Unreadable(e) => Err(e),
        };
        self.replaceable = sound || written.is_ok();
        match written {
            Ok(()) if self.is_plain() => Ok(()),
            Ok(()) => {
                self.is_unsynced = true;
                Ok(())
            }
            Err(e) if self.is_plain() => {
                self.turn.warn(format!("cannot write the record of this sandbox: {e}"));
                Ok(())
            }
            Err(e) => Err(self.cannot_be_kept("record", &e)),
        }
    }

    /// Whether the pod asks for nothing beside the default network.
    fn is_plain(&self) -> bool {
        self.plan.iter().all(|planned| planned.default)
    }

    fn cannot_be_kept(&self, what: &str, why: &io::Error) -> CniError {
        let folder = self.turn.settings.state.path().display();
        CniError::new(Code::Io, format!("the {what} of the sandbox cannot be kept in {folder}: {why}"))
    }

    /// Forces the record to the disk, once: before the first program is started, else while the daemon writes the
    /// status, and before the answer.
    pub fn sync(&mut self) {
        if !std::mem::take(&mut self.is_unsynced) {
            return;
        }
        let _step = trace::step("sync");
        // A power loss before the disk has the record also destroys the links; leases are reaped by GC.
        if let Err(e) = self.turn.store.sync(&self.record.container_id) {
            self.turn.warn(format!("the record is not synced to the disk yet: {e}"));
        }
    }

    /// Attaches every network of the plan.
    ///
    /// # Errors
    /// The first network's that fails; later ones are not attempted (NPWG-ERR-01).
    pub fn attach(&mut self) -> Result<(), CniError> {
        while self.attempted < self.plan.len() {
            let batch = self.next_batch();
            let programs =
                self.plan[batch.clone()].iter().any(|planned| self.turn.registry.needs_programs(&planned.config));
            if programs {
                self.sync();
            }
            self.attempted = batch.end;
            let answers = self.attach_batch(batch.clone());
            let mut first = None;
            for (index, answer) in batch.zip(answers) {
                match answer {
                    Ok(result) => self.attached(index, result),
                    Err(failed) => {
                        // DEL hands it to the plugins that succeeded: some delete by it alone.
                        self.record.attachments[self.before + index].result = failed.last;
                        self.errors.push((self.plan[index].ifname.clone(), failed.error.clone()));
                        first = first.or(Some(failed.error));
                    }
                }
            }
            // A program's result is not made again: a kill while later networks are attached must not lose it.
            if programs && (first.is_some() || self.attempted < self.plan.len()) {
                self.keep_results();
            }
            first.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// One network, or several that may be attached at the same time.
    fn next_batch(&self) -> std::ops::Range<usize> {
        let together = |planned: &&Planned| {
            planned.parallel && !planned.default && self.turn.registry.needs_programs(&planned.config)
        };
        let left = &self.plan[self.attempted..];
        let count = left.iter().take_while(together).count();
        // A network on a link that one of them makes has to wait for it.
        let waits = |at: &usize| left[*at].needs_one_of(&left[..*at]);
        let count = (1..count).find(waits).unwrap_or(count);
        self.attempted..self.attempted + count.max(1)
    }

    fn attach_batch(&mut self, batch: std::ops::Range<usize>) -> Vec<Result<Box<RawValue>, Failed>> {
        let is_plain = self.is_plain();
        let Session { turn, sandbox, is_first, plan, before, replaceable, .. } = self;
        let (turn, sandbox, is_first, plan) = (*turn, *sandbox, *is_first, &*plan);
        let (before, replaceable) = (*before, *replaceable);
        let record = Mutex::new(&mut self.record);
        let keep = |index: usize, result: &RawValue| {
            // A panic in between leaves a record that is whole.
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.attachments[before + index].result = Some(result.to_owned());
            let kept = if replaceable { turn.store.write(&record, Durability::Cached) } else { Ok(()) };
            // A plain pod can be deleted without it, by what the runtime keeps, and starts on a full disk, too.
            if is_plain { Ok(()) } else { kept }
        };
        let attach = |index: usize| attach_one(turn, sandbox, is_first, &plan[index], |result| keep(index, result));
        if batch.len() == 1 {
            return batch.map(attach).collect();
        }
        std::thread::scope(|scope| {
            let start = |index| std::thread::Builder::new().spawn_scoped(scope, move || attach(index)).ok();
            let running: Vec<_> = batch.map(|index| (index, start(index))).collect();
            let died = || Err(CniError::new(Code::DelegateFailed, "a thread of Plexus died").into());
            let end = |(index, thread): (usize, Option<std::thread::ScopedJoinHandle<'_, _>>)| match thread {
                Some(thread) => thread.join().unwrap_or_else(|_| died()),
                // No thread can be made: one after the other, then.
                None => attach(index),
            };
            running.into_iter().map(end).collect()
        })
    }

    fn attached(&mut self, index: usize, result: Box<RawValue>) {
        let attachment = &mut self.record.attachments[self.before + index];
        attachment.state = State::Attached;
        attachment.result = Some(result);
    }

    /// The attachments of this call, in the order of the plan.
    pub fn attachments(&mut self) -> &mut [Attachment] {
        &mut self.record.attachments[self.before..]
    }

    /// Writes the results to the record. A plain pod can be deleted without them, by what the runtime keeps.
    ///
    /// # Errors
    /// Code 5: the results of a pod with additional networks cannot be written.
    pub fn commit(&self) -> Result<(), CniError> {
        if self.plan.is_empty() || !self.replaceable {
            return Ok(());
        }
        match self.turn.store.write(&self.record, Durability::Cached) {
            Ok(()) => Ok(()),
            Err(e) if self.is_plain() => {
                self.turn.warn(format!("cannot write the results to the record: {e}"));
                Ok(())
            }
            // CHECK would fail for ever, and DEL would leave what a plugin deletes by its result.
            Err(e) => Err(self.cannot_be_kept("results", &e)),
        }
    }

    /// Writes the results that there are so far.
    fn keep_results(&self) {
        if self.replaceable
            && let Err(e) = self.turn.store.write(&self.record, Durability::Cached)
        {
            self.turn.warn(format!("cannot write the results so far to the record: {e}"));
        }
    }

    /// Keeps a network status that could not be handed to the daemon; a later call does that.
    pub fn keep_status(&mut self, text: String) {
        self.record.unpublished = Some(text);
        if self.replaceable {
            self.keep_results();
        }
        wish::soon(self.turn, "unpublished");
    }

    /// Deletes what was attempted, in reverse, the failing one included; the record goes only when
    /// all of it is deleted. Answers `first` with what else went wrong.
    pub fn undo(mut self, first: CniError) -> CniError {
        self.sync();
        self.record.attachments.truncate(self.before + self.attempted);
        let attempted = self.record.attachments.split_off(self.before);
        let deadline = Instant::now() + UNDO;
        let netns = self.turn.target().ok().and_then(|target| target.netns.clone());
        let id = self.record.container_id.clone();
        let mut failures = undo::delete(self.turn, self.sandbox, netns.as_deref(), &id, attempted, deadline);
        // What was never made is not owed: its DEL fails for the reason for which its ADD did.
        failures.retain_mut(|failure| {
            let is_of = |(ifname, _): &&(IfName, CniError)| *ifname == failure.attachment.ifname;
            let added = self.errors.iter().find(is_of).map(|(_, error)| error);
            if let Some(netns) = netns.as_deref().filter(|netns| traces::is_link_alone(&id, failure, netns)) {
                undo::delete_left_link(self.turn, netns, &failure.attachment.ifname, deadline);
            }
            failure.attachment.refused = added.is_some_and(|added| traces::is_refused(failure, added));
            !traces::was_never_made(&id, failure, added, netns.as_deref())
        });
        let mut error = first;
        for failure in &failures {
            error = error.with_details(format!("undoing: {}", failure.error.msg));
        }
        self.record.attachments.extend(failures.into_iter().map(|failure| failure.attachment));
        if self.record.attachments.len() == self.before
            && let Ok(target) = self.turn.target()
        {
            self.sandbox.mark_nothing_made(&target.ifname);
        }
        if self.replaceable {
            undo::keep_or_remove(self.turn, &self.record);
        }
        error
    }
}

/// The attachment as it is intended: all that DEL needs if we die now.
pub fn intended(planned: &Planned, call: &IfName, path: &[PathBuf]) -> Attachment {
    Attachment {
        call: call.clone(),
        network: planned.network.clone(),
        ifname: planned.ifname.clone(),
        default: planned.default,
        state: State::Planned,
        config: planned.config.to_raw(),
        capability_args: planned.capability_args.clone(),
        args: planned.args.to_string(),
        path: path.to_vec(),
        device_info_file: planned.device_info_file.clone(),
        result: None,
        gateways: None,
        refused: false,
        debt: None,
    }
}

/// A network that was not attached.
struct Failed {
    error: CniError,
    /// The result of the last plugin that succeeded.
    last: Option<Box<RawValue>>,
}

impl From<CniError> for Failed {
    fn from(error: CniError) -> Self {
        Failed { error, last: None }
    }
}

fn attach_one(
    turn: &Turn,
    sandbox: &Sandbox,
    is_first: bool,
    planned: &Planned,
    keep: impl Fn(&RawValue) -> io::Result<()>,
) -> Result<Box<RawValue>, Failed> {
    let _step = trace::step_of(|| format!("network {} ({})", planned.network, planned.ifname));
    let target = turn.target()?;
    let path = turn.path();
    let scope = Scope {
        container_id: Some(&target.container_id),
        ifname: Some(&planned.ifname),
        netns: target.netns.as_deref(),
        args: &planned.args,
        path: &path,
        patience: turn.settings.delegate_timeout,
        deadline: turn.until(ADD),
        is_first,
        lock: sandbox.inherited(),
    };
    turn.log_runners(&planned.config);
    device_info::lay_out(turn, planned);
    let chain =
        Chain { network: &planned.config, capability_args: &planned.capability_args, scope, registry: &turn.registry };
    chain.add(keep).map_err(|interrupted| Failed {
        error: interrupted.error.to_cni().about(format!("network {} ({})", planned.network, planned.ifname)),
        last: interrupted.last,
    })
}

/// An empty record of the sandbox the call is about.
///
/// # Errors
/// The call names no sandbox.
pub fn empty_record(turn: &Turn) -> Result<Record, CniError> {
    let target = turn.target()?;
    let netns = target.netns.as_deref().and_then(|path| turn.netns(path).ok());
    let boot = Boot::this();
    Ok(Record {
        pod: turn.pod(),
        netns: target.netns.clone(),
        netns_id: netns.as_ref().and_then(|netns| netns.identity().ok()),
        netns_cookie: netns.as_ref().and_then(|netns| netns.cookie()),
        host_netns_id: Identity::own(),
        created: record::now(),
        boot_id: boot.kernels().map(str::to_owned),
        boot_id_shown: boot.shown_instead().map(str::to_owned),
        ..Record::empty(&target.container_id)
    })
}
