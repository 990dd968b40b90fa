//! The configuration of `bridge`.

use super::super::interface::read_mtu;
use crate::cni::RawObject;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_cni_args};
use crate::sys::netlink::{Mac, PortFlags, PortVlan};
use std::collections::BTreeSet;

const DEFAULT_NAME: &str = "cni0";
const LAST_VLAN: i64 = 4094;

/// What one call of `bridge` is to do.
#[derive(Debug)]
pub(super) struct Settings {
    /// The bridge.
    pub(super) name: String,
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
    /// Reads and judges the configuration of `call`.
    pub(super) fn read(call: &Call<'_>, stdin: &Stdin) -> Result<Self, Failure> {
        let object = &stdin.object;
        let flag = |key: &str| object.read::<bool>(key).map(Option::unwrap_or_default);
        let is_default_gateway = flag("isDefaultGateway")?;
        let settings = Settings {
            name: object.read("bridge")?.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
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
        if settings.port.hairpin && settings.promiscuous {
            return Err(Failure::Config("hairpinMode and promiscMode exclude each other".to_owned()));
        }
        Ok(settings)
    }
}

/// `runtimeConfig.mac` before `args.cni.mac` before `MAC` of CNI_ARGS.
fn read_mac(call: &Call<'_>, stdin: &Stdin) -> Result<Option<Mac>, Failure> {
    let [from_args] = read_cni_args(call, ["MAC"])?;
    let text = |section: RawObject| section.read::<String>("mac").map(|mac| mac.filter(|mac| !mac.is_empty()));
    let mac = text(stdin.section("runtimeConfig")?)?.or(text(stdin.cni_args()?)?).or(from_args);
    mac.map(|mac| mac.parse()).transpose().map_err(|e| Failure::Config(format!("mac: {e}")))
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
    let number = |key: &str| item.read::<i64>(key).map_err(Failure::from);
    match (number("minID")?, number("maxID")?) {
        (Some(min), Some(max)) => {
            let (min, max) = (vlan_id("vlanTrunk: minID", min)?, vlan_id("vlanTrunk: maxID", max)?);
            if max < min {
                return Err(Failure::Config(format!("vlanTrunk: minID {min} is greater than maxID {max}")));
            }
            ids.extend(min..=max);
        }
        (None, None) => {}
        _ => return Err(Failure::Config("vlanTrunk: minID and maxID are only given together".to_owned())),
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
        .ok_or_else(|| Failure::Config(format!("{what} {id} is no VLAN: they are 1 to {LAST_VLAN}")))
}
