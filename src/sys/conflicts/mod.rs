//! Whether another machine has an address that is to be used: address conflict detection (RFC 5227 for IPv4, RFC 4862
//! section 5.4 for IPv6), with shorter waits.

mod asker;
mod packet;

pub use asker::{Asker, LONGEST};
pub use packet::{Claim, read_arp, read_v6};

#[cfg(test)]
mod tests;
