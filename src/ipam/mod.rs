//! Addresses that are unique in the cluster: pools, the blocks that a node leases, and who may take an address. Pure.
//!
//! A pool lies on a grid of blocks in absolute address space. A block is one object in the cluster, created if absent,
//! so it has one owner. The daemon of a node leases blocks ([`holder`]) and offers them to the plugin ([`grant`]). The
//! plugin takes single addresses out of them ([`stock`]) and asks nobody. It remembers who had them ([`memory`],
//! [`history`]). Its answer to the daemon names the blocks that
//! it will not use again. Blocks of a node that was removed are freed ([`epoch`], [`look`]). The daemon of a node asks whether its node was
//! ([`question`]). Of two pools with an address in common only the older one is used ([`overlap`]). Nodes keep less while
//! somebody waits for an address ([`scarcity`]). A device outside the cluster may have an address ([`probe`]). An address may
//! be kept for a pod that comes back ([`reservation`]). Pods that wait together share a block ([`waiting`]).

pub mod epoch;
pub mod grant;
pub mod history;
pub mod holder;
pub mod look;
pub mod memory;
pub mod name;
pub mod never;
mod offer;
pub mod overlap;
pub mod pool;
pub mod probe;
pub mod question;
mod range;
pub mod report;
pub mod reservation;
pub mod scarcity;
pub mod selector;
pub mod spans;
pub mod stock;
pub mod taken;
pub mod tally;
pub mod usage;
pub mod waiting;

pub use grant::{Confirmed, Grant, Granted, Notes, Offer};
pub use holder::{Effect, Event, Holder};
pub use name::PoolName;
pub use never::Never;
pub use pool::{Block, Pool, PoolSpec};
pub use probe::Probe;
pub use report::Report;
pub use stock::Stock;
pub use taken::Taken;

#[cfg(test)]
mod epoch_model;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scarcity_model;
#[cfg(test)]
mod stamp_model;
