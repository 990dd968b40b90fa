//! The plugins of one network, one after another.

use super::measure::measured;
use super::{Call, Delegate, Error, Registry, Scope};
use crate::cni::json;
use crate::cni::request::ValidAttachment;
use crate::cni::{AddResult, CniError, Code, NetworkConfig, PluginConfig, RawObject, Request, Verb, Version};
use serde_json::value::RawValue;
use std::io;

/// One network in one sandbox: its plugins and what they are called with.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The network.
    pub network: &'a NetworkConfig,
    /// What is offered to the plugins by capability.
    pub capability_args: &'a RawObject,
    /// The attachment.
    pub scope: Scope<'a>,
    /// Who runs a plugin.
    pub registry: &'a Registry,
}

/// An ADD that failed on its way.
#[derive(Debug)]
pub struct Interrupted {
    /// Why.
    pub error: Error,
    /// The result of the last plugin that succeeded; none where the first one failed.
    pub last: Option<Box<RawValue>>,
}

/// What a DEL left.
#[derive(Debug)]
pub struct Left {
    /// The positions of the plugins that have to be called again, in the order of the list.
    pub plugins: Vec<usize>,
    /// Why; at least one.
    pub errors: Vec<Error>,
}

impl Left {
    /// The first error for the runtime, with the others as details.
    pub fn to_cni(&self) -> CniError {
        let mut errors = self.errors.iter().map(Error::to_cni);
        let first = errors.next().unwrap_or_else(|| CniError::new(Code::DelegateFailed, "nothing was deleted"));
        errors.fold(first, |all, error| all.with_details(error.msg))
    }

    /// Whether a plugin was killed because it did not end.
    pub fn is_hung(&self) -> bool {
        self.errors.iter().any(|error| matches!(error, Error::Deadline { .. }))
    }
}

