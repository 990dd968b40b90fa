//! `vlan`: a link that is one VLAN of another link.

use super::interface;
use super::parent::{self, Parent};
use super::{Native, Sockets, verify};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::keys::{Key, key};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{Kind, Link, NewLink};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Its `type`.
pub const TYPE: &str = parent::VLAN;

/// Its keys.
pub const KEYS: &[Key] = &[key("master"), key("vlanId"), key("mtu"), key("linkInContainer")];

/// VLAN 0 is that of packets with a priority and no VLAN; 4095 is reserved.
const LAST_ID: u16 = 4094;

/// The plugin.
pub struct Vlan {
    pub(super) sockets: Arc<Sockets>,
    pub(super) ipam: Option<Box<dyn Ipam>>,
    pub(super) settings: Once<Settings>,
}

/// What one call is to do.
pub(super) struct Settings {
    parent: Parent,
    id: u16,
    mtu: Option<u32>,
}

impl Settings {
    fn read(stdin: &Stdin) -> Result<Self, Failure> {
        let object = &stdin.object;
        let parent = Parent::read(object)?;
        if parent.name.is_none() {
            return Err(Failure::Config("master is missing: a VLAN is one of a link".to_owned()));
        }
        let id: i64 = object.read("vlanId")?.unwrap_or_default();
        let valid = u16::try_from(id).ok().filter(|id| *id <= LAST_ID);
        Ok(Settings {
            parent,
            id: valid.ok_or_else(|| Failure::Config(format!("vlanId {id} is not valid: it must be 0 to {LAST_ID}")))?,
            mtu: interface::read_mtu(object)?,
        })
    }
}

impl Vlan {
    fn needed_ipam(&self) -> Result<&dyn Ipam, Failure> {
        self.ipam().ok_or_else(|| Failure::Config("ipam is missing: a VLAN needs addresses".to_owned()))
    }
}

impl Native for Vlan {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(&stdin))?;
        let ipam = self.needed_ipam()?;
        stdin.dns()?;
        let foreseen = interface::foresee(Some(ipam), call, &stdin)?;
        settings.parent.foresee(TYPE, settings.mtu, &foreseen, ground)?;
        Ok(foreseen.reached())
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(&stdin))?;
        let ipam = self.needed_ipam()?;
        let ifname = Target::of(call)?.ifname.as_str();
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        let wanted = |parent: &Link, mtu| NewLink {
            mtu,
            ..NewLink::new(ifname, Kind::Vlan { parent: parent.index, id: settings.id })
        };
        let link = parent::create(host, container, (&settings.parent, settings.mtu), wanted)?;
        parent::complete(container, &link, |container| {
            interface::with_addresses_on(ipam, call, (container, &link.name), |container, addresses| {
                parent::configure(call, &stdin, container, &link, &[], addresses)
            })
        })
    }

    /// Does not look for the master, unlike the reference, whose DEL fails without it.
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
        let (_, mtu) = settings.parent.find_with_mtu(settings.mtu, host, &mut container.socket)?;
        let link = verify::container_link(call, container, &result, TYPE)?;
        if link.vlan != Some(settings.id) {
            let id = link.vlan.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(Failure::Drifted(format!("the VLAN of {} is {id}, not {}", link.name, settings.id)));
        }
        if let Some(mtu) = mtu.filter(|mtu| *mtu != link.mtu) {
            return Err(Failure::Drifted(format!("the mtu of {} is {}, not {mtu}", link.name, link.mtu)));
        }
        verify::addresses_and_routes(&mut container.socket, &link, &result)
    }

    fn ipam(&self) -> Option<&dyn Ipam> {
        self.ipam.as_deref()
    }
}
