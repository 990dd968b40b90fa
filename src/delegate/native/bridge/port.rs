//! The bridge, and the cables that are plugged into it.

use super::super::cable::{self, find_end};
use super::settings::{Settings, Vlans};
use crate::cni::IfName;
use crate::delegate::Ground;
use crate::delegate::failure::Failure;
use crate::delegate::poll::poll;
use crate::sys::netlink::{self, Change, Kind, Link, Mac, NewLink, OperState, Peer, PortFlags, Socket};
use crate::sys::sysctl::Family;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long the reference waits for a port before it fails.
const PORT_TIMEOUT: Duration = Duration::from_millis(2550);

/// The bridge as it was before anything was made, if it works: a look at its end shows whether it still does.
pub(super) fn seen<'a>(host: &Socket, settings: &Settings, seen: Option<&'a Link>) -> Option<&'a Link> {
    let bridge = seen.filter(|bridge| bridge.up && !settings.promiscuous)?;
    own_routes(host, settings);
    Some(bridge)
}

/// The routes of the bridge are ours; without IPv6 there is no such setting.
fn own_routes(host: &Socket, settings: &Settings) {
    let _ = host.settings().write(Family::V6, settings.name.as_str(), "accept_ra", "0");
}

/// Finds the bridge, or makes it.
pub(super) fn ensure_bridge(host: &mut Socket, settings: &Settings) -> Result<Link, Failure> {
    let name = settings.name.as_str();
    let bridge = match host.link_by_name(name)? {
        Some(link) => bridge(link)?,
        None => make_bridge(host, settings)?,
    };
    own_routes(host, settings);
    let promiscuous = Some(true).filter(|_| settings.promiscuous);
    if !bridge.up || promiscuous.is_some() {
        host.change_link(bridge.index, &Change { up: Some(true), promiscuous, ..Change::default() })?;
    }
    Ok(bridge)
}

fn make_bridge(host: &mut Socket, settings: &Settings) -> Result<Link, Failure> {
    let name = &settings.name;
    let kind = Kind::Bridge { vlan_filtering: settings.vlans.filtering };
    match host.create_link(&NewLink { mtu: settings.mtu, ..NewLink::new(name.as_str(), kind) }) {
        // Another pod's ADD may have been faster.
        Err(e) if !e.is(Errno::EEXIST) => Err(vlan_failure(e, settings)),
        _ => find_bridge(host, name),
    }
}

/// Judges before anything is made whether the bridge and the VLANs of its port can be had; answers the bridge that is
/// there.
pub(super) fn foresee(settings: &Settings, ground: &mut Ground<'_>) -> Result<Option<Link>, Failure> {
    let name = settings.name.as_str();
    let found = ground.host_link(name)?.map(bridge).transpose()?;
    let Some(host) = ground.host.as_deref_mut() else { return Ok(None) };
    let is_new = found.is_none() && !(ground.is_made_before)(name);
    // A bridge that does not filter takes VLANs of its ports all the same, as long as the kernel knows them.
    let needs_vlans = settings.vlans.are_set() || (is_new && settings.vlans.filtering);
    if needs_vlans && !host.filters_vlans_on_bridges()? {
        return Err(no_vlans(settings));
    }
    Ok(found)
}

fn no_vlans(settings: &Settings) -> Failure {
    let what = "the kernel of this node cannot filter VLANs on bridges (CONFIG_BRIDGE_VLAN_FILTERING)";
    Failure::Failed(format!("{} on bridge {}: {what}", settings.vlans, settings.name))
}

/// Why a bridge with VLANs could not be had.
fn vlan_failure(error: netlink::Error, settings: &Settings) -> Failure {
    if error.is(Errno::EOPNOTSUPP) && settings.vlans.filtering { no_vlans(settings) } else { error.into() }
}

/// The link `name`, which must be a bridge.
pub(super) fn find_bridge(host: &mut Socket, name: &IfName) -> Result<Link, Failure> {
    let found = host.link_by_name(name.as_str())?;
    bridge(found.ok_or_else(|| Failure::Failed(format!("bridge {name} is gone")))?)
}

/// `link`, which must be a bridge.
pub(super) fn bridge(link: Link) -> Result<Link, Failure> {
    if link.kind == "bridge" {
        Ok(link)
    } else {
        Err(Failure::Config(format!("bridge {0}: there is a link {0}, which is not a bridge", link.name)))
    }
}

/// A cable whose one end is plugged into the bridge.
pub(super) struct Cable<'a> {
    /// The other end.
    pub(super) name: &'a str,
    /// Where that is; none: here.
    pub(super) netns: Option<BorrowedFd<'a>>,
    /// Its number there.
    pub(super) index: Option<u32>,
    pub(super) mtu: Option<u32>,
    pub(super) mac: Option<&'a Mac>,
    pub(super) port: PortFlags,
    pub(super) vlans: &'a Vlans,
}

impl Cable<'_> {
    /// Makes the cable and plugs it into the bridge numbered `bridge`; its name is that of the port. On failure there
    /// is none.
    pub(super) fn plug_in(&self, host: &mut Socket, bridge: u32) -> Result<cable::Cable, Failure> {
        let peer = Peer { name: self.name, netns: self.netns, index: self.index, mtu: self.mtu, mac: self.mac };
        let made = cable::make(host, &peer, Some(bridge))?;
        if let Err(e) = self.set_up_port(host, &made.name) {
            // Best effort: the error that matters is the one above.
            let _ = host.delete_link_by_name(&made.name);
            return Err(e);
        }
        Ok(made)
    }

    fn set_up_port(&self, host: &mut Socket, port: &str) -> Result<(), Failure> {
        if self.port == PortFlags::default() && !self.vlans.are_set() {
            return Ok(());
        }
        let index = find_end(host, port)?.index;
        if self.port != PortFlags::default() {
            host.set_port_flags(index, self.port)?;
        }
        if self.vlans.are_set() {
            if !self.vlans.keep_default {
                let default = host.port_vlans(index)?;
                host.remove_port_vlans(index, &default)?;
            }
            host.add_port_vlans(index, &self.vlans.of_port())?;
        }
        Ok(())
    }
}

/// Waits until `port` forwards: a container that is told it is attached wants to send at once.
pub(super) fn wait_until_up(host: &mut Socket, mut port: Link) -> Result<Link, Failure> {
    let name = port.name.clone();
    let name = name.as_str();
    let up = poll(PORT_TIMEOUT, || {
        if port.state != OperState::Up {
            port = find_end(host, name)?;
        }
        Ok(port.state == OperState::Up)
    })?;
    if up { Ok(port) } else { Err(Failure::Failed(format!("port {name} did not come up"))) }
}
