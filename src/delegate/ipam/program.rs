//! An address plugin that is a program on disk.

use super::{Foreseen, Ipam};
use crate::cni::{AddResult, Code, PluginConfig, PluginType, RawObject, Verb};
use crate::delegate::external::External;
use crate::delegate::failure::Failure;
use crate::delegate::measure::measured;
use crate::delegate::stdin::Stdin;
use crate::delegate::{Call, Delegate, Error};

/// The address plugin that tells a server on the network what it gives back.
const DHCP: &str = "dhcp";

/// The program of that name, handed what the main plugin was handed (CNI-DLG-02).
pub struct Program {
    pub(super) kind: PluginType,
    /// Who can judge the section all the same, and what is to be said if it cannot succeed.
    pub(super) judge: Option<(Box<dyn Ipam>, String)>,
}

impl Program {
    /// The program `kind`.
    pub fn new(kind: PluginType) -> Self {
        Program { kind, judge: None }
    }

    fn run<T>(
        &self,
        verb: Verb,
        call: &Call<'_>,
        work: impl FnOnce(&dyn Delegate, &Call<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut object = RawObject::default();
        object.set_value("type", self.kind.as_str());
        let failed = |e: &dyn std::fmt::Display| Failure::Config(e.to_string()).of(self.kind.as_str());
        let plugin = PluginConfig::new(object).map_err(|e| failed(&e))?;
        let call = Call { scope: call.scope, plugin: &plugin, stdin: call.stdin.clone() };
        measured(verb, &External, &call, work)
    }
}

impl Ipam for Program {
    /// What it will answer is not known.
    fn prepare(&self, call: &Call<'_>) -> Result<Foreseen, Error> {
        if let Some((judge, hint)) = &self.judge {
            judge.prepare(call).map_err(|e| e.with_hint(hint))?;
        }
        Ok(Foreseen::default())
    }

    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        let answer = self.run(Verb::Add, call, |program, call| program.add(call))?;
        // Without a version it is in that of the configuration (CNI-ADD-10).
        let read = Stdin::parse(call).and_then(|stdin| Ok(AddResult::parse(answer.get(), stdin.version)?));
        read.map_err(|e| Error::Broken { plugin: self.kind.to_string(), what: format!("printed no result: {e}") })
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        self.run(Verb::Del, call, |program, call| program.del(call))
    }

    fn needs_link(&self) -> bool {
        self.kind.as_str() == DHCP
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        self.run(Verb::Check, call, |program, call| program.check(call))
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        self.run(Verb::Status, call, |program, call| program.status(call))
    }

    /// A program that does not know the verb has nothing to say: the reference never asks it.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        let unknown = [Code::IncompatibleVersion.number(), Code::Environment.number()];
        self.run(Verb::Gc, call, |program, call| match program.gc(call) {
            Err(Error::Refused { error, .. }) if unknown.contains(&error.code) => Ok(()),
            other => other,
        })
    }
}
