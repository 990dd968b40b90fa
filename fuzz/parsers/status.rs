//! The network status, and the device-info file that becomes a part of it.

use super::{text, texts};
use plexus::cni::{AddResult, RawObject, Version};
use plexus::nad::NetworkStatus;
use plexus::nad::status::{self, Attached};

/// A status as such; a result and a device-info file, separated by NUL, from which one is made.
pub fn run(data: &[u8]) {
    if let Some(entries) = text(data).and_then(|text| serde_json::from_str::<Vec<NetworkStatus>>(text).ok()) {
        stable(&entries);
    }
    let Some([result, device_info]) = texts(data) else { return };
    let Ok(result) = AddResult::parse(result, Version::NEWEST) else { return };
    let device_info = RawObject::parse(device_info).ok();
    let attached = Attached {
        name: "cbr0",
        ifname: "eth0",
        default: true,
        result: &result,
        gateways: None,
        device_info: device_info.as_ref(),
        mac: None,
    };
    let entries = status::entries(&attached);
    // NPWG-STA-04, NPWG-STA-06
    assert_eq!(entries.iter().filter(|entry| entry.default).count(), 1, "{entries:?}");
    let known = |ip| result.ips.iter().any(|config| config.address.addr() == ip);
    assert!(entries.iter().flat_map(|entry| &entry.ips).all(|ip| known(*ip)), "{entries:?}");
    stable(&entries);
}

fn stable(entries: &[NetworkStatus]) {
    let written = status::annotation(entries);
    let read: Vec<NetworkStatus> = serde_json::from_str(&written).unwrap();
    assert_eq!(status::annotation(&read), written);
}
