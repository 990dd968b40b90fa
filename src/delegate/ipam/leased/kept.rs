//! Addresses that are kept for a pod: `sticky` in the section. Nothing else is taken for it.

use super::folder::{self, Addresses};
use super::lessor::Need;
use super::settings::Settings;
use crate::delegate::failure::Failure;
use crate::ipam::history::Owner;
use crate::ipam::reservation::Whose;
use crate::ipam::spans::address;
use crate::ipam::{PoolName, Stock, Taken};
use std::net::IpAddr;

/// So many addresses of others are told to the daemon. It chooses again if it meets one that it was not told.
const MOST_TOLD: usize = 1024;

/// Whose addresses are kept; none where the section does not ask for it.
pub(super) fn whose(settings: &Settings, owner: &Owner) -> Result<Option<Whose>, Failure> {
    if !settings.is_sticky {
        return Ok(None);
    }
    let Some((namespace, pod)) = owner.pod.split_once('/') else {
        return Err(Failure::Config(format!("pool {}: with \"sticky\" CNI_ARGS have to name the pod", settings.pool)));
    };
    let (namespace, pod, interface) = (namespace.to_owned(), pod.to_owned(), owner.ifname.clone());
    Ok(Some(Whose { namespace, pod, interface }))
}

/// What the daemon is asked: what is kept for `whose`. Where nothing is, it chooses of what nobody has taken.
pub(super) fn need(whose: &Whose, stock: Option<&Stock<'_>>, taken: &Taken) -> Need {
    let offers = stock.into_iter().flat_map(Stock::open);
    let reserved = offers.flat_map(|offer| {
        let is_v4 = offer.granted.first.is_ipv4();
        offer.reserved.iter().flat_map(|span| span.first..=span.last).map(move |number| address(is_v4, number))
    });
    let taken = reserved.filter(|address| taken.contains(*address)).take(MOST_TOLD).collect();
    Need { kept_for: Some(whose.clone()), taken, ..Need::default() }
}

/// The address of a family that is kept: by the daemon's answer, or by its grant. The grant needs no daemon.
pub(super) fn address_of(answer: &[IpAddr], stock: &Stock<'_>, owner: &Owner, is_v4: bool) -> Option<IpAddr> {
    let told = answer.iter().copied().find(|address| address.is_ipv4() == is_v4);
    told.or_else(|| stock.kept_for(folder::number_of(owner), is_v4))
}

/// Takes `address`, which is kept. A pod of the same name may still have it: then this one waits.
pub(super) fn take(addresses: &Addresses, address: IpAddr, owner: &Owner, pool: &PoolName) -> Result<IpAddr, Failure> {
    let mut cursor = addresses.cursor(address.is_ipv4())?;
    if addresses.take(address, owner, &mut cursor)? {
        return Ok(address);
    }
    // What a killed writer has left.
    addresses.release_unwritten()?;
    let other = addresses.owner(address)?;
    if other.is_none() && addresses.take(address, owner, &mut cursor)? {
        return Ok(address);
    }
    let who = other.map_or_else(String::new, |Owner { pod, container, .. }| match pod.as_str() {
        "" => format!("container {container}"),
        pod => format!("pod {pod}"),
    });
    let text = format!("pool {pool}: {address} is kept for this pod, and {who} still has it on this node");
    Err(Failure::TryAgain(text))
}
