//! What an address plugin does, whoever it is.

use crate::cni::AddResult;
use crate::cni::result::{IpConfig, Route};
use crate::delegate::prepare::Reached;
use crate::delegate::wire::Wire;
use crate::delegate::{Call, Error};
use ipnet::IpNet;
use std::net::IpAddr;

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

    /// As [`Ipam::add`], for a link that others can be asked on.
    ///
    /// # Errors
    /// As [`Ipam::add`].
    fn add_on(&self, call: &Call<'_>, _wire: &mut dyn Wire) -> Result<AddResult, Error> {
        self.add(call)
    }

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

/// What is known of the addresses before they are taken.
#[derive(Clone, Debug, Default)]
pub struct Foreseen {
    /// The addresses, where they do not depend on what is free.
    pub ips: Vec<IpConfig>,
    /// The subnets they will be in; none where that is not known.
    pub subnets: Reached,
    /// Their gateways.
    pub gateways: Vec<IpAddr>,
    /// Those of them that the first address with one of its family may have: a route without a gateway has that one.
    pub implied: Vec<IpAddr>,
    /// The routes.
    pub routes: Vec<Route>,
}

impl Foreseen {
    /// With `ips`, which do not depend on what is free.
    pub fn of(ips: Vec<IpConfig>, routes: Vec<Route>) -> Self {
        let gateways: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.gateway).collect();
        let first = |is_v4: bool| gateways.iter().copied().find(|gateway| gateway.is_ipv4() == is_v4);
        let implied = [first(true), first(false)].into_iter().flatten().collect();
        let subnets = Some(ips.iter().map(|ip| ip.address.trunc()).collect());
        Foreseen { ips, subnets, gateways, implied, routes }
    }

    /// What a route of the family may have where it has no gateway of its own.
    pub fn implied_of(&self, is_v4: bool) -> Vec<Option<IpAddr>> {
        let of_family = self.implied.iter().copied().filter(|gateway| gateway.is_ipv4() == is_v4).map(Some);
        let known: Vec<_> = of_family.collect();
        if known.is_empty() { vec![None] } else { known }
    }

    /// Whether `gateway` may turn out to be an address of the interface itself.
    pub fn may_be_own(&self, gateway: IpAddr) -> bool {
        if !self.ips.is_empty() {
            return self.ips.iter().any(|ip| ip.address.addr() == gateway);
        }
        // A gateway of a pool is never taken from it.
        let of_pool = self.subnets.iter().flatten().any(|subnet| subnet.contains(&gateway));
        of_pool && !self.gateways.contains(&gateway)
    }

    /// Whether `gateway` may be reached for the route to `dst`; so it may where nobody knows.
    pub fn reaches(&self, gateway: IpAddr, dst: &IpNet) -> bool {
        // Another route may lead there; the kernel decides in which order.
        let led = || self.routes.iter().any(|r| r.dst != *dst && r.dst.prefix_len() > 0 && r.dst.contains(&gateway));
        is_everywhere(gateway)
            || led()
            || self.subnets.as_ref().is_none_or(|subnets| subnets.iter().any(|subnet| subnet.contains(&gateway)))
    }

    /// What is reached over the interface without a gateway, by the subnets and by routes.
    pub fn reached(self) -> Reached {
        let led = self.routes.into_iter().map(|route| route.dst).filter(|dst| dst.prefix_len() > 0);
        self.subnets.map(|subnets| subnets.into_iter().chain(led).collect())
    }
}

/// Whether a gateway needs no subnet: it stands for none, or every IPv6 interface reaches it.
pub fn is_everywhere(gateway: IpAddr) -> bool {
    gateway.is_unspecified() || matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local())
}
