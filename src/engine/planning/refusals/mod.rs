//! What is refused whatever the plugins of a network would do: each module is a rule, with the reason.

pub(in crate::engine) mod firewall_keys;
pub mod namesakes;
pub mod recursion;
pub mod requests;
