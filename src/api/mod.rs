//! The words between plugin, CLI and daemon: where things lie, what is asked on the socket, what is
//! left in a folder for the other to find.

pub mod build;
pub mod cached;
pub mod calls;
pub mod copy;
pub mod keeping;
pub mod layout;
pub mod pools_taken;
pub mod protocol;
pub mod publication;

pub use cached::{Cached, Connections};
pub use calls::CallReport;
pub use copy::NetworkCopy;
pub use keeping::{Keeping, PoolTally};
pub use layout::{DAEMON, RunDirectory, StateDirectory};
pub use pools_taken::PoolsTaken;
pub use protocol::{Facts, FactsRequest, Reply, Request};
pub use publication::Publication;
