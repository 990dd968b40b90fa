//! Address plugins: in this process or a program, behind one trait.

pub mod host_local;
mod program;
pub mod static_;

pub use program::Program;

use super::keys::{Declined, understand};
use super::{Call, Error};
use crate::cni::{AddResult, RawObject};

/// A plugin that another one asks for addresses. It is handed the same call as that one (CNI-DLG-02).
pub trait Ipam {
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
            Ok(Box::new(host_local::HostLocal))
        }
        static_::TYPE => {
            understand(ipam, &[static_::KEYS])?;
            static_::understand_parts(ipam)?;
            Ok(Box::new(static_::Static))
        }
        other => Err(Declined::NoNative(other.to_owned())),
    }
}
