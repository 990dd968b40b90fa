//! A network attachment definition, reduced to what an attachment needs of it.

use super::reference::NadRef;
use serde::{Deserialize, Serialize};

/// What a NAD says. The daemon keeps these in memory and hands them to the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Which one it is.
    pub nad: NadRef,
    /// `spec.config` as it was written; none means a file on the node of that name (NPWG-NAD-04).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The resource its attachments take a device of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Its attachments may be made at the same time as others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parallel: bool,
}

impl Definition {
    /// The definition `nad` with `spec.config` and what its annotations say, looked up by `annotation`.
    pub fn new<'a>(nad: NadRef, config: Option<String>, annotation: impl Fn(&str) -> Option<&'a str>) -> Self {
        Definition {
            nad,
            config: config.filter(|config| !config.trim().is_empty()),
            resource_name: annotation(super::RESOURCE_NAME).filter(|name| !name.is_empty()).map(str::to_owned),
            parallel: annotation(super::PARALLEL) == Some("true"),
        }
    }
}
