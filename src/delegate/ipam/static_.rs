//! `static`: the addresses of the configuration or of the pod, as they are.

use super::{Foreseen, Ipam, address};
use crate::cni::result::{Dns, IpConfig, Route};
use crate::cni::{AddResult, RawObject, Version};
use crate::delegate::failure::Failure;
use crate::delegate::keys::{Declined, Key, key, understand_list};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, read_cni_args, read_dns, read_ip, read_routes};
use crate::delegate::{Call, Error};
use ipnet::IpNet;
use std::net::IpAddr;

/// Its `type`.
pub const TYPE: &str = "static";

/// The keys of its section.
pub const KEYS: &[Key] = &[key("type"), key("addresses"), key("routes"), key("dns")];
/// The keys of an element of `addresses`.
pub const ADDRESS_KEYS: &[Key] = &[key("address"), key("gateway")];
/// The keys of a configured route.
pub const ROUTE_KEYS: &[Key] =
    &[key("dst"), key("gw"), key("mtu"), key("advmss"), key("priority"), key("table"), key("scope")];

/// The plugin. It keeps no state: nobody else is asked whether the addresses are free.
#[derive(Debug, Default)]
pub struct Static(Once<Settings>);

/// What one call is to do.
#[derive(Debug)]
struct Settings {
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
    dns: Dns,
}

impl Settings {
    fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let stdin = Stdin::parse(call)?;
        let ipam = stdin.section("ipam")?;
        Ok(Settings {
            ips: addresses(call, &stdin, &ipam)?,
            routes: read_routes(&ipam, "routes")?,
            dns: read_dns(&ipam.read("dns")?.unwrap_or_default())?.0,
        })
    }
}

/// Whether the lists of the section hold only what is known.
///
/// # Errors
/// The first key that is not.
pub fn understand_parts(ipam: &RawObject) -> Result<(), Declined> {
    understand_list(ipam, "addresses", ADDRESS_KEYS)?;
    understand_list(ipam, "routes", ROUTE_KEYS)
}

impl Ipam for Static {
    fn prepare(&self, call: &Call<'_>) -> Result<Foreseen, Error> {
        self.0.get(|| Settings::read(call)).and_then(foresee).map_err(|e| e.of(TYPE))
    }

    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        let settings = self.0.get(|| Settings::read(call)).map_err(|e| e.of(TYPE))?;
        let Settings { ips, routes, dns } = settings;
        Ok(AddResult { ips: ips.clone(), routes: routes.clone(), dns: dns.clone(), ..AddResult::default() })
    }

    fn del(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        self.0.get(|| Settings::read(call)).and_then(|settings| check(call, settings)).map_err(|e| e.of(TYPE))
    }

    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }
}

fn foresee(settings: &Settings) -> Result<Foreseen, Failure> {
    if settings.ips.is_empty() {
        return Err(Failure::Config("addresses is empty, and the pod requests none (ips)".to_owned()));
    }
    address::judge(&settings.ips.iter().map(|ip| ip.address).collect::<Vec<_>>())?;
    for (ip, gateway) in settings.ips.iter().filter_map(|ip| Some((ip, ip.gateway?))) {
        address::same_family(gateway, "address", ip.address)?;
    }
    Ok(Foreseen::of(settings.ips.clone(), settings.routes.clone()))
}

fn check(call: &Call<'_>, settings: &Settings) -> Result<(), Failure> {
    let result = Stdin::parse(call)?.required_prev_result()?;
    for wanted in &settings.ips {
        let found = result.ips.iter().find(|ip| ip.address.addr() == wanted.address.addr());
        let same_gateway = |ip: &&IpConfig| wanted.gateway.is_none() || wanted.gateway == ip.gateway;
        if found.filter(same_gateway).is_none() {
            return Err(Failure::Drifted(format!(
                "prevResult does not contain the configured address {}",
                wanted.address
            )));
        }
    }
    Ok(())
}

/// The addresses: those of the configuration and then CNI_ARGS, or else `args.cni.ips`, or else
/// `runtimeConfig.ips`; each of the last two replaces all before.
fn addresses(call: &Call<'_>, stdin: &Stdin, ipam: &RawObject) -> Result<Vec<IpConfig>, Failure> {
    let mut addresses = from_cni_args(call)?;
    // Also where they are replaced the configured ones must be right in form.
    let listed: Vec<RawObject> = ipam.read("addresses")?.unwrap_or_default();
    let replacements = [stdin.cni_args()?, stdin.section("runtimeConfig")?];
    let mut replaced = false;
    for section in &replacements {
        let texts: Vec<String> = section.read("ips")?.unwrap_or_default();
        if !texts.is_empty() {
            let read = |text: &String| Ok(IpConfig { address: read_net("ips", text)?, gateway: None, interface: None });
            addresses = texts.iter().map(read).collect::<Result<_, Failure>>()?;
            replaced = true;
        }
    }
    if !replaced {
        let configured = listed.iter().map(read_address).collect::<Result<Vec<_>, _>>()?;
        addresses.splice(0..0, configured);
    }
    one_of_each_family(stdin.version, addresses.iter().map(|ip| ip.address.addr()))?;
    Ok(addresses)
}

fn read_address(address: &RawObject) -> Result<IpConfig, Failure> {
    let text: String = address.read("address")?.unwrap_or_default();
    Ok(IpConfig {
        address: read_net("addresses: address", &text)?,
        gateway: read_ip(address, "gateway")?,
        interface: None,
    })
}

/// `IP`: networks joined by commas; `GATEWAY`: addresses joined by commas, for those networks they lie in.
fn from_cni_args(call: &Call<'_>) -> Result<Vec<IpConfig>, Failure> {
    let [ip, gateway] = read_cni_args(call, ["IP", "GATEWAY"])?;
    let mut addresses = Vec::new();
    for text in ip.iter().flat_map(|ip| ip.split(',')) {
        addresses.push(IpConfig { address: read_net("CNI_ARGS: IP", text.trim())?, gateway: None, interface: None });
    }
    for text in gateway.iter().flat_map(|gateway| gateway.split(',')) {
        let gateway: IpAddr = text
            .trim()
            .parse()
            .map_err(|_| Failure::Config(format!("CNI_ARGS: GATEWAY: {text:?} is not an address")))?;
        for address in addresses.iter_mut().filter(|address| address.address.contains(&gateway)) {
            address.gateway = Some(gateway);
        }
    }
    Ok(addresses)
}

fn read_net(key: &str, text: &str) -> Result<IpNet, Failure> {
    text.parse().map_err(|_| Failure::Config(format!("{key}: {text:?} is not an address with a prefix length")))
}

/// Before 0.3.0 a result has room for one address of each family.
///
/// # Errors
/// There are more.
pub fn one_of_each_family(version: Version, addresses: impl Iterator<Item = IpAddr>) -> Result<(), Failure> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv4);
    if version < Version::V0_3_0 && (v4.len() > 1 || v6.len() > 1) {
        return Err(Failure::Config(format!("CNI version {version} has one address of each family")));
    }
    Ok(())
}
