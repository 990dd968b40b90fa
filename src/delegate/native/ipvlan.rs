//! `ipvlan`: a link with its own addresses, and the hardware address of the link it sits on.

use super::interface::{self, ARP_NOTIFY, NDISC_NOTIFY};
use super::parent::{self, Parent};
use super::sockets::Container;
use super::{Native, Sockets, verify};
use crate::cni::AddResult;
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::keys::{Key, key};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{IpVlanMode, Kind, Link, LinkName, NewLink};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// Its `type`.
pub const TYPE: &str = "ipvlan";

/// Its keys.
pub const KEYS: &[Key] = &[key("master"), key("mode"), key("mtu"), key("linkInContainer")];

/// The plugin.
pub struct IpVlan {
    pub(super) sockets: Arc<Sockets>,
    pub(super) ipam: Option<Box<dyn Ipam>>,
    pub(super) settings: Once<Settings>,
}

/// What one call is to do.
pub(super) struct Settings {
    parent: Parent,
    mode: IpVlanMode,
    mtu: Option<u32>,
}

impl Settings {
    fn read(stdin: &Stdin) -> Result<Self, Failure> {
        let object = &stdin.object;
        let mode: String =
            object.read("mode")?.filter(|mode: &String| !mode.is_empty()).unwrap_or_else(|| "l2".to_owned());
        Ok(Settings {
            parent: Parent::read(object)?,
            mode: IpVlanMode::parse(&mode).ok_or_else(|| interface::unknown_mode(&mode, "l2, l3 and l3s"))?,
            mtu: interface::read_mtu(object)?,
        })
    }
}

impl Native for IpVlan {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(&stdin))?;
        stdin.dns()?;
        if self.ipam.is_none() && ground.is_first {
            return Err(no_addresses());
        }
        let foreseen = interface::foresee(self.ipam(), call, &stdin)?;
        // Later in a chain the master may be the interface of the plugin before, which is not there yet.
        if settings.parent.name.is_some() || ground.is_first {
            // Its MTU may be greater than the master's.
            settings.parent.foresee(TYPE, None, &foreseen, ground)?;
        }
        if let Some(mtu) = settings.mtu {
            interface::judge_mtu(mtu, "", &foreseen)?;
        }
        // Later in a chain the addresses are those of the plugin before.
        Ok(foreseen.reached().filter(|_| ground.is_first))
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let prev_result = stdin.prev_result()?;
        let settings = self.settings.get(|| Settings::read(&stdin))?;
        let mut parent = settings.parent.clone();
        if let (None, Some(result)) = (&parent.name, &prev_result) {
            (parent.name, parent.seen) = (Some(chained_master(result)?), OnceLock::new());
        }
        let given = prev_result.filter(|result| self.ipam.is_none() && !result.ips.is_empty());
        if self.ipam.is_none() && given.is_none() {
            return Err(no_addresses());
        }
        let ifname = Target::of(call)?.ifname.as_str();
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        let wanted = |on: &Link, _| {
            let kind = Kind::IpVlan { parent: on.index, mode: settings.mode };
            // Its MTU may be greater than the master's.
            NewLink { mtu: settings.mtu, ..NewLink::new(ifname, kind) }
        };
        let link = parent::create(host, container, (&parent, None), wanted)?;
        parent::complete(container, &link, |container| {
            let settings = [ARP_NOTIFY, NDISC_NOTIFY];
            let configure = |container: &mut Container, result| {
                parent::configure(call, &stdin, container, &link, &settings, result)
            };
            match (given, self.ipam()) {
                (None, Some(ipam)) => interface::with_addresses_on(ipam, call, (container, &link.name), configure),
                (given, _) => configure(container, given.unwrap_or_default()),
            }
        })
    }

    /// Does not look for a master, unlike the reference, whose DEL fails without one.
    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        parent::del(call, &self.sockets, self.ipam())
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(&stdin))?;
        let result = stdin.required_prev_result()?;
        if let Some(ipam) = self.ipam() {
            ipam.check(call)?;
        }
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        // prevResult is our own here; it does not name the master of a chain.
        if settings.parent.name.is_some() {
            settings.parent.find(host, &mut container.socket)?;
        }
        let link = verify::container_link(call, container, &result, TYPE)?;
        if link.mode.as_deref() != Some(settings.mode.as_str()) {
            let mode = link.mode.as_deref().unwrap_or("unknown");
            return Err(Failure::Drifted(format!("{} is in mode {mode}, not {}", link.name, settings.mode.as_str())));
        }
        verify::addresses_and_routes(&mut container.socket, &link, &result)
    }

    fn ipam(&self) -> Option<&dyn Ipam> {
        self.ipam.as_deref()
    }
}

fn no_addresses() -> Failure {
    Failure::Config("ipam is missing, and no plugin before gives addresses: an ipvlan needs some".to_owned())
}

/// In a chain the master is the interface of the plugin before.
fn chained_master(result: &AddResult) -> Result<LinkName, Failure> {
    match result.interfaces.as_slice() {
        [only] if !only.name.is_empty() => {
            LinkName::new(&only.name).map_err(|e| Failure::Config(format!("prevResult: {e}")))
        }
        _ => Err(Failure::Config("master is not given and prevResult has not exactly one interface".to_owned())),
    }
}
