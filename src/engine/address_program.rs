//! The programs `plexus-ipam` and `whereabouts`: the built-in address plugin for main plugins that start the program of their section.

use super::entry;
use crate::api::{RunDirectory, StateDirectory};
use crate::cni::{CniError, Code, Invocation, PluginConfig, RawObject, Verb};
use crate::delegate::ipam::leased;
use crate::delegate::{Call, Scope, remarks};
use crate::facts::NodeBlocks;
use crate::sys::trusted::KeptFolders;
use crate::sys::{self, files, printable};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A configuration of one plugin, with the result of ADD.
const MAX_STDIN: usize = 8 << 20;
/// What one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one call; answers what is printed: on success the result, else the error object.
///
/// # Errors
/// The error object.
pub fn run(environment: impl Fn(&str) -> Option<String>, stdin: impl Read) -> Result<String, String> {
    // This thread serves one call, and ends.
    let _kept = KeptFolders::begin();
    let mut version = String::new();
    serve(environment, stdin, &mut version).map_err(|mut error| {
        error.cni_version = version;
        (error.msg, error.details) = (printable::line(&error.msg), printable::line(&error.details));
        // An error of texts and a number always serialises.
        serde_json::to_string_pretty(&error).unwrap_or_default()
    })
}

fn serve(
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read,
    version: &mut String,
) -> Result<String, CniError> {
    let invocation = Invocation::read(&environment)?;
    if invocation.verb == Verb::Version {
        return Ok(entry::versions(stdin));
    }
    let text = files::read_to_string_bounded(stdin, MAX_STDIN)
        .map_err(|e| CniError::new(Code::Io, format!("the configuration on stdin cannot be read: {e}")))?;
    let decode = |e: &dyn std::fmt::Display| CniError::new(Code::Decode, format!("the configuration on stdin: {e}"));
    let object = RawObject::parse(&text).map_err(|e| decode(&e))?;
    *version = object.read("cniVersion").ok().flatten().unwrap_or_default();
    let plugin = PluginConfig::new(object).map_err(|e| decode(&e))?;
    // The runtime's own environment: a network's configuration cannot choose directories.
    let folder =
        |key, default: &str| environment(key).filter(|path| path.starts_with('/')).unwrap_or(default.to_owned());
    let state = StateDirectory::new(folder("PLEXUS_STATE_DIRECTORY", StateDirectory::DEFAULT));
    let run = RunDirectory::new(folder("PLEXUS_RUN_DIRECTORY", RunDirectory::DEFAULT));
    let target = invocation.target.as_ref();
    let scope = Scope {
        container_id: target.map(|target| &target.container_id),
        ifname: target.map(|target| &target.ifname),
        netns: target.and_then(|target| target.netns.as_deref()),
        ..Scope::of_node(&invocation.args, &invocation.path, PATIENCE, Instant::now() + PATIENCE)
    };
    let call = Call { scope: &scope, plugin: &plugin, stdin: text };
    let answer = leased::run(invocation.verb, &call, Arc::new(NodeBlocks::new(state, run)));
    let container = target.map(|target| format!(" {} {}", target.container_id, target.ifname)).unwrap_or_default();
    for remark in remarks::take() {
        sys::tell(format_args!("{} {}{container}: {remark}", leased::TYPE, invocation.verb));
    }
    answer.map_err(|e| e.to_cni())
}
