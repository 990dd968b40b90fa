//! What the plugin needs of the node to take an address from a block that the daemon has leased.

use crate::ipam::reservation::Whose;
use crate::ipam::{Confirmed, Grant, PoolName, Report};
use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

/// Where the addresses of a pool are that this node has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// One file for each.
    pub own: PathBuf,
    /// A copy of each file, which lives at least as long as the boot.
    pub copies: PathBuf,
}

/// The node's blocks: what the daemon grants, and what it is told.
pub trait Lessor: Send + Sync + Debug {
    /// The folders of `pool`.
    fn folders(&self, pool: &PoolName) -> Folders;

    /// Whether every program of this node keeps its addresses there: two folders would give one address twice.
    ///
    /// # Errors
    /// Another folder is in use.
    fn claim_folder(&self) -> Result<(), String>;

    /// What the daemon grants; none where it has granted nothing since the machine started.
    ///
    /// # Errors
    /// It cannot be read.
    fn grant(&self, pool: &PoolName) -> Result<Option<Grant>, String>;

    /// What the daemon was told last.
    ///
    /// # Errors
    /// It cannot be read: then it is not known what was given back.
    fn report(&self, pool: &PoolName) -> Result<Report, String>;

    /// Tells the daemon.
    ///
    /// # Errors
    /// It cannot be written.
    fn tell(&self, pool: &PoolName, report: &Report) -> io::Result<()>;

    /// The boot and both clocks.
    fn now(&self) -> Confirmed;

    /// Asks the daemon for what is needed. Answers the addresses that are kept, where it asks for those.
    ///
    /// # Errors
    /// There is none.
    fn lease(&self, pool: &PoolName, need: &Need, deadline: Instant) -> Result<Vec<IpAddr>, Unleased>;
}

/// Why the daemon leased nothing: one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unleased {
    /// It may later.
    #[error("{0}")]
    Later(String),
    /// It will not while the pool and the network are as they are.
    #[error("{0}")]
    Never(String),
}

/// What this node needs of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Another block of these families (4, 6); where there is none, a confirmation.
    pub families: Vec<u8>,
    /// One of these addresses, each from the first to the last: of a pool that has no ranges of its own.
    pub within: Vec<(IpAddr, IpAddr)>,
    /// The addresses that are kept for this interface.
    pub kept_for: Option<Whose>,
    /// Reserved addresses that others have on this node.
    pub taken: Vec<IpAddr>,
}
