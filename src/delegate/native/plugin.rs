//! What a native does.

use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::prepare::Reached;
use crate::delegate::{Call, Delegate, Error, Ground};
use serde_json::value::RawValue;

/// What the natives do, in a form that shares the rest of [`Delegate`].
pub(in crate::delegate) trait Native: Send + Sync {
    /// Its `type`.
    fn kind(&self) -> &'static str;
    /// Reads and judges what [`Native::add`] will be called with, makes nothing.
    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Failure>;
    /// Attaches, or leaves nothing behind.
    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure>;
    /// Detaches what may already be detached.
    fn del(&self, call: &Call<'_>) -> Result<(), Failure>;
    /// Compares.
    fn check(&self, call: &Call<'_>) -> Result<(), Failure>;
    /// The address plugin it asks.
    fn ipam(&self) -> Option<&dyn Ipam>;
}

impl<N: Native> Delegate for N {
    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Error> {
        Native::prepare(self, call, ground).map_err(|e| e.of(self.kind()))
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Error> {
        Native::add(self, call).map_err(|e| e.of(self.kind()))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        Native::del(self, call).map_err(|e| e.of(self.kind()))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        Native::check(self, call).map_err(|e| e.of(self.kind()))
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        self.ipam().map_or(Ok(()), |ipam| ipam.status(call))
    }

    /// The reference plugins do not pass GC on, so that addresses of lost pods stay taken for ever.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        self.ipam().map_or(Ok(()), |ipam| ipam.gc(call))
    }
}
