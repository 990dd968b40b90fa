//! From what the probes found to the matrix: for each network and family a line for each ordered pair. Pure.

use crate::cli::connectivity::found::Found;
use crate::cli::diagnosis::Fault;
use crate::cli::probe::words::{Measured, Packet, Ping, Tcp};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// One network.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// `<namespace>/<name>`.
    pub network: String,
    /// Its probes.
    pub places: Vec<Place>,
    /// Every ordered pair, for each family.
    pub pairs: Vec<Pair>,
}

/// A probe.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The node, or one of several places on it.
    pub place: String,
    /// The node.
    pub node: String,
    /// Addresses of its interface.
    pub addresses: Vec<IpAddr>,
    /// MTU of its interface; null where it was not reported.
    pub mtu: Option<usize>,
    /// What is wrong, by name; null where nothing is.
    pub fault: Option<Fault>,
    /// Why it measured nothing; null where it did.
    pub problem: Option<String>,
}

/// In a few characters, that two machines have one address.
const SAME_ADDRESS: &str = "same address";

/// From one place to another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// The place that measures.
    pub from: String,
    /// The other one.
    pub to: String,
    /// The address that is measured; null where there is none.
    pub address: Option<IpAddr>,
    /// Whether nothing is wrong.
    pub well: bool,
    /// Small echo requests; null where none were sent.
    pub ping: Option<Ping>,
    /// A TCP connection; null where none was tried.
    pub tcp: Option<Tcp>,
    /// The largest packet; null where none was sent.
    pub packet: Option<Packet>,
    /// In a few characters, what is wrong; null where nothing is.
    #[serde(skip)]
    pub short: Option<String>,
    /// What is wrong; null where nothing is.
    pub problem: Option<String>,
    /// The problem is that of a place, which has it already.
    #[serde(skip)]
    pub is_of_place: bool,
}

/// The matrices of `found`, in the order of its networks.
pub fn matrices(found: &[Found]) -> Vec<Matrix> {
    let mut matrices: Vec<Matrix> = Vec::new();
    for one in found {
        let network = one.probe.network.to_string();
        if matrices.iter().all(|matrix| matrix.network != network) {
            let of_network: Vec<&Found> =
                found.iter().filter(|other| other.probe.network == one.probe.network).collect();
            let places = of_network.iter().map(|one| place(one)).collect();
            matrices.push(Matrix { network, places, pairs: pairs(&of_network) });
        }
    }
    matrices
}

fn place(found: &Found) -> Place {
    let trouble = found.start.as_ref().err();
    Place {
        place: found.probe.place.clone(),
        node: found.probe.node.clone(),
        addresses: found.start.clone().unwrap_or_default(),
        mtu: found.mtu,
        fault: trouble.map(|trouble| trouble.fault),
        problem: trouble.map(|trouble| trouble.why.clone()),
    }
}

fn pairs(found: &[&Found]) -> Vec<Pair> {
    let mut families: Vec<bool> = Vec::new();
    for is_v4 in [true, false] {
        families.extend(found.iter().any(|one| one.address(is_v4).is_some()).then_some(is_v4));
    }
    if families.is_empty() {
        // Nobody has an address: each pair fails, and says why.
        families.push(true);
    }
    let mut pairs = Vec::new();
    for is_v4 in families {
        for from in found {
            for to in found.iter().filter(|to| to.probe.pod != from.probe.pod) {
                pairs.push(pair(from, to, is_v4, found));
            }
        }
    }
    pairs
}

fn pair(from: &Found, to: &Found, is_v4: bool, all: &[&Found]) -> Pair {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    let address = to.address(is_v4);
    let measured =
        from.targets.iter().find(|(target, _)| target.name == to.probe.pod && Some(target.address) == address);
    let measured = measured.and_then(|(_, measured)| measured.as_ref());
    let of_place = of_place(from, to, is_v4, all);
    let is_of_place = of_place.is_some();
    let trouble = of_place.or_else(|| match measured {
        None => {
            let why = from.silence.as_deref().unwrap_or("it did not measure");
            Some(("no result".to_owned(), format!("the probe on {} has no result: {why}", from.probe.place)))
        }
        Some(measured) => of_measurement(measured),
    });
    let (short, problem) = trouble.unzip();
    Pair {
        family,
        from: from.probe.place.clone(),
        to: to.probe.place.clone(),
        address,
        well: problem.is_none(),
        ping: measured.map(|measured| measured.ping.clone()),
        tcp: measured.map(|measured| measured.tcp.clone()),
        packet: measured.map(|measured| measured.packet.clone()),
        short,
        problem,
        is_of_place,
    }
}

/// What is wrong with one of the two places, in a few characters and in a sentence.
fn of_place(from: &Found, to: &Found, is_v4: bool, all: &[&Found]) -> Option<(String, String)> {
    let place = |one: &Found| one.probe.place.clone();
    for one in [to, from] {
        if let Err(trouble) = &one.start {
            return Some(("no pod".to_owned(), format!("{}: {}", place(one), trouble.why)));
        }
    }
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    for one in [to, from] {
        let Some(address) = one.address(is_v4) else {
            let why = format!("{} has no {family} address on {}", place(one), one.probe.network);
            return Some(("no address".to_owned(), why));
        };
        let is_twin = |other: &&&Found| other.probe.pod != one.probe.pod && other.address(is_v4) == Some(address);
        if let Some(twin) = all.iter().find(is_twin) {
            let mut names = [place(one), place(twin)];
            names.sort();
            let why = format!(
                "{} has the address {address} on {} and on {}: host-local counts addresses on each node by itself",
                one.probe.network, names[0], names[1]
            );
            return Some((SAME_ADDRESS.to_owned(), why));
        }
    }
    None
}

