//! What is said on the daemon's socket and left in its folders, and the errors of plugins.

use super::assert_is_dns_name;
use plexus::api::protocol::{Reply, Request};
use plexus::api::{Publication, StateDirectory};
use plexus::cni::CniError;
use plexus::nad::{Definition, NadRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A line from either side; a file that one leaves for the other.
pub fn run(data: &[u8]) {
    if let Some(Request::Facts(request)) = stable(data) {
        request.networks.iter().for_each(stays_in_its_folder);
    }
    if let Some(Reply::Facts(facts)) = stable(data) {
        facts.missing.iter().for_each(stays_in_its_folder);
    }
    if let Some(definition) = stable::<Definition>(data) {
        stays_in_its_folder(&definition.nad);
    }
    stable::<Publication>(data);
    stable::<CniError>(data);
}

/// What is understood is written so that it is understood the same.
fn stable<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), value);
    Some(value)
}

/// A network becomes the name of a file (NPWG-NAD-06).
fn stays_in_its_folder(nad: &NadRef) {
    assert_is_dns_name(nad.namespace());
    assert_is_dns_name(nad.name());
    let state = StateDirectory::new("/state");
    assert_eq!(state.network(nad).parent(), Some(Path::new("/state/networks")));
}
