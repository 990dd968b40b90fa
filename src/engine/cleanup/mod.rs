//! What calls leave behind, and who cleans it up: debts, records of sandboxes that are gone, leases of nobody.

pub mod comparison;
pub mod counted;
pub mod due;
pub mod fate;
pub mod forgive;
pub mod leases;
pub mod live_sandboxes;
pub mod pools;
pub(super) mod reap;
pub(super) mod spared;
pub mod survey;
pub mod sweep;
pub mod sweep_command;
pub(super) mod traces;
pub mod used_networks;
pub mod wish;
