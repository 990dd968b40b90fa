//! What the plugin needs of the node to take an address from a block that the daemon has leased.

use crate::delegate::failure::Failure;
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
    /// Another folder is in use, or it cannot be known.
    fn claim_folder(&self) -> Result<(), Unclaimed>;

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

/// Why no address of this folder may be given.
#[derive(Debug)]
pub enum Unclaimed {
    /// Other programs of this node have their addresses in `known`.
    Other {
        /// Their state directory.
        known: String,
        /// That of this program.
        own: String,
    },
    /// The file that names the folder cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl From<Unclaimed> for Failure {
    fn from(why: Unclaimed) -> Self {
        match why {
            Unclaimed::Other { known, own } => Failure::TryAgain(format!(
                "the addresses of this node are in {known}, and the state directory is {own}"
            )),
            Unclaimed::Io { path, source } => Failure::Io { what: format!("use {}", path.display()), source },
        }
    }
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
