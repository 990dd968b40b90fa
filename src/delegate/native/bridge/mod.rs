//! `bridge`: a cable between the container and a bridge of the host.

mod gateway;
mod port;
mod settings;

use super::interface::{self, ARP_NOTIFY, Setting};
use super::sockets::Container;
use super::{Native, Sockets, cable, parent, verify};
use crate::cni::result::Interface;
use crate::cni::{AddResult, RawObject};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::keys::{Declined, Key, declined, key, understand_list};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{Batch, Link, Mac, Socket};
use crate::sys::sysctl::Family;
use ipnet::IpNet;
use nix::errno::Errno;
use port::Cable;
use serde_json::value::RawValue;
use settings::Settings;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

/// Its `type`.
pub const TYPE: &str = "bridge";

/// Its keys.
pub const KEYS: &[Key] = &[
    key("bridge"),
    key("isGateway"),
    key("isDefaultGateway"),
    key("forceAddress"),
    declined("ipMasq", "masquerading needs iptables or nftables"),
    // Only ipMasq, which is declined, looks at it.
    key("ipMasqBackend"),
    key("mtu"),
    key("hairpinMode"),
    key("promiscMode"),
    key("vlan"),
    key("vlanTrunk"),
    key("preserveDefaultVlan"),
    declined("macspoofchk", "the filter needs nftables"),
    key("enabledad"),
    key("disableContainerInterface"),
    key("portIsolation"),
];
/// The keys of an element of `vlanTrunk`.
pub const TRUNK_KEYS: &[Key] = &[key("minID"), key("maxID"), key("id")];

const NO_DAD: &[Setting] = &[(Family::V6, "accept_dad", "0"), ARP_NOTIFY];
const DAD: &[Setting] = &[(Family::V6, "enhanced_dad", "1"), (Family::V6, "accept_dad", "1"), ARP_NOTIFY];

/// The plugin.
pub struct Bridge {
    pub(super) sockets: Arc<Sockets>,
    pub(super) ipam: Option<Box<dyn Ipam>>,
    pub(super) settings: Once<Settings>,
    pub(super) seen: OnceLock<Seen>,
}

/// What was there before anything was made.
pub(super) struct Seen {
    bridge: Link,
    /// The gateways' addresses that the bridge has.
    gateways: Vec<IpNet>,
}

impl Bridge {
    fn settings(&self, call: &Call<'_>, stdin: &Stdin) -> Result<&Settings, Failure> {
        self.settings.get(|| Settings::read(call, stdin, self.ipam.is_some()))
    }
}

/// Whether the lists of the configuration hold only what is known.
pub(super) fn understand_parts(object: &RawObject) -> Result<(), Declined> {
    understand_list(object, "vlanTrunk", TRUNK_KEYS)
}

impl Native for Bridge {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings(call, &stdin)?;
        stdin.dns()?;
        let bridge = port::foresee(settings, ground)?;
        let completed = interface::Completed {
            foreseen: |foreseen| gateway::foresee(foreseen, settings),
            adds_default: settings.is_default_gateway,
        };
        let foreseen = interface::foresee_as(self.ipam(), call, &stdin, completed)?;
        settings.mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", &foreseen))?;
        let gateways = gateway::judge(bridge.as_ref(), &foreseen, settings, ground)?;
        bridge.map(|bridge| self.seen.get_or_init(|| Seen { bridge, gateways }));
        Ok(foreseen.reached())
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings(call, &stdin)?;
        let name = Target::of(call)?.ifname.as_str();
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        let index = container.next_index();
        let cable = Cable {
            name,
            netns: Some(container.netns.as_fd()),
            index,
            mtu: settings.mtu,
            mac: settings.mac.as_ref(),
            port: settings.port,
            vlans: &settings.vlans,
        };
        let (bridge, cable) = plug_in(host, settings, &cable, self.seen.get())?;
        let there = self.seen.get().filter(|seen| seen.bridge.index == bridge.index);
        let there = there.map_or(&[] as &[IpNet], |seen| &seen.gateways);
        let answer = Attaching { call, stdin: &stdin, settings, bridge: &bridge, there, cable: &cable }.run(
            host,
            container,
            self.ipam(),
        );
        if answer.is_err() {
            // Best effort: the caller's DEL comes after a failed ADD.
            let _ = host.delete_link_by_name(&cable.name);
        }
        answer
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        parent::del(call, &self.sockets, self.ipam())
    }

    /// Unlike the reference's it works without addresses, and other users of the bridge do not
    /// disturb it: they may switch on promiscuous mode, and change the MAC of a bridge without a gateway.
    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings(call, &stdin)?;
        if let Some(ipam) = self.ipam() {
            ipam.check(call)?;
        }
        let result = stdin.required_prev_result()?;
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        let bridge = check_bridge(host, settings, &result)?;
        let inner = verify::container_link(call, container, &result, "veth")?;
        check_port(host, &bridge, &inner, &result)?;
        verify::addresses_and_routes(&mut container.socket, &inner, &result)
    }

    fn ipam(&self) -> Option<&dyn Ipam> {
        self.ipam.as_deref()
    }
}

