//! What every native does with the interface it has made: settings, addresses, routes.

use super::routes;
use super::sockets::Container;
use crate::cni::result::IpConfig;
use crate::cni::{AddResult, RawObject, Version};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::{Foreseen, Ipam};
use crate::delegate::on_link::OnLink;
use crate::delegate::poll::poll;
use crate::delegate::stdin::Stdin;
use crate::delegate::wire::{NoWire, Wire};
use crate::delegate::{Call, Error};
use crate::sys::netlink::{Batch, Link, Mac, OperState, Socket};
use crate::sys::sysctl::{Family, Settings};
use crate::sys::trace;
use ipnet::IpNet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// What Ethernet links take (net/ethernet: `ETH_MIN_MTU`, `ETH_MAX_MTU`).
const MTUS: std::ops::RangeInclusive<u32> = 68..=65535;
/// include/uapi/linux/ipv6.h: `IPV6_MIN_MTU`. The kernel switches IPv6 off on a link with less.
const LEAST_MTU_OF_V6: u32 = 1280;
/// How long IPv6 may ask whether somebody else has an address.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A setting of the interface that helps but is not required: kernels without IPv6 lack some.
pub(super) type Setting = (Family, &'static str, &'static str);

/// Announce the address when the link comes up (gratuitous ARP, unsolicited neighbour advertisement).
pub(super) const ARP_NOTIFY: Setting = (Family::V4, "arp_notify", "1");
/// See [`ARP_NOTIFY`].
pub(super) const NDISC_NOTIFY: Setting = (Family::V6, "ndisc_notify", "1");

/// Takes addresses of `ipam` for an interface that is not made yet, and puts them to use; when that fails they are given
/// back.
pub(super) fn with_addresses<T>(
    ipam: &dyn Ipam,
    call: &Call<'_>,
    put_to_use: impl FnOnce(AddResult) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let answer = put_to_use(take_addresses(ipam, call, &mut NoWire)?);
    if answer.is_err() {
        give_back(ipam, call);
    }
    answer
}

/// As [`with_addresses`], for the interface `name` of `container`, which is there and has none yet.
pub(super) fn with_addresses_on<T>(
    ipam: &dyn Ipam,
    call: &Call<'_>,
    (container, name): (&mut Container, &str),
    put_to_use: impl FnOnce(&mut Container, AddResult) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut link = OnLink::new(&container.netns, &mut container.socket, name);
    let taken = take_addresses(ipam, call, &mut link);
    link.end();
    let answer = put_to_use(container, taken?);
    if answer.is_err() {
        give_back(ipam, call);
    }
    answer
}

/// Asks `ipam` for addresses; an answer without any is a failure, after which none is taken.
fn take_addresses(ipam: &dyn Ipam, call: &Call<'_>, wire: &mut dyn Wire) -> Result<AddResult, Failure> {
    let _step = trace::step("addresses");
    let result = ipam.add_on(call, wire)?;
    if result.ips.is_empty() {
        give_back(ipam, call);
        return Err(Failure::Failed("the address plugin answered no address".to_owned()));
    }
    match Stdin::parse(call)?.version {
        // What a program could not say: no table, metric or scope of a route, and IPv4 comes first.
        old if old < Version::V0_3_0 => Ok(AddResult::parse(result.to_raw(old)?.get(), old)?),
        _ => Ok(result),
    }
}

/// Reads `mtu`; 0 is the kernel's choice. Some kinds of links take less than IPv4 does, and then no address.
pub(super) fn read_mtu(object: &RawObject) -> Result<Option<u32>, Failure> {
    let Some(mtu) = object.read::<i64>("mtu")?.filter(|mtu| *mtu != 0) else { return Ok(None) };
    let valid = u32::try_from(mtu).ok().filter(|mtu| MTUS.contains(mtu));
    let out_of_range = || Failure::Config(format!("mtu {mtu} is not between {} and {}", MTUS.start(), MTUS.end()));
    valid.map(Some).ok_or_else(out_of_range)
}

/// Whether IPv6 can use an interface with the `mtu` of `what`, where it is to have such addresses.
pub(super) fn judge_mtu(mtu: u32, what: &str, foreseen: &Foreseen) -> Result<(), Failure> {
    let v6 = foreseen.subnets.iter().flatten().find(|subnet| subnet.addr().is_ipv6());
    match v6.filter(|_| mtu < LEAST_MTU_OF_V6) {
        Some(subnet) => Err(Failure::Config(format!(
            "mtu {mtu}{what} is too small for addresses of {subnet}: IPv6 needs {LEAST_MTU_OF_V6}"
        ))),
        None => Ok(()),
    }
}

