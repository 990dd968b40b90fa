//! The verbs. Each reads as a list of named steps.

pub mod add;
mod attach;
pub mod default_network;
pub mod del;
pub mod disk;
pub mod entry;
mod naming;
mod networks;
pub mod plan;
mod preflight;
mod publish;
mod recursion;
mod sandbox;
pub mod selections;
pub mod settings;
mod settle;
pub mod turn;
mod undo;

pub use entry::run;
pub use settings::Settings;
pub use turn::Turn;
