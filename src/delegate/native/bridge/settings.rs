//! The configuration of `bridge`.

use super::super::interface::{self, read_mtu};
use crate::cni::{IfName, RawObject};
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_cni_args};
use crate::sys::netlink::{LinkName, Mac, PortFlags, PortVlan};
use std::collections::BTreeSet;
use std::fmt;

const DEFAULT_NAME: &str = "cni0";
const LAST_VLAN: i64 = 4094;

/// What one call of `bridge` is to do.
#[derive(Debug)]
pub(in super::super) struct Settings {
    /// The bridge.
    pub(super) name: IfName,
    /// Its addresses are the gateways.
    pub(super) is_gateway: bool,
    /// There is a default route through them.
    pub(super) is_default_gateway: bool,
    /// Other addresses of the bridge make room.
    pub(super) force_address: bool,
    /// None: the kernel's choice.
    pub(super) mtu: Option<u32>,
    pub(super) promiscuous: bool,
    pub(super) port: PortFlags,
    pub(super) vlans: Vlans,
    /// IPv6 asks whether somebody else has an address.
    pub(super) enable_dad: bool,
    /// The container's end stays down.
    pub(super) keep_down: bool,
    pub(super) mac: Option<Mac>,
}

/// As it is configured.
impl fmt::Display for Vlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.untagged == 0 { write!(f, "vlanTrunk") } else { write!(f, "vlan {}", self.untagged) }
    }
}

/// The VLANs of a port.
#[derive(Clone, Debug, Default)]
pub(super) struct Vlans {
    /// The one without a tag; 0 for none.
    pub(super) untagged: u16,
    /// Those with a tag, in order.
    pub(super) trunk: Vec<u16>,
    /// Those a new port has stay.
    pub(super) keep_default: bool,
    /// A new bridge is to know VLANs.
    pub(super) filtering: bool,
}

impl Settings {
    /// Reads and judges the configuration of `call`, with addresses or without.
    pub(super) fn read(call: &Call<'_>, stdin: &Stdin, has_ipam: bool) -> Result<Self, Failure> {
        let object = &stdin.object;
        let flag = |key: &str| object.read::<bool>(key).map(Option::unwrap_or_default);
        let is_default_gateway = flag("isDefaultGateway")?;
        let settings = Settings {
            name: read_name(object)?,
            is_gateway: flag("isGateway")? || is_default_gateway,
            is_default_gateway,
            force_address: flag("forceAddress")?,
            mtu: read_mtu(object)?,
            promiscuous: flag("promiscMode")?,
            port: PortFlags { hairpin: flag("hairpinMode")?, isolated: flag("portIsolation")? },
            vlans: Vlans::read(object)?,
            enable_dad: flag("enabledad")?,
            keep_down: flag("disableContainerInterface")?,
            mac: read_mac(call, stdin)?,
        };
        settings.judge(has_ipam)?;
        Ok(settings)
    }

    /// What the single keys do not tell.
    fn judge(&self, has_ipam: bool) -> Result<(), Failure> {
        if self.port.hairpin && self.promiscuous {
            return Err(Failure::Config("hairpinMode true and promiscMode true exclude each other".to_owned()));
        }
        if has_ipam && self.keep_down {
            return Err(Failure::Config("disableContainerInterface true and ipam exclude each other".to_owned()));
        }
        if has_ipam && self.is_gateway && self.vlans.untagged != 0 {
            self.vlan_end()?;
        }
        Ok(())
    }

    /// The name of the bridge's end in its VLAN, which has the gateway's address.
    pub(super) fn vlan_end(&self) -> Result<IfName, Failure> {
        let name = format!("{}.{}", self.name, self.vlans.untagged);
        IfName::new(name).map_err(|e| Failure::Config(format!("bridge with vlan {}: {e}", self.vlans.untagged)))
    }
}

