//! A section of `whereabouts`, understood as a pool that it implies: its manifests work unchanged.
//!
//! The section has the ranges, and the pool is known by `network_name`. All sections with one name share it, so that an
//! address is given once, whatever the ranges are. `docs/how-to/from-whereabouts.md` has the differences, each of which
//! is a test below.

use crate::cni::RawObject;
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::ipam::address;
use crate::delegate::keys::{Key, key, nearest, unknown};
use crate::delegate::stdin::{Stdin, read_cni_args};
use crate::ipam::spans::{Span, Spans, number};
use crate::ipam::{PoolName, spans};
use ipnet::IpNet;
use std::net::IpAddr;

/// Its `type`, and the name of its program.
pub const TYPE: &str = "whereabouts";

/// The keys of its section. Those of its store and its log are read by nobody.
pub const KEYS: &[Key] = &[
    key("type"),
    key("range"),
    key("range_start"),
    key("range_end"),
    key("exclude"),
    key("ipRanges"),
    key("gateway"),
    key("routes"),
    key("dns"),
    key("addresses"),
    key("network_name"),
    key("enable_overlapping_ranges"),
    key("node_slice_size"),
    key("leader_lease_duration"),
    key("leader_renew_deadline"),
    key("leader_retry_period"),
    key("kubernetes"),
    key("configuration_path"),
    key("log_file"),
    key("log_level"),
    key("reconciler_cron_expression"),
    key("sleep_for_race"),
    key("datastore"),
    key("etcd_host"),
    key("etcd_username"),
    key("etcd_password"),
    key("etcd_key_file"),
    key("etcd_cert_file"),
    key("etcd_ca_cert_file"),
];
/// The keys of an element of `ipRanges`.
pub const RANGE_KEYS: &[Key] = &[key("range"), key("range_start"), key("range_end"), key("exclude")];

/// A range of a section: the plugin takes one address of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The subnet.
    pub(super) net: IpNet,
    /// Goes into the result.
    pub(super) gateway: Option<IpAddr>,
    /// What may be taken of it without a request.
    pub(super) usable: Spans,
}

impl Part {
    /// Whether `address` may be taken without a request.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_v4() && self.usable.contains(number(address))
    }

    pub(super) fn is_v4(&self) -> bool {
        self.net.addr().is_ipv4()
    }

    /// What the daemon is asked for.
    pub(super) fn within(&self) -> Vec<(IpAddr, IpAddr)> {
        let end = |number| spans::address(self.is_v4(), number);
        self.usable.iter().map(|span| (end(span.first), end(span.last))).collect()
    }
}

/// The pool of a section.
pub(super) fn pool(section: &RawObject) -> Result<PoolName, Failure> {
    Ok(PoolName::implied(&section.read::<String>("network_name")?.unwrap_or_default()))
}

/// What is wrong with the keys. Like `whereabouts` it passes over what it does not know, unless that is a known key with
/// a slip: without `exclude` an address of another device would be given.
pub(super) fn judge_keys(section: &RawObject) -> Result<(), Failure> {
    let ranges: Vec<RawObject> = section.read("ipRanges")?.unwrap_or_default();
    let slip = |object: &RawObject, table: &'static [Key]| {
        let mut names = object.iter().map(|(name, _)| name);
        let is_known = |name: &str| table.iter().any(|key| crate::cni::folds_to(name, key.name));
        let found = names.find(|name| !is_known(name) && nearest(name, &[table]).is_some())?;
        Some(Failure::Config(format!("ipam of type {TYPE}: {}", unknown(found, &[table]))))
    };
    let found = slip(section, KEYS).or_else(|| ranges.iter().find_map(|range| slip(range, RANGE_KEYS)));
    found.map_or(Ok(()), Err)
}

/// The ranges, in the order of the addresses in the result.
pub(super) fn parts(section: &RawObject) -> Result<Vec<Part>, Failure> {
    let gateway = match section.read::<String>("gateway")?.filter(|text| !text.is_empty()) {
        Some(text) => Some(read_address("gateway", &text)?),
        None => None,
    };
    let mut parts = Vec::new();
    if section.read::<String>("range")?.is_some_and(|range| !range.is_empty()) {
        // At the top level whereabouts passes over what is no address.
        parts.push(read_part(section, gateway, |_, text| Ok(sloppy(text).parse().ok()))?);
    }
    for range in section.read::<Vec<RawObject>>("ipRanges")?.unwrap_or_default() {
        parts.push(read_part(&range, gateway, |key, text| read_address(key, text).map(Some))?);
    }
    Ok(parts)
}

