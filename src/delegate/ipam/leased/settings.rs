//! The configuration of `plexus-ipam`, from its section and from what the pod asks for.

use super::super::requested::read_requested;
use crate::cni::RawObject;
use crate::cni::result::{Dns, Route};
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_dns, read_routes};
use crate::ipam::PoolName;
use std::net::IpAddr;

/// What one call is to do.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) pool: PoolName,
    pub(super) network: String,
    /// Addresses that must be among those taken.
    pub(super) requested: Vec<IpAddr>,
    pub(super) routes: Vec<Route>,
    pub(super) dns: Dns,
}

impl Settings {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let stdin = Stdin::parse(call)?;
        let ipam = stdin.section("ipam")?;
        Ok(Settings {
            pool: pool(&ipam)?,
            requested: read_requested(call, &stdin)?,
            routes: read_routes(&ipam, "routes")?,
            dns: read_dns(&ipam.read("dns")?.unwrap_or_default())?.0,
            network: stdin.network,
        })
    }
}

/// The pool that the section names.
pub(super) fn pool(ipam: &RawObject) -> Result<PoolName, Failure> {
    let name: String = ipam.read("pool")?.unwrap_or_default();
    if name.is_empty() {
        return Err(Failure::Config("ipam has no \"pool\", the name of an AddressPool".to_owned()));
    }
    PoolName::new(name).map_err(|e| Failure::Config(format!("ipam: {e}")))
}
