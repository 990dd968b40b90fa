//! What a call is to do: decided before the first side effect.

pub mod default_network;
pub mod disk;
pub(super) mod naming;
pub mod networks;
pub mod plan;
pub mod preflight;
pub mod refusals;
pub mod selections;
