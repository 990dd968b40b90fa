//! The CNI protocol as data: who calls, with what configuration, and what is answered.
//!
//! Pure: nothing here touches the machine. Clause IDs (`CNI-…`) are those of `docs/evidence/conformance.md`.

pub mod args;
pub mod config;
pub mod error;
pub mod invocation;
pub mod json;
mod json_error;
pub mod names;
pub mod request;
pub mod result;
mod result_convert;
pub mod spelling;
pub mod trace_context;
pub mod version;

pub use args::CniArgs;
pub use config::{NetworkConfig, PluginConfig};
pub use error::{CniError, Code};
pub use invocation::{Invocation, Verb};
pub use json::{RawObject, folds_to};
pub use names::{ContainerId, IfName, NetworkName, PluginType};
pub use request::Request;
pub use result::AddResult;
pub use version::{DeclaredVersion, Version};
