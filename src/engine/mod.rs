//! The plugin's work: one call, from the process's environment to its answer.
//!
//! [`verbs`] read as lists of named steps. [`planning`] decides, and changes nothing. [`sandbox`] changes one
//! sandbox. `default_routes` gives the pod one for each IP family. [`cleanup`] cleans up when no call asks for it. [`multus`] knows what Multus left.

pub mod address_program;
pub mod cleanup;
mod default_routes;
pub mod entry;
pub mod multus;
pub mod node;
pub mod planning;
pub mod report;
pub mod sandbox;
pub mod settings;
pub mod turn;
pub mod verbs;

pub use entry::run;
pub use settings::Settings;
pub use turn::Turn;
