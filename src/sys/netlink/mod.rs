//! Links, addresses and routes of a network namespace, over blocking rtnetlink.
//!
//! A [`Socket`] belongs to one namespace for its whole life, so that nothing has to enter and leave
//! namespaces around single operations. Attributes are folded into as few messages as the kernel
//! takes: most of the time of an attachment is spent waiting for the kernel's one big lock (RTNL).

mod address;
mod batch;
mod bridge_port;
mod error;
mod hardware;
mod link;
mod listed;
mod listed_link;
mod listener;
mod mac;
mod mode;
mod name;
mod new_link;
mod pruned;
mod route;
mod socket;
mod teardown;

pub use address::Address;
pub use batch::{Answer, Batch};
pub use bridge_port::{PortFlags, PortVlan};
pub use error::{Error, no_kind};
pub use link::Change;
pub use listed::{Listed, listed};
pub use listed_link::{Link, OperState};
pub use listener::told;
pub use mac::{InvalidMac, Mac};
pub use mode::{IpVlanMode, MacVlanMode};
pub use name::{InvalidLinkName, LinkName};
pub use new_link::{Kind, NewLink, Peer};
pub use route::{Route, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, TABLE_MAIN};
pub use socket::Socket;
pub use teardown::teardown;

#[cfg(test)]
mod tests;
