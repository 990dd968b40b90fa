//! An address plugin that is a program, asked by a plugin in this process.

use super::Ipam;
use crate::cni::{AddResult, DeclaredVersion, PluginType, RawObject, Verb};
use crate::delegate::external::{run, text};
use crate::delegate::{Call, Error};

/// The program of that type; it is handed what the asking plugin was handed (CNI-DLG-02).
#[derive(Debug)]
pub struct ExternalIpam(pub PluginType);

impl Ipam for ExternalIpam {
    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        let broken = |why: &dyn std::fmt::Display| Error::Broken { plugin: self.0.to_string(), what: format!("printed no result: {why}") };
        let answer = text(&self.0, run(Verb::Add, call, &self.0)?)?;
        let declared = RawObject::parse(&call.stdin).ok().and_then(|stdin| stdin.read::<String>("cniVersion").ok().flatten());
        let version = DeclaredVersion::new(&declared.unwrap_or_default()).known();
        AddResult::parse(&answer, version).map_err(|e| broken(&e))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Del, call, &self.0).map(drop)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Check, call, &self.0).map(drop)
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Status, call, &self.0).map(drop)
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        run(Verb::Gc, call, &self.0).map(drop)
    }
}