impl Chain<'_> {
    /// ADD: in order, each with its predecessor's result; the first error ends it (CNI-ADD-06). Before a program is
    /// started, `keep` is handed the result so far: it may be all that tells what was made, if we die meanwhile. Where it
    /// cannot be kept the program is not started.
    ///
    /// # Errors
    /// That error. What was made so far is still there: the caller follows with [`Chain::del`].
    pub fn add(&self, keep: impl Fn(&RawValue) -> io::Result<()>) -> Result<Box<RawValue>, Interrupted> {
        let mut previous: Option<Box<RawValue>> = None;
        for (position, plugin) in self.network.plugins.iter().enumerate() {
            let so_far = previous.as_deref().filter(|_| self.registry.starts_programs(plugin));
            if let Err(source) = so_far.map_or(Ok(()), &keep) {
                let what = "it is not started, because the result so far cannot be kept".to_owned();
                let error = Error::Io { plugin: plugin.kind.to_string(), what, source };
                return Err(Interrupted { error, last: previous });
            }
            let call = self.call(plugin, self.request(previous.as_deref()));
            let delegate = self.registry.prepared_or_new(self.scope.ifname, position, plugin);
            let answer = measured(Verb::Add, &*delegate, &call, |delegate, call| delegate.add(call)).map_err(|e| {
                match self.registry.unknown_key(plugin) {
                    Some(unknown) => e.with_hint(&unknown),
                    None => e,
                }
            });
            match answer.and_then(|answer| self.in_own_version(plugin.kind.as_str(), answer)) {
                Ok(result) => previous = Some(result),
                Err(error) => return Err(Interrupted { error, last: previous }),
            }
        }
        Ok(previous.unwrap_or_else(|| RawValue::NULL.to_owned()))
    }

    /// DEL: in reverse, each with the final result of ADD; the first error ends it (CNI-DEL-05). A program that is
    /// missing, or no program, is passed over, and so is one that fails after the namespace is gone: it may never succeed, and what the
    /// others hold must not be held for ever.
    ///
    /// # Errors
    /// What is left, and why.
    pub fn del(&self, result: Option<&RawValue>) -> Result<(), Left> {
        let result = result.filter(|_| self.network.version.at_least(Version::V0_4_0));
        let mut left = Left { plugins: Vec::new(), errors: Vec::new() };
        for (index, plugin) in self.network.plugins.iter().enumerate().rev() {
            match self.one(Verb::Del, plugin, self.request(result), |delegate, call| delegate.del(call)) {
                Ok(()) => {}
                // Where the namespace is gone nothing of one plugin rests on another's.
                Err(error) if error.is_of_program() || self.scope.netns.is_none() => {
                    left.plugins.push(index);
                    left.errors.push(error);
                }
                Err(error) => {
                    left.plugins.extend((0..=index).rev());
                    left.errors.push(error);
                    break;
                }
            }
        }
        left.plugins.reverse();
        if left.errors.is_empty() { Ok(()) } else { Err(left) }
    }

    /// CHECK: in order (CNI-CHK-09); success where the list forbids it or is too old for it.
    ///
    /// # Errors
    /// The first plugin's that finds something amiss.
    pub fn check(&self, result: Option<&RawValue>) -> Result<(), Error> {
        // CNI-CHK-10 and trap 23 of the clauses: an old list with disableCheck is not an error.
        if self.network.disable_check || !self.network.version.at_least(Version::V0_4_0) {
            return Ok(());
        }
        self.network
            .plugins
            .iter()
            .try_for_each(|plugin| self.one(Verb::Check, plugin, self.request(result), |it, call| it.check(call)))
    }

    /// STATUS: in order; a list older than the verb is well (CNI-STA-07).
    ///
    /// # Errors
    /// The first plugin's that is not.
    pub fn status(&self) -> Result<(), Error> {
        if !self.network.version.at_least(Version::V1_1_0) {
            return Ok(());
        }
        self.network
            .plugins
            .iter()
            .try_for_each(|plugin| self.one(Verb::Status, plugin, Request::default(), |it, call| it.status(call)))
    }

    /// GC: every plugin is asked, whatever the others say (CNI-GC-08).
    ///
    /// # Errors
    /// All of them.
    pub fn gc(&self, valid: &[ValidAttachment]) -> Result<(), Vec<Error>> {
        if self.network.disable_gc || !self.network.version.at_least(Version::V1_1_0) {
            return Ok(());
        }
        let request = Request { valid_attachments: Some(valid), ..Request::default() };
        let gc = |plugin| self.one(Verb::Gc, plugin, request, |delegate, call| delegate.gc(call)).err();
        let errors: Vec<Error> = self.network.plugins.iter().filter_map(gc).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Has one plugin do its `work`.
    fn one<T>(
        &self,
        verb: Verb,
        plugin: &PluginConfig,
        request: Request<'_>,
        work: impl FnOnce(&dyn Delegate, &Call<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        measured(verb, &*self.registry.resolve(plugin), &self.call(plugin, request), work)
    }

    fn request<'r>(&'r self, prev_result: Option<&'r RawValue>) -> Request<'r> {
        Request { prev_result, capability_args: Some(self.capability_args), valid_attachments: None }
    }

    fn call<'c>(&'c self, plugin: &'c PluginConfig, request: Request<'_>) -> Call<'c> {
        Call { scope: &self.scope, plugin, stdin: request.derive(self.network, plugin) }
    }

    /// A result in the version of the list, because the next plugin reads no other (CNI-ADD-11); as
    /// it was written where it is already.
    fn in_own_version(&self, plugin: &str, answer: Box<RawValue>) -> Result<Box<RawValue>, Error> {
        let broken = |why: &dyn std::fmt::Display| Error::Broken {
            plugin: plugin.to_owned(),
            what: format!("printed no result: {why}"),
        };
        let version = self.network.version.known();
        let result = AddResult::parse(answer.get(), version).map_err(|e| broken(&e))?;
        let mut object = json::parse::<Option<RawObject>>(answer.get()).map_err(|e| broken(&e))?.unwrap_or_default();
        let declared = object.read::<String>("cniVersion").map_err(|e| broken(&e))?.unwrap_or_default();
        if declared == self.network.version.as_str() {
            return Ok(answer);
        }
        if declared.is_empty() {
            object.set_value("cniVersion", self.network.version.as_str());
            return Ok(object.to_raw());
        }
        result.to_raw(version).map_err(|e| broken(&e))
    }
}