/// Plugs the cable into the bridge that was seen, and looks for it where that one is gone.
fn plug_in(
    host: &mut Socket,
    settings: &Settings,
    cable: &Cable<'_>,
    seen: Option<&Seen>,
) -> Result<(Link, cable::Cable), Failure> {
    if let Some(bridge) = port::seen(host, settings, seen.map(|seen| &seen.bridge)) {
        match cable.plug_in(host, bridge.index) {
            // The kernel knows no link of that number (rtnetlink.c: `do_set_master`).
            Err(Failure::Netlink(e)) if e.is(Errno::EINVAL) => {}
            plugged => return Ok((bridge.clone(), plugged?)),
        }
    }
    let bridge = port::ensure_bridge(host, settings)?;
    let cable = cable.plug_in(host, bridge.index)?;
    Ok((bridge, cable))
}

fn check_bridge(host: &mut Socket, settings: &Settings, result: &AddResult) -> Result<Link, Failure> {
    let name = settings.name.as_str();
    let known = result.interfaces.iter().find(|interface| interface.name == name && interface.sandbox.is_empty());
    let known = known.ok_or_else(|| Failure::Drifted(format!("prevResult has no bridge {name}")))?;
    let mac = if settings.is_gateway { known.mac.clone() } else { String::new() };
    let bridge = verify::same_link(host, &Interface { mac, ..known.clone() }, "bridge")?;
    if settings.promiscuous && bridge.promiscuity == 0 {
        return Err(Failure::Drifted(format!("bridge {name} is not promiscuous any more")));
    }
    Ok(bridge)
}

/// The other end of the container's interface must be an interface of the result and a port of the bridge.
fn check_port(host: &mut Socket, bridge: &Link, inner: &Link, result: &AddResult) -> Result<(), Failure> {
    let port = inner.parent.map(|index| host.link_by_index(index)).transpose()?.flatten();
    let port = port.filter(|port| port.master == Some(bridge.index));
    let known = port
        .and_then(|port| result.interfaces.iter().find(|known| known.name == port.name && known.sandbox.is_empty()));
    let known =
        known.ok_or_else(|| Failure::Drifted(format!("{} is not plugged into bridge {}", inner.name, bridge.name)))?;
    verify::same_link(host, known, "veth").map(drop)
}

/// An attachment whose cable is plugged in.
struct Attaching<'a> {
    call: &'a Call<'a>,
    stdin: &'a Stdin,
    settings: &'a Settings,
    bridge: &'a Link,
    /// Addresses that the bridge has.
    there: &'a [IpNet],
    cable: &'a cable::Cable,
}

