//! What is attached by another configuration than its network has now: a running pod keeps that of its start.

use crate::cni::{NetworkConfig, json};
use crate::nad::Definition;
use crate::store::{Attachment, State};
use serde_json::Value;

/// What is told of it.
pub const OLDER: &str = "runs an older configuration";

/// Whether `one` is attached by another configuration than its network has `now`.
pub fn is_older(one: &Attachment, now: &[Definition]) -> bool {
    if one.default || one.state != State::Attached {
        return false;
    }
    let definition = now.iter().find(|definition| definition.nad.to_string() == one.network);
    let config = definition.and_then(|definition| Some((definition.nad.name(), definition.config.as_deref()?)));
    let now = config.and_then(|(name, config)| NetworkConfig::parse(config, Some(name)).ok());
    let then = NetworkConfig::parse(one.config.get(), None).ok();
    now.zip(then).is_some_and(|(now, then)| written(now) != written(then))
}

/// What the author of a network wrote: without what ADD puts in for one pod, and what a list has at its top.
fn written(mut config: NetworkConfig) -> Option<Value> {
    for plugin in &mut config.plugins {
        ["cniVersion", "name", "args", "deviceID", "pciBusID"].into_iter().for_each(|key| plugin.object.remove(key));
    }
    json::parse(config.to_raw().get()).ok()
}
