//! `loopback`: switches `lo` on.

use super::sockets::Container;
use super::{Native, Sockets};
use crate::cni::AddResult;
use crate::cni::result::{Interface, IpConfig};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::stdin::{Stdin, netns_path};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{Change, Link, Mac};
use crate::sys::netns;
use ipnet::IpNet;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Its `type`.
pub const TYPE: &str = "loopback";

/// The plugin. It has no keys of its own, and `CNI_IFNAME` does not count.
pub struct Loopback {
    pub(super) sockets: Arc<Sockets>,
}

impl Native for Loopback {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, _: &mut Ground<'_>) -> Result<Reached, Failure> {
        Stdin::parse(call).map(|_| None)
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let prev_result = stdin.prev_result()?;
        let path = netns_path(call)?;
        let mut held = self.sockets.hold();
        let container = held.container(path)?;
        let lo = switch(container, true)?;
        let addresses: Vec<IpNet> =
            container.socket.addresses(Some(lo.index))?.iter().map(|address| address.net).collect();
        if let Some(other) = addresses.iter().find(|net| !net.addr().is_loopback()) {
            return Err(Failure::Failed(format!("lo has {other}, which is not a loopback address")));
        }
        if let Some(result) = prev_result {
            return stdin.answer(&result);
        }
        let first = |v4: bool| addresses.iter().find(|net| net.addr().is_ipv4() == v4);
        let ip = |net: &IpNet| IpConfig { address: *net, gateway: None, interface: Some(0) };
        let interface = Interface {
            name: lo.name,
            mac: Mac::new(&[0; 6]).to_string(),
            sandbox: path.to_string_lossy().into_owned(),
            ..Interface::default()
        };
        let ips = [first(true), first(false)].into_iter().flatten().map(ip).collect();
        stdin.answer(&AddResult { interfaces: vec![interface], ips, ..AddResult::default() })
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        let Some(path) = call.scope.netns else { return Ok(()) };
        match self.sockets.hold().container(path) {
            Ok(container) => switch(container, false).map(drop),
            // The namespace is gone, and its lo.
            Err(Failure::Netns(netns::Error::Missing { .. } | netns::Error::NotANamespace { .. })) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let mut held = self.sockets.hold();
        let lo = find(held.container(netns_path(call)?)?)?;
        if lo.up { Ok(()) } else { Err(Failure::Drifted("lo is down".to_owned())) }
    }

    fn ipam(&self) -> Option<&dyn Ipam> {
        None
    }
}

fn find(container: &mut Container) -> Result<Link, Failure> {
    super::interface::find(&mut container.socket, "lo")
}

fn switch(container: &mut Container, on: bool) -> Result<Link, Failure> {
    let lo = find(container)?;
    container.socket.change_link(lo.index, &Change { up: Some(on), ..Change::default() })?;
    Ok(lo)
}
