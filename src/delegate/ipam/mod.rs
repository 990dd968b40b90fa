//! Address plugins: in this process or a program, behind one trait.

pub mod host_local;
mod program;
pub mod static_;

pub use program::Program;

use super::keys::{Declined, understand};
use super::{Call, Error};
use crate::cni::result::{IpConfig, Route};
use crate::cni::{AddResult, RawObject};
use ipnet::IpNet;

/// A plugin that another one asks for addresses. It is handed the same call as that one (CNI-DLG-02).
pub trait Ipam: Send + Sync {
    /// Judges what ADD will be called with, and takes nothing. A program cannot be asked.
    ///
    /// # Errors
    /// ADD could not succeed.
    fn prepare(&self, _call: &Call<'_>) -> Result<Foreseen, Error> {
        Ok(Foreseen::default())
    }

    /// Takes addresses.
    ///
    /// # Errors
    /// There is none, and none was taken.
    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error>;

    /// Gives back what the attachment has; nothing to give back is success.
    ///
    /// # Errors
    /// Something is still taken.
    fn del(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Whether they are given back through the attachment's link, which therefore has to be there still.
    fn needs_link(&self) -> bool {
        false
    }

    /// Are they still taken?
    ///
    /// # Errors
    /// They are not.
    fn check(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Could one be taken?
    ///
    /// # Errors
    /// Not now.
    fn status(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Gives back what belongs to no valid attachment.
    ///
    /// # Errors
    /// Something could not be given back.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error>;
}

/// Which address plugins run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// `host-local`.
    pub host_local: bool,
    /// `static`.
    pub static_: bool,
}

impl Enabled {
    /// All of them.
    pub const ALL: Enabled = Enabled { host_local: true, static_: true };
}

/// What is known of the addresses before they are taken.
#[derive(Clone, Debug, Default)]
pub struct Foreseen {
    /// The addresses, where they do not depend on what is free.
    pub ips: Vec<IpConfig>,
    /// The subnets they will be in; none where that is not known.
    pub subnets: Option<Vec<IpNet>>,
    /// The routes.
    pub routes: Vec<Route>,
}

/// The address plugin of this process for the section `ipam`.
///
/// # Errors
/// Why it is left to the program.
pub fn find(ipam: &RawObject, kind: &str, enabled: Enabled) -> Result<Box<dyn Ipam>, Declined> {
    match kind {
        host_local::TYPE if !enabled.host_local => Err(Declined::Off(host_local::TYPE)),
        static_::TYPE if !enabled.static_ => Err(Declined::Off(static_::TYPE)),
        host_local::TYPE => {
            understand(ipam, &[host_local::KEYS])?;
            host_local::understand_parts(ipam)?;
            Ok(Box::new(host_local::HostLocal::default()))
        }
        static_::TYPE => {
            understand(ipam, &[static_::KEYS])?;
            static_::understand_parts(ipam)?;
            Ok(Box::new(static_::Static::default()))
        }
        other => Err(Declined::NoNative(other.to_owned())),
    }
}
