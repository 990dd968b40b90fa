//! The link that addresses are taken for, before it has any.

use crate::sys::conflicts::Claim;
use std::net::IpAddr;
use std::time::Instant;

/// A link on which others can be asked whether they have an address.
pub trait Wire {
    /// Who claims one of `addresses`; it ends at `until`.
    ///
    /// # Errors
    /// Why nobody can be asked: a part of a line for a person.
    fn ask(&mut self, addresses: &[IpAddr], until: Instant) -> Result<Vec<Claim>, String>;
}

/// There is no link, or none on which somebody could answer.
#[derive(Clone, Copy, Debug)]
pub struct NoWire;

impl Wire for NoWire {
    fn ask(&mut self, _: &[IpAddr], _: Instant) -> Result<Vec<Claim>, String> {
        Err("this network has no interface yet on which another device could answer".to_owned())
    }
}
