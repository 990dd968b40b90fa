//! The verbs. Each reads as a list of named steps.

pub mod add;
mod attach;
pub mod check;
pub mod default_network;
pub mod del;
pub mod device_info;
pub mod disk;
mod drift;
pub mod entry;
pub mod gc;
pub mod leases;
mod libcni_cache;
pub mod living;
pub mod multus;
mod namespace;
mod naming;
pub mod networks;
pub mod plan;
mod preflight;
mod publish;
mod recalled;
pub mod recursion;
mod sandbox;
pub mod selections;
pub mod settings;
mod settle;
pub mod status;
pub mod sweep;
pub mod sweep_command;
mod trust;
pub mod turn;
mod undo;

pub use entry::run;
pub use settings::Settings;
pub use turn::Turn;
