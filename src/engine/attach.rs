//! Carrying out a plan: the record first, then one network after another.

use super::plan::Planned;
use super::sandbox::Sandbox;
use super::{Turn, device_info, undo};
use crate::cni::{CniArgs, CniError, Code, NetworkConfig, Version};
use crate::delegate::{Chain, Scope};
use crate::store::{Attachment, Record, State, record};
use crate::sys::files::Durability;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// kubelet gives a sandbox up after 4 minutes: attaching has this, undoing has [`UNDO`].
pub const ADD: Duration = Duration::from_secs(150);
/// What undoing has.
pub const UNDO: Duration = Duration::from_secs(30);

/// A sandbox in which a plan is being carried out.
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
    synced: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl<'t> Session<'t> {
    /// Writes the record, before the first side effect. For a plain pod (`plan` of one) a record that
    /// cannot be written is a warning: DEL works without it.
    ///
    /// # Errors
    /// Code 5: the record of a pod with additional networks cannot be written.
    pub fn begin(turn: &'t Turn, sandbox: &'t Sandbox, record: Record, plan: Vec<Planned>) -> Result<Self, CniError> {
        let target = turn.target()?;
        let path = turn.path();
        let before = record.attachments.len();
        let mut session = Session { turn, sandbox, record, plan, before, attempted: 0, synced: None };
        let intended = session.plan.iter().map(|planned| intended(planned, &target.ifname, &path));
        session.record.attachments.extend(intended);
        sandbox.begin();
        if session.plan.is_empty() {
            return Ok(session);
        }
        let plain = session.plan.iter().all(|planned| planned.default);
        match turn.store.write(&session.record, Durability::Cached) {
            Ok(()) if plain => {}
            Ok(()) => session.start_sync(),
            Err(e) if plain => turn.warn(format!("no record of this sandbox can be kept: {e}")),
            Err(e) => {
                return Err(CniError::new(
                    Code::Io,
                    format!("no record of the sandbox can be kept in {}: {e}", turn.settings.state.path().display()),
                ));
            }
        }
        Ok(session)
    }

    /// The record is forced to the disk while we go on; awaited before the first program is started.
    fn start_sync(&mut self) {
        let (store, id) = (self.turn.store.clone(), self.record.container_id.clone());
        self.synced = Some(std::thread::spawn(move || store.sync(&id)));
    }

    fn await_sync(&mut self) {
        // A power loss before the disk has the record also destroys the links; leases are reaped by GC.
        if let Some(Ok(Err(e))) = self.synced.take().map(std::thread::JoinHandle::join) {
            self.turn.warn(format!("the record is not on the disk yet: {e}"));
        }
    }

    /// Attaches every network of the plan.
    ///
    /// # Errors
    /// The first network's that fails; later ones are not attempted (NPWG-ERR-01).
    pub fn attach(&mut self) -> Result<(), CniError> {
        while self.attempted < self.plan.len() {
            let batch = self.next_batch();
            if self.plan[batch.clone()].iter().any(|planned| self.turn.registry.needs_programs(&planned.config)) {
                self.await_sync();
            }
            self.attempted = batch.end;
            let answers = self.attach_batch(batch.clone());
            let mut first = None;
            for (index, answer) in batch.zip(answers) {
                match answer {
                    Ok(result) => self.attached(index, result),
                    Err(e) => first = first.or(Some(e)),
                }
            }
            first.map_or(Ok(()), Err)?;
        }
        self.await_sync();
        Ok(())
    }

    /// One network, or several that may be attached at the same time.
    fn next_batch(&self) -> std::ops::Range<usize> {
        let together = |planned: &&Planned| {
            planned.parallel && !planned.default && self.turn.registry.needs_programs(&planned.config)
        };
        let count = self.plan[self.attempted..].iter().take_while(together).count();
        self.attempted..self.attempted + count.max(1)
    }

    fn attach_batch(&self, batch: std::ops::Range<usize>) -> Vec<Result<Box<RawValue>, CniError>> {
        let attach = |index: usize| attach_one(self.turn, self.sandbox, &self.plan[index]);
        if batch.len() == 1 {
            return batch.map(attach).collect();
        }
        std::thread::scope(|scope| {
            let running: Vec<_> = batch.map(|index| scope.spawn(move || attach(index))).collect();
            let died = || Err(CniError::new(Code::DelegateFailed, "a thread of Plexus died"));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
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

    /// Writes the results to the record. Without them DEL still works, so a failure is a warning.
    pub fn commit(&self) {
        if self.plan.is_empty() {
            return;
        }
        if let Err(e) = self.turn.store.write(&self.record, Durability::Cached) {
            self.turn.warn(format!("the results cannot be kept: {e}"));
        }
    }

    /// Deletes what was attempted, in reverse, the failing one included; the record goes only when
    /// all of it is deleted. Answers `first` with what else went wrong.
    pub fn undo(mut self, first: CniError) -> CniError {
        self.await_sync();
        self.record.attachments.truncate(self.before + self.attempted);
        let attempted = self.record.attachments.split_off(self.before);
        let deadline = Instant::now() + UNDO;
        let netns = self.turn.target().ok().and_then(|target| target.netns.clone());
        let failures =
            undo::delete(self.turn, self.sandbox, netns.as_deref(), &self.record.container_id, attempted, deadline);
        let mut error = first;
        for failure in &failures {
            error = error.with_details(format!("undoing: {}", failure.error.msg));
        }
        self.record.attachments.extend(failures.into_iter().map(|failure| failure.attachment));
        undo::keep_or_remove(self.turn, &self.record);
        error
    }
}

/// The attachment as it is intended: all that DEL needs if we die now.
pub fn intended(planned: &Planned, call: &crate::cni::IfName, path: &[PathBuf]) -> Attachment {
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
        debt: None,
    }
}

fn attach_one(turn: &Turn, sandbox: &Sandbox, planned: &Planned) -> Result<Box<RawValue>, CniError> {
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
        lock: sandbox.inherited(),
    };
    turn.tell_carriers(&planned.config);
    device_info::lay_out(turn, planned);
    let chain =
        Chain { network: &planned.config, capability_args: &planned.capability_args, scope, registry: &turn.registry };
    chain.add().map_err(|e| e.to_cni().about(format!("network {} ({})", planned.network, planned.ifname)))
}

/// An empty record of the sandbox the call is about.
///
/// # Errors
/// The call names no sandbox.
pub fn empty_record(turn: &Turn) -> Result<Record, CniError> {
    let target = turn.target()?;
    Ok(Record {
        version: record::VERSION,
        container_id: target.container_id.clone(),
        pod: turn.pod(),
        netns: target.netns.clone(),
        created: record::now(),
        attachments: Vec::new(),
    })
}

/// What an attachment is called with again, read from its record.
pub struct Recalled {
    network: NetworkConfig,
    args: CniArgs,
}

impl Recalled {
    /// Whether CHECK is allowed, and known, to its network (CNI-CFG-05, CNI-CHK-10).
    pub fn may_be_checked(&self) -> bool {
        !self.network.disable_check && self.network.version.at_least(Version::V0_4_0)
    }

    /// Reads the configuration of `attachment`.
    ///
    /// # Errors
    /// Code 6: it is damaged.
    pub fn read(attachment: &Attachment) -> Result<Self, CniError> {
        let network = NetworkConfig::parse(attachment.config.get(), None).map_err(|e| {
            CniError::new(
                Code::Decode,
                format!("network {} ({}): its record: {e}", attachment.network, attachment.ifname),
            )
        })?;
        Ok(Recalled { network, args: CniArgs::parse(&attachment.args) })
    }

    /// The chain to call for `attachment` in `netns`, ending at `deadline`.
    pub fn chain<'a>(
        &'a self,
        turn: &'a Turn,
        sandbox: &'a Sandbox,
        id: &'a crate::cni::ContainerId,
        attachment: &'a Attachment,
        netns: Option<&'a Path>,
        deadline: Instant,
    ) -> Chain<'a> {
        let scope = Scope {
            container_id: Some(id),
            ifname: Some(&attachment.ifname),
            netns,
            args: &self.args,
            path: &attachment.path,
            patience: turn.settings.delegate_timeout,
            deadline,
            lock: sandbox.inherited(),
        };
        Chain { network: &self.network, capability_args: &attachment.capability_args, scope, registry: &turn.registry }
    }
}