fn read_part(
    section: &RawObject,
    gateway: Option<IpAddr>,
    read_end: impl Fn(&str, &str) -> Result<Option<IpAddr>, Failure>,
) -> Result<Part, Failure> {
    let end = |key: &str| match section.read::<String>(key)?.filter(|text| !text.is_empty()) {
        Some(text) => read_end(key, text.trim()),
        None => Ok(None),
    };
    let text: String = section.read("range")?.unwrap_or_default();
    let (net, start, end) = match text.split_once('-') {
        Some((first, last)) => {
            let (first, net) = (read_address("range", first.trim())?, read_net("range", last.trim())?);
            if !net.contains(&first) {
                return Err(Failure::Config(format!("ipam: range {text:?} begins outside of {}", net.trunc())));
            }
            (net.trunc(), Some(first), Some(net.addr()))
        }
        None => (read_net("range", text.trim())?.trunc(), end("range_start")?, end("range_end")?),
    };
    let mut excluded = Vec::new();
    for text in section.read::<Vec<String>>("exclude")?.unwrap_or_default() {
        excluded.extend(read_excluded(text.trim(), net)?);
    }
    let gateway = gateway.filter(|gateway| gateway.is_ipv4() == net.addr().is_ipv4());
    excluded.extend(gateway.and_then(|gateway| Span::new(number(gateway), number(gateway))));
    let span: Spans = between(net, start, end).into_iter().collect();
    Ok(Part { net, gateway, usable: span.without(&excluded.into_iter().collect()) })
}

/// From the first to the last address. An end outside of the usable ones, or before the first, does not count.
fn between(net: IpNet, start: Option<IpAddr>, end: Option<IpAddr>) -> Option<Span> {
    let (mut first, mut last) = (number(net.network()), number(net.broadcast()));
    if net.max_prefix_len() - net.prefix_len() >= 2 {
        (first, last) = (first + 1, last - 1);
    }
    let of_net =
        |address: Option<IpAddr>| address.filter(|address| address.is_ipv4() == net.addr().is_ipv4()).map(number);
    first = of_net(start).filter(|start| (first..=last).contains(start)).unwrap_or(first);
    last = of_net(end).filter(|end| (first..=last).contains(end)).unwrap_or(last);
    Span::new(first, last)
}

fn read_excluded(text: &str, net: IpNet) -> Result<Option<Span>, Failure> {
    let part = match text.contains('/') {
        true => read_net("exclude", text)?,
        false => IpNet::from(read_address("exclude", text)?),
    };
    let is_of_family = part.addr().is_ipv4() == net.addr().is_ipv4();
    Ok(Span::new(number(part.network()), number(part.broadcast())).filter(|_| is_of_family))
}

/// Go's sloppy parsers accept leading zeros in the parts of an IPv4 address.
fn sloppy(text: &str) -> String {
    if text.contains(':') {
        return text.to_owned();
    }
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let octet = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let address = address.split('.').map(octet).collect::<Vec<_>>().join(".");
    length.map_or(address.clone(), |length| format!("{address}/{length}"))
}

fn read_address(key: &str, text: &str) -> Result<IpAddr, Failure> {
    sloppy(text).parse().map_err(|_| Failure::Config(format!("ipam: {key} {text:?} is not an address")))
}

fn read_net(key: &str, text: &str) -> Result<IpNet, Failure> {
    sloppy(text).parse().map_err(|_| Failure::Config(format!("ipam: {key} {text:?} is not a subnet")))
}

/// What is asked for beside the ranges: `addresses` of the section, and requests of the pod.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// In a range: taken for this pod only, in place of any address of that range.
    pub(super) inside: Vec<IpAddr>,
    /// In none: added to the result as they are, as for `static`.
    pub(super) outside: Vec<IpConfig>,
}

