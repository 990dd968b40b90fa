//! The cluster as the API server shows it: watches that fill the cache, single questions where the watches are not
//! enough, and the way back: patches of pods, and events.

mod absent;
pub(super) mod access;
pub(super) mod address_nodes;
mod blocks;
mod bounded;
pub(super) mod canary;
pub(super) mod claimed;
mod claims;
pub(super) mod client;
pub(super) mod event;
pub(super) mod inquiry;
pub(super) mod leading;
pub(super) mod leasing;
pub(super) mod mirror;
pub(super) mod nodes;
mod object;
pub(super) mod pools;
pub(super) mod publish;
mod ready;
pub(super) mod reclaim;
pub(super) mod requests;
pub(super) mod reservations;
pub(super) mod review;
mod revisions;
pub(super) mod shortages;
mod slices;
mod told;
pub(super) mod watch;
pub(super) mod whereabouts;