impl Attaching<'_> {
    /// Gives the container's end its addresses, or takes none.
    fn run(
        &self,
        host: &mut Socket,
        container: &mut Container,
        ipam: Option<&dyn Ipam>,
    ) -> Result<Box<RawValue>, Failure> {
        let Some(ipam) = ipam else { return self.run_without_addresses(host, container) };
        let name = Target::of(self.call)?.ifname.as_str();
        interface::with_addresses_on(ipam, self.call, (container, name), |container, addresses| {
            self.run_with_addresses(host, container, addresses)
        })
    }

    fn run_without_addresses(&self, host: &mut Socket, container: &mut Container) -> Result<Box<RawValue>, Failure> {
        let name = Target::of(self.call)?.ifname.as_str();
        if !self.settings.keep_down {
            let index = self.inner_index(container, name)?;
            interface::set_up(&mut container.socket, index)?;
        }
        self.answer(host, &interface::mac(&mut container.socket, name)?, &[], AddResult::default())
    }

    fn run_with_addresses(
        &self,
        host: &mut Socket,
        container: &mut Container,
        mut result: AddResult,
    ) -> Result<Box<RawValue>, Failure> {
        let gateways = gateway::complete(&mut result, self.settings)?;
        let name = Target::of(self.call)?.ifname.as_str();
        let settings = if self.settings.enable_dad { DAD } else { NO_DAD };
        interface::set_up_sysctls(container, name, settings, &result.ips)?;
        let index = self.inner_index(container, name)?;
        interface::configure(&mut container.socket, (name, index), &result)?;
        self.answer(host, &interface::mac(&mut container.socket, name)?, &gateways, result)
    }

    /// The number of the container's end, which is called `name`.
    fn inner_index(&self, container: &mut Container, name: &str) -> Result<u32, Failure> {
        match self.cable.peer {
            Some(index) => Ok(index),
            None => {
                let index = interface::find(&mut container.socket, name)?.index;
                container.note_index(index);
                Ok(index)
            }
        }
    }

    /// The result, once the bridge has the gateways' addresses and the port is up. The MACs of bridge and port are
    /// looked at last: they may have changed.
    fn answer(
        &self,
        host: &mut Socket,
        inner: &Mac,
        gateways: &[IpNet],
        mut result: AddResult,
    ) -> Result<Box<RawValue>, Failure> {
        // An address that the bridge had is asked for together with the looks.
        let are_there = gateways.iter().all(|gateway| self.there.contains(gateway));
        let in_vlan = match are_there {
            true => None,
            false => gateway::set_up(host, self.bridge, self.settings, gateways)?,
        };
        let known: &[IpNet] = if are_there { gateways } else { &[] };
        let (mac, mut port) = self.look(host, known)?;
        if !self.settings.keep_down {
            port = port::wait_until_up(host, port)?;
        }
        let on_host = |name: String, mac: &Mac| Interface { name, mac: mac.to_string(), ..Interface::default() };
        let bridge = on_host(self.settings.name.to_string(), &mac);
        let inner = parent::interface_in_container(self.call, Target::of(self.call)?.ifname.as_str(), inner)?;
        result.interfaces = vec![bridge, on_host(port.name, &port.mac), inner];
        result.interfaces.extend(in_vlan);
        let (dns, says_something) = self.stdin.dns()?;
        if says_something {
            result.dns = dns;
        }
        self.stdin.answer(&result)
    }

    /// Looks at the MAC of the bridge and at the port; the bridge has the addresses `known`, which is confirmed.
    fn look(&self, host: &mut Socket, known: &[IpNet]) -> Result<(Mac, Link), Failure> {
        let name = &self.settings.name;
        let mut batch = Batch::default();
        known.iter().for_each(|gateway| batch.add_address(self.bridge.index, *gateway));
        batch.link_by_name(&self.cable.name)?;
        let mut answers = host.send_batch(batch)?;
        let port = answers.pop();
        for answer in answers {
            gateway::confirm(host, name, answer)?;
        }
        if !known.is_empty() {
            interface::enable_forwarding(host.settings(), known.iter().copied())?;
        }
        let port = port.map(|answer| answer.link()).transpose()?.flatten();
        let port = port.ok_or_else(|| cable::is_gone(&self.cable.name))?;
        let mac = host.mac_of(name.as_str())?.ok_or_else(|| Failure::Failed(format!("bridge {name} is gone")))?;
        Ok((mac, port))
    }
}