impl Asked {
    pub(super) fn read(call: &Call<'_>, stdin: &Stdin, section: &RawObject, parts: &[Part]) -> Result<Self, Failure> {
        let mut asked = Asked::default();
        for address in section.read::<Vec<RawObject>>("addresses")?.unwrap_or_default() {
            let text: String = address.read("address")?.unwrap_or_default();
            let gateway = address.read::<String>("gateway")?.filter(|text| !text.is_empty());
            let gateway = gateway.map(|text| read_address("addresses: gateway", &text)).transpose()?;
            asked.add(&text, &gateway.into_iter().collect::<Vec<_>>(), parts)?;
        }
        let [ips, gateways] = read_cni_args(call, ["IP", "GATEWAY"])?;
        let listed = |text: &Option<String>| -> Vec<String> {
            text.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect()
        };
        let read = |text: &String| read_address("CNI_ARGS: GATEWAY", text);
        let gateways = listed(&gateways).iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut texts = listed(&ips);
        for requests in [stdin.cni_args()?, stdin.section("runtimeConfig")?] {
            texts.extend(requests.read::<Vec<String>>("ips")?.unwrap_or_default());
        }
        for text in texts {
            asked.add(&text, &gateways, parts)?;
        }
        address::judge(&asked.outside.iter().map(|ip| ip.address).collect::<Vec<_>>())?;
        Ok(asked)
    }