/// Reads the hardware address that is asked for.
pub(super) fn read_mac(text: &str) -> Result<Mac, Failure> {
    let mac: Mac = text.parse().map_err(|e| Failure::Config(format!("mac: {e}")))?;
    if mac.is_of_one_card() {
        return Ok(mac);
    }
    Err(Failure::Config(format!(
        "mac {mac} cannot be the address of an interface: it has to be six bytes, no group's and not zero"
    )))
}

/// A `mode` that there is not.
pub(super) fn unknown_mode(mode: &str, known: &str) -> Failure {
    Failure::Config(format!("mode {mode:?} is unknown: there are {known}"))
}

/// Judges what `ipam` will be asked for; without one nothing is.
pub(super) fn foresee(ipam: Option<&dyn Ipam>, call: &Call<'_>, stdin: &Stdin) -> Result<Foreseen, Failure> {
    foresee_as(ipam, call, stdin, Completed { foreseen: |foreseen| foreseen, adds_default: false })
}

/// What a plugin adds to what its address plugin answers.
pub(super) struct Completed<F: FnOnce(Foreseen) -> Foreseen> {
    /// Fills in gateways.
    pub(super) foreseen: F,
    /// There is a default route through the gateways, unasked by any route.
    pub(super) adds_default: bool,
}

/// As [`foresee`], for a plugin that completes the answer.
pub(super) fn foresee_as<F: FnOnce(Foreseen) -> Foreseen>(
    ipam: Option<&dyn Ipam>,
    call: &Call<'_>,
    stdin: &Stdin,
    completed: Completed<F>,
) -> Result<Foreseen, Failure> {
    let Some(ipam) = ipam else {
        judge_without_addresses(stdin)?;
        return Ok(Foreseen { subnets: Some(Vec::new()), ..Foreseen::default() });
    };
    let foreseen = (completed.foreseen)(ipam.prepare(call)?);
    judge_gateways(&foreseen)?;
    if completed.adds_default {
        judge_default_gateways(&foreseen)?;
    }
    routes::judge(&foreseen, stdin.version, completed.adds_default)?;
    Ok(foreseen)
}

/// A result without addresses cannot be written in a version before 0.3.0 (CNI-CONV-04), which no version means, too.
fn judge_without_addresses(stdin: &Stdin) -> Result<(), Failure> {
    if stdin.version >= Version::V0_3_0 {
        return Ok(());
    }
    let declared = stdin.object.read::<String>("cniVersion")?.filter(|version| !version.is_empty());
    let version = declared.map_or_else(|| "cniVersion is missing".to_owned(), |text| format!("cniVersion is {text}"));
    Err(Failure::Config(format!(
        "{version}, and ipam is missing: a network without addresses needs cniVersion {} or newer",
        Version::V0_3_0
    )))
}

/// The kernel takes a gateway only when it is reached without one. A route without has that of its family's addresses.
fn judge_gateways(foreseen: &Foreseen) -> Result<(), Failure> {
    for route in &foreseen.routes {
        let is_v4 = route.dst.addr().is_ipv4();
        let of_family = || foreseen.gateways.iter().copied().filter(|gateway| gateway.is_ipv4() == is_v4);
        let (what, gateways): (_, Vec<IpAddr>) = match route.gw {
            Some(gateway) => ("routes: gw", vec![gateway]),
            None => ("routes: the network's gateway", of_family().collect()),
        };
        if let Some(gateway) = gateways.first()
            && !gateways.iter().any(|gateway| foreseen.reaches(*gateway, &route.dst))
        {
            return Err(unreached(&format!("{what} {gateway} of {}", route.dst), foreseen));
        }
    }
    Ok(())
}

/// Judges the default route that `gateway` is to have, unasked by any route.
fn judge_default_gateways(foreseen: &Foreseen) -> Result<(), Failure> {
    match foreseen.gateways.iter().find(|gateway| !foreseen.reaches(**gateway, &routes::everything(**gateway))) {
        Some(gateway) => Err(unreached(&format!("isDefaultGateway: gateway {gateway}"), foreseen)),
        None => Ok(()),
    }
}

fn unreached(what: &str, foreseen: &Foreseen) -> Failure {
    let subnets: Vec<String> = foreseen.subnets.iter().flatten().map(IpNet::to_string).collect();
    Failure::Config(format!("{what} is in no subnet of the interface ({})", subnets.join(", ")))
}

