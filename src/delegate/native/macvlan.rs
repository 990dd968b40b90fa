//! `macvlan`: a link with its own hardware address on a link of the host.

use super::interface::{self, ARP_NOTIFY, NDISC_NOTIFY};
use super::parent::{self, Made, Parent};
use super::sockets::Container;
use super::{Native, Sockets, verify};
use crate::cni::AddResult;
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Ipam;
use crate::delegate::keys::{Key, key};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target, netns_path, read_cni_args};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{Kind, Link, Mac, MacVlanMode, NewLink};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Its `type`.
pub const TYPE: &str = "macvlan";

/// Its keys.
pub const KEYS: &[Key] =
    &[key("master"), key("mode"), key("mtu"), key("mac"), key("linkInContainer"), key("bcqueuelen")];

/// The plugin.
pub struct MacVlan {
    pub(super) sockets: Arc<Sockets>,
    pub(super) ipam: Option<Box<dyn Ipam>>,
    pub(super) settings: Once<Settings>,
}

/// What one call is to do.
pub(super) struct Settings {
    parent: Parent,
    mode: MacVlanMode,
    mtu: Option<u32>,
    mac: Option<Mac>,
    broadcast_queue: Option<u32>,
}

impl Settings {
    fn read(call: &Call<'_>, stdin: &Stdin) -> Result<Self, Failure> {
        let object = &stdin.object;
        let mode: String =
            object.read("mode")?.filter(|mode: &String| !mode.is_empty()).unwrap_or_else(|| "bridge".to_owned());
        let [from_args] = read_cni_args(call, ["MAC"])?;
        let text = |mac: Option<String>| mac.filter(|mac| !mac.is_empty());
        let mac = text(stdin.section("runtimeConfig")?.read("mac")?).or(from_args).or(text(object.read("mac")?));
        Ok(Settings {
            parent: Parent::read(object)?,
            mode: MacVlanMode::parse(&mode)
                .ok_or_else(|| interface::unknown_mode(&mode, "bridge, private, vepa and passthru"))?,
            mtu: interface::read_mtu(object)?,
            mac: mac.as_deref().map(interface::read_mac).transpose()?,
            broadcast_queue: object.read("bcqueuelen")?.filter(|length| *length != 0),
        })
    }
}

impl Native for MacVlan {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, ground: &mut Ground<'_>) -> Result<Reached, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(call, &stdin))?;
        stdin.dns()?;
        let foreseen = interface::foresee(self.ipam(), call, &stdin)?;
        settings.parent.foresee(TYPE, settings.mtu, &foreseen, ground)?;
        Ok(foreseen.reached())
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(call, &stdin))?;
        let ifname = Target::of(call)?.ifname.as_str();
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        let wanted = |parent: &Link, mtu| {
            let (mode, broadcast_queue) = (settings.mode, settings.broadcast_queue);
            let kind = Kind::MacVlan { parent: parent.index, mode, broadcast_queue };
            NewLink { mtu, mac: settings.mac.as_ref(), ..NewLink::new(ifname, kind) }
        };
        let link = parent::create(host, container, (&settings.parent, settings.mtu), wanted)?;
        parent::complete(container, &link, |container| self.attach(call, &stdin, container, &link))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        parent::del(call, &self.sockets, self.ipam())
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        let stdin = Stdin::parse(call)?;
        let settings = self.settings.get(|| Settings::read(call, &stdin))?;
        let result = stdin.required_prev_result()?;
        if let Some(ipam) = self.ipam() {
            ipam.check(call)?;
        }
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        settings.parent.find_with_mtu(settings.mtu, host, &mut container.socket)?;
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

impl MacVlan {
    /// Gives the new link its addresses, or takes none.
    fn attach(
        &self,
        call: &Call<'_>,
        stdin: &Stdin,
        container: &mut Container,
        link: &Made,
    ) -> Result<Box<RawValue>, Failure> {
        let Some(ipam) = self.ipam() else {
            interface::set_up(&mut container.socket, link.index)?;
            let mac = interface::mac(&mut container.socket, &link.name)?;
            let interfaces = vec![parent::interface_in_container(call, &link.name, &mac)?];
            return stdin.answer(&AddResult { interfaces, dns: stdin.dns()?.0, ..AddResult::default() });
        };
        interface::with_addresses_on(ipam, call, (container, &link.name), |container, addresses| {
            parent::configure(call, stdin, container, link, &[ARP_NOTIFY, NDISC_NOTIFY], addresses)
        })
    }
}