    fn add(&mut self, text: &str, gateways: &[IpAddr], parts: &[Part]) -> Result<(), Failure> {
        let invalid = || Failure::Config(format!("ipam: address {text:?} has no address with a prefix length"));
        let net: Option<IpNet> = text.parse().ok();
        let address = net.map(|net| net.addr()).or_else(|| text.parse().ok()).ok_or_else(invalid)?;
        if let Some(part) = parts.iter().find(|part| part.net.contains(&address)) {
            address::judge(&IpNet::new(address, part.net.prefix_len()).into_iter().collect::<Vec<_>>())?;
            if !self.inside.contains(&address) {
                self.inside.push(address);
            }
            return Ok(());
        }
        let net = net.ok_or_else(invalid)?;
        if !self.outside.iter().any(|known| known.address == net) {
            let gateway = gateways.iter().copied().find(|gateway| net.contains(gateway));
            self.outside.push(IpConfig { address: net, gateway, interface: None });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Part>, String> {
        let section = RawObject::parse(text).unwrap();
        judge_keys(&section).and_then(|()| parts(&section)).map_err(|e| e.to_string())
    }

    /// Subnet and usable addresses of the first range.
    fn told(text: &str) -> String {
        match of(text) {
            Ok(parts) => {
                let within = parts[0].within();
                let spans: Vec<_> = within.iter().map(|(first, last)| format!("{first}-{last}")).collect();
                format!("{} {}", parts[0].net, spans.join(" "))
            }
            Err(e) => e,
        }
    }

    #[test]
    fn what_a_range_means() {
        // Case 38: section 2.1 of what whereabouts reads.
        for (section, expected) in [
            (r#"{"range":"10.0.0.0/29"}"#, "10.0.0.0/29 10.0.0.1-10.0.0.6"),
            // Host bits are dropped.
            (r#"{"range":"192.168.2.225/28"}"#, "192.168.2.224/28 192.168.2.225-192.168.2.238"),
            (r#"{"range":"10.000.000.008/29"}"#, "10.0.0.8/29 10.0.0.9-10.0.0.14"),
            (r#"{"range":"10.0.0.3-10.0.0.5/24"}"#, "10.0.0.0/24 10.0.0.3-10.0.0.5"),
            (
                r#"{"range":"10.0.0.0/24","range_start":"10.0.0.9","range_end":"10.0.0.12"}"#,
                "10.0.0.0/24 10.0.0.9-10.0.0.12",
            ),
            // What is outside, or no address, does not count at the top level.
            (r#"{"range":"10.0.0.0/29","range_start":"10.9.0.9"}"#, "10.0.0.0/29 10.0.0.1-10.0.0.6"),
            (
                r#"{"range":"10.0.0.0/29","range_start":"10.0.0.5","range_end":"10.0.0.2"}"#,
                "10.0.0.0/29 10.0.0.5-10.0.0.6",
            ),
            (r#"{"range":"10.0.0.0/29","range_start":"x"}"#, "10.0.0.0/29 10.0.0.1-10.0.0.6"),
            (r#"{"range":"10.0.0.0/29","range_end":"10.0.0.7"}"#, "10.0.0.0/29 10.0.0.1-10.0.0.6"),
            (
                r#"{"range":"10.0.0.0/28","exclude":["10.0.0.2","10.0.0.7/30","fd00::1"]}"#,
                "10.0.0.0/28 10.0.0.1-10.0.0.1 10.0.0.3-10.0.0.3 10.0.0.8-10.0.0.14",
            ),
            // IPv6, too, without the first and the last address.
            (r#"{"range":"fd00::/125"}"#, "fd00::/125 fd00::1-fd00::6"),
            // Differences: the gateway is never given, and the shortest subnets are usable (RFC 3021, RFC 6164).
            (r#"{"range":"10.0.0.0/29","gateway":"10.0.0.1"}"#, "10.0.0.0/29 10.0.0.2-10.0.0.6"),
            (r#"{"range":"10.0.0.4/31"}"#, "10.0.0.4/31 10.0.0.4-10.0.0.5"),
            (r#"{"range":"fd00::4/127"}"#, "fd00::4/127 fd00::4-fd00::5"),
            (r#"{"range":"10.0.0.9/32"}"#, "10.0.0.9/32 10.0.0.9-10.0.0.9"),
            // Names of any letter case, as in Go; unknown keys are passed over.
            (r#"{"Range":"10.0.0.0/30","some_comment":1}"#, "10.0.0.0/30 10.0.0.1-10.0.0.2"),
            (r#"{"range":"10.0.0.0/30","exclude":["10.0.0.0/30"]}"#, "10.0.0.0/30 "),
        ] {
            assert_eq!(told(section), expected, "{section}");
        }
    }

    #[test]
    fn what_is_no_section() {
        for (section, why) in [
            (r#"{"range":"10.0.0.0"}"#, "range \"10.0.0.0\" is not a subnet"),
            (r#"{"range":"10.0.0.0/33"}"#, "not a subnet"),
            (r#"{"range":"10.9.0.3-10.0.0.5/24"}"#, "begins outside of 10.0.0.0/24"),
            (r#"{"range":"x-10.0.0.5/24"}"#, "range \"x\" is not an address"),
            (r#"{"range":"10.0.0.0/24","exclude":["nothing"]}"#, "exclude \"nothing\" is not an address"),
            (r#"{"range":"10.0.0.0/24","gateway":"x"}"#, "gateway \"x\""),
            (r#"{"ipRanges":[{"range":"10.0.0.0/24","range_start":"x"}]}"#, "range_start \"x\""),
            // A difference: a key with a slip is not passed over.
            (r#"{"range":"10.0.0.0/24","exlude":["10.0.0.1"]}"#, "unknown key \"exlude\"; did you mean \"exclude\"?"),
            (r#"{"ipRanges":[{"range":"10.0.0.0/24","rangeend":"10.0.0.9"}]}"#, "did you mean \"range_end\"?"),
        ] {
            let told = of(section).expect_err(section);
            assert!(told.contains(why), "{section}: {told}");
        }
    }

    #[test]
    fn every_range_is_a_part() {
        let parts = of(
            r#"{"range":"10.0.0.0/30","gateway":"10.0.0.1","ipRanges":[{"range":"fd00::/120"},{"range":"10.1.0.0/24","range_start":"10.1.0.9"}]}"#,
        )
        .unwrap();
        let nets: Vec<String> = parts.iter().map(|part| part.net.to_string()).collect();
        assert_eq!(nets, ["10.0.0.0/30", "fd00::/120", "10.1.0.0/24"]);
        // A difference: whereabouts gives the gateway to addresses of both families.
        assert_eq!(parts[1].gateway, None);
        assert_eq!(parts[2].gateway, "10.0.0.1".parse().ok());
        assert!(parts[2].has("10.1.0.9".parse().unwrap()) && !parts[2].has("10.1.0.8".parse().unwrap()));
        assert!(of(r#"{"network_name":"a"}"#).unwrap().is_empty());
    }

    #[test]
    fn the_pool_is_known_by_the_name_of_the_network() {
        let of = |text: &str| pool(&RawObject::parse(text).unwrap()).unwrap().to_string();
        assert_eq!(of(r#"{"range":"10.0.0.0/24"}"#), "whereabouts.default");
        assert_eq!(of(r#"{"range":"10.1.0.0/24","network_name":"blue"}"#), "whereabouts.net-blue");
        // A difference: without overlaps, whereabouts gives one address of two ranges twice.
        assert_eq!(of(r#"{"range":"10.1.0.0/24","enable_overlapping_ranges":false}"#), "whereabouts.default");
    }
}