/// Lets the host forward packets of the families of `addresses`.
pub(super) fn enable_forwarding(
    host: &Settings,
    addresses: impl Iterator<Item = IpNet> + Clone,
) -> Result<(), Failure> {
    for family in [Family::V4, Family::V6] {
        if addresses.clone().any(|address| address.addr().is_ipv4() == (family == Family::V4)) {
            let failed = |source| Failure::Io { what: format!("enable forwarding for {family}"), source };
            host.enable_forwarding(family).map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives addresses back after a failure, which is what the caller hears of.
fn give_back(ipam: &dyn Ipam, call: &Call<'_>) {
    // The caller's DEL tries again.
    let _: Result<(), Error> = ipam.del(call);
}

/// Looks up the interface `name` in the container.
pub(super) fn find(socket: &mut Socket, name: &str) -> Result<Link, Failure> {
    socket.link_by_name(name)?.ok_or_else(|| gone(name))
}

fn gone(name: &str) -> Failure {
    Failure::Failed(format!("interface {name} is gone from the container"))
}

/// Writes `settings` for `link` inside the container, and prepares it for IPv6 where `ips` need it.
pub(super) fn set_up_sysctls(
    container: &Container,
    link: &str,
    settings: &[Setting],
    ips: &[IpConfig],
) -> Result<(), Failure> {
    let needs_v6 = ips.iter().any(|ip| matches!(ip.address, IpNet::V6(_)));
    let kernel = container.socket.settings();
    let work = || {
        for (family, key, value) in settings {
            // Not required: see `Setting`.
            let _ = kernel.write(*family, link, key, value);
        }
        if needs_v6 { enable_v6(kernel, link) } else { Ok(()) }
    };
    container.netns.run(work)?.map_err(|source| Failure::Io { what: format!("enable IPv6 on {link}"), source })
}

fn enable_v6(kernel: &Settings, link: &str) -> io::Result<()> {
    for link in ["lo", link] {
        // A setting that cannot be read is not there; adding the address will say what is wrong.
        if kernel.read(Family::V6, link, "disable_ipv6").is_ok_and(|value| value != "0") {
            kernel.write(Family::V6, link, "disable_ipv6", "0")?;
        }
    }
    // Else the kernel drops the addresses when somebody sets the link down for a moment.
    kernel.write(Family::V6, link, "keep_addr_on_down", "1")
}

/// Gives the interface `name`, numbered `index`, the addresses and routes of `result` and sets it up in between: routes
/// need a link that is up.
pub(super) fn configure(socket: &mut Socket, (name, index): (&str, u32), result: &AddResult) -> Result<(), Failure> {
    let mut batch = Batch::default();
    for ip in &result.ips {
        batch.add_address(index, ip.address);
    }
    batch.set_up(index);
    let first = |v4: bool| result.ips.iter().filter_map(|ip| ip.gateway).find(|gateway| gateway.is_ipv4() == v4);
    let gateways = [first(true), first(false)];
    if gateways[1].is_some() {
        carry_out(socket, batch)?;
        settle(socket, name, index)?;
        batch = Batch::default();
    }
    for route in &result.routes {
        let family_gateway = if matches!(route.dst, IpNet::V4(_)) { gateways[0] } else { gateways[1] };
        // Neither NLM_F_EXCL nor NLM_F_REPLACE: as the reference.
        batch.add_route(routes::wanted(route, family_gateway, index));
    }
    carry_out(socket, batch)
}

/// Switches the interface numbered `index` on.
pub(super) fn set_up(socket: &mut Socket, index: u32) -> Result<(), Failure> {
    let mut batch = Batch::default();
    batch.set_up(index);
    carry_out(socket, batch)
}

/// Makes the changes of `batch`. The first one that is refused is the failure: whoever made the interface deletes it,
/// and with it what the later ones changed.
fn carry_out(socket: &mut Socket, batch: Batch<'_>) -> Result<(), Failure> {
    socket.send_batch(batch)?.into_iter().try_for_each(|answer| Ok(answer.done()?))
}

/// The hardware address of the interface `name` in the container.
pub(super) fn mac(socket: &mut Socket, name: &str) -> Result<Mac, Failure> {
    socket.mac_of(name)?.ok_or_else(|| gone(name))
}

/// Waits until no IPv6 address of the interface is tentative: before, packets from it are not sent.
fn settle(socket: &mut Socket, name: &str, index: u32) -> Result<(), Failure> {
    let settled = poll(SETTLE_TIMEOUT, || {
        let addresses = socket.addresses(Some(index))?;
        if let Some(address) = addresses.iter().find(|address| address.duplicate) {
            return Err(Failure::Failed(format!("address {} is used by somebody else (DAD failed)", address.net)));
        }
        Ok(!addresses.iter().any(|address| address.tentative && matches!(address.net.addr(), IpAddr::V6(_))))
    })?;
    // Without a carrier nobody can be asked; the addresses stay tentative until there is one.
    if !settled && find(socket, name)?.state == OperState::Up {
        return Err(Failure::Failed(format!(
            "addresses of {name} are still tentative after {} s",
            SETTLE_TIMEOUT.as_secs()
        )));
    }
    Ok(())
}