/// The bridge; an empty text is no name, as for the kernel.
fn read_name(object: &RawObject) -> Result<IfName, Failure> {
    let name = object.read::<String>("bridge")?.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    // Such a name is cut where it is shown, which an interface's is not.
    LinkName::new(&name).map_err(|e| Failure::Config(format!("bridge: {e}")))?;
    IfName::new(name).map_err(|e| Failure::Config(format!("bridge: {e}")))
}

/// `runtimeConfig.mac` before `args.cni.mac` before `MAC` of CNI_ARGS.
fn read_mac(call: &Call<'_>, stdin: &Stdin) -> Result<Option<Mac>, Failure> {
    let [from_args] = read_cni_args(call, ["MAC"])?;
    let text = |section: RawObject| section.read::<String>("mac").map(|mac| mac.filter(|mac| !mac.is_empty()));
    let mac = text(stdin.section("runtimeConfig")?)?.or(text(stdin.cni_args()?)?).or(from_args);
    mac.as_deref().map(interface::read_mac).transpose()
}

impl Vlans {
    fn read(object: &RawObject) -> Result<Self, Failure> {
        let untagged = object.read::<i64>("vlan")?.unwrap_or_default();
        let trunk = object.read::<Vec<RawObject>>("vlanTrunk")?;
        let (none, filtering) = (untagged == 0, untagged != 0 || trunk.is_some());
        let mut ids = BTreeSet::new();
        for item in trunk.iter().flatten() {
            add_trunk(&mut ids, item)?;
        }
        Ok(Vlans {
            untagged: if none { 0 } else { vlan_id("vlan", untagged)? },
            trunk: ids.into_iter().collect(),
            keep_default: object.read("preserveDefaultVlan")?.unwrap_or_default(),
            filtering,
        })
    }

    /// Whether a port's VLANs are touched at all.
    pub(super) fn are_set(&self) -> bool {
        self.untagged != 0 || !self.trunk.is_empty()
    }

    /// What a port is given, in an order in which a later one may change an earlier one.
    pub(super) fn of_port(&self) -> Vec<PortVlan> {
        let untagged = |id| PortVlan { id, pvid: true, untagged: true };
        let mut vlans: Vec<_> = Some(self.untagged).filter(|id| *id != 0).map(untagged).into_iter().collect();
        vlans.extend(self.trunk.iter().map(|id| PortVlan { id: *id, pvid: false, untagged: false }));
        if self.untagged == 0 && !self.trunk.is_empty() {
            // A trunk without a VLAN of its own has 1, which is what switches do.
            vlans.push(untagged(1));
        }
        vlans
    }
}

fn add_trunk(ids: &mut BTreeSet<u16>, item: &RawObject) -> Result<(), Failure> {
    let number = |key: &str| item.read::<i64>(key).map_err(|e| Failure::Config(format!("vlanTrunk: {e}")));
    match (number("minID")?, number("maxID")?) {
        (Some(min), Some(max)) => {
            let (min, max) = (vlan_id("vlanTrunk: minID", min)?, vlan_id("vlanTrunk: maxID", max)?);
            if max < min {
                return Err(Failure::Config(format!("vlanTrunk: minID {min} is greater than maxID {max}")));
            }
            ids.extend(min..=max);
        }
        (None, None) => {}
        (Some(min), None) => return Err(Failure::Config(format!("vlanTrunk: minID {min} has no maxID"))),
        (None, Some(max)) => return Err(Failure::Config(format!("vlanTrunk: maxID {max} has no minID"))),
    }
    if let Some(id) = number("id")? {
        ids.insert(vlan_id("vlanTrunk: id", id)?);
    }
    Ok(())
}

fn vlan_id(what: &str, id: i64) -> Result<u16, Failure> {
    u16::try_from(id)
        .ok()
        .filter(|id| (1..=LAST_VLAN).contains(&i64::from(*id)))
        .ok_or_else(|| Failure::Config(format!("{what} {id} is not a VLAN: it must be 1 to {LAST_VLAN}")))
}