/// What is wrong with what was measured.
fn of_measurement(measured: &Measured) -> Option<(String, String)> {
    // An answer of another pod does not count, and no firewall is the cause.
    if let Some(why) = measured.stranger() {
        let why = format!("another machine has its address: it answers to ping, and is not the probe (TCP: {why})");
        return Some((SAME_ADDRESS.to_owned(), why));
    }
    let Measured { ping, tcp, packet, .. } = measured;
    let mut short = Vec::new();
    let mut whole = Vec::new();
    if let Some(why) = &ping.problem {
        short.push("no ping".to_owned());
        whole.push(format!("ping: {why}"));
    }
    if let Some(why) = &tcp.problem {
        short.push("no TCP".to_owned());
        whole.push(format!("TCP: {why}"));
    }
    if let Some(largest) = packet.largest.filter(|largest| *largest < packet.expected) {
        short.push(format!("{largest} of {} bytes", packet.expected));
        whole.push(format!("packets of more than {largest} bytes are lost, and the MTU is {}", packet.expected));
    }
    if whole.is_empty() {
        return None;
    }
    if ping.problem.is_some() && tcp.problem.is_some() {
        short = vec!["no answer".to_owned()];
    }
    Some((short.join(", "), whole.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connectivity::found::tests::found;
    use crate::cli::connectivity::found::{Trouble, targets};

    fn measured(problem: Option<&str>, largest: Option<usize>) -> Measured {
        Measured {
            target: 0,
            ping: Ping { sent: 3, received: 3, milliseconds: Some(0.2), problem: problem.map(str::to_owned) },
            tcp: Tcp { milliseconds: Some(0.4), problem: problem.map(str::to_owned) },
            packet: Packet { expected: 1500, largest },
        }
    }

    /// All targets of all of them were measured so.
    fn with(mut all: Vec<Found>, measured: &Measured) -> Vec<Found> {
        let targets: Vec<_> = (0..all.len()).map(|at| targets(&all, at)).collect();
        for (one, targets) in all.iter_mut().zip(targets) {
            one.targets = targets.into_iter().map(|target| (target, Some(measured.clone()))).collect();
        }
        all
    }

    fn problems(found: &[Found]) -> Vec<(String, String)> {
        let pairs = matrices(found).into_iter().flat_map(|matrix| matrix.pairs);
        let told = |pair: Pair| (format!("{}>{} {}", pair.from, pair.to, pair.family), pair.short.unwrap_or_default());
        pairs.map(told).collect()
    }

    fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter().map(|(pair, short)| ((*pair).to_owned(), (*short).to_owned())).collect()
    }

    #[test]
    fn all_is_well() {
        let all = with(
            vec![found("a", &["10.0.0.1", "fd00::1"]), found("b", &["10.0.0.2", "fd00::2"])],
            &measured(None, Some(1500)),
        );
        assert_eq!(problems(&all), expected(&[("a>b IPv4", ""), ("b>a IPv4", ""), ("a>b IPv6", ""), ("b>a IPv6", "")]));
        let pair = &matrices(&all)[0].pairs[2];
        assert_eq!((pair.well, pair.address), (true, Some("fd00::2".parse().unwrap())));
    }

    #[test]
    fn every_cell_that_fails_has_a_reason() {
        let silent = Found::new(found("c", &[]).probe, Err(Trouble::of("there is no link eth9 on this node")));
        let all = with(vec![found("a", &["10.0.0.1"]), found("b", &["fd00::2"]), silent], &measured(None, Some(1500)));
        let all = problems(&all);
        assert_eq!(all.len(), 12);
        assert!(all.contains(&("a>b IPv4".into(), "no address".into())), "{all:?}");
        assert!(all.contains(&("a>c IPv4".into(), "no pod".into())), "{all:?}");
        assert!(all.contains(&("c>b IPv6".into(), "no pod".into())), "{all:?}");
        let matrix = &matrices(&[found("a", &[]), found("b", &[])])[0];
        assert_eq!(matrix.pairs[0].problem.as_deref(), Some("b has no IPv4 address on n/lan"));
    }

    #[test]
    fn two_with_one_address_are_named() {
        let twins = with(vec![found("b", &["10.0.0.1"]), found("a", &["10.0.0.1"])], &measured(None, None));
        for pair in &matrices(&twins)[0].pairs {
            let why = pair.problem.as_deref().unwrap();
            assert!(why.starts_with("n/lan has the address 10.0.0.1 on a and on b"), "{why}");
        }
    }

    #[test]
    fn measurements_are_judged() {
        let two = || vec![found("a", &["10.0.0.1"]), found("b", &["10.0.0.2"])];
        let short = |measured: &Measured| problems(&with(two(), measured))[0].1.clone();
        assert_eq!(short(&measured(Some("no answer within 2 s"), None)), "no answer");
        assert_eq!(short(&measured(None, Some(1400))), "1400 of 1500 bytes");
        let refused = Tcp { milliseconds: None, problem: Some("the connection is refused".into()) };
        assert_eq!(short(&Measured { tcp: refused, ..measured(None, Some(1400)) }), "same address");
        let stranger = Tcp { milliseconds: None, problem: Some("n1-lan answers there".into()) };
        assert_eq!(short(&Measured { tcp: stranger, ..measured(None, Some(1400)) }), "same address");
        let filtered = Tcp { milliseconds: None, problem: Some("no answer within 2 s".into()) };
        assert_eq!(short(&Measured { tcp: filtered, ..measured(None, Some(1400)) }), "no TCP, 1400 of 1500 bytes");
        let mut unmeasured = with(two(), &measured(None, None));
        unmeasured[0].targets[0].1 = None;
        assert_eq!(problems(&unmeasured)[0].1, "no result");
    }
}
