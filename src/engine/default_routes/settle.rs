//! The default route: of each family one network has it, in the kernel and not only on paper.

use crate::cni::result::Route as ResultRoute;
use crate::cni::{CniError, Code, NetworkConfig};
use crate::delegate::ipam::is_everywhere;
use crate::engine::Turn;
use crate::engine::sandbox::attach::Session;
use crate::engine::settings::DefaultRoute;
use crate::nad::status;
use crate::store::Attachment;
use crate::sys::netlink::{Error, Route, Socket, TABLE_MAIN};
use crate::sys::netns::Netns;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Families of addresses; IPv4 is `true`.
type Families = BTreeSet<bool>;

/// Gives the default route to the attachments that asked for it: of each family of an attachment's gateways it
/// becomes the pod's only one (NPWG-KEY-16, NPWG-KEY-17). In the other families, where an additional network brings a
/// default route of its own, one network keeps it: see [`DefaultRoute`].
///
/// # Errors
/// The kernel refuses a gateway, e.g. one that cannot be reached over the interface.
pub fn settle(turn: &Turn, session: &mut Session<'_>) -> Result<(), CniError> {
    let owners: Vec<usize> =
        (0..session.plan.len()).filter(|owner| session.plan[*owner].default_route.is_some()).collect();
    let mut settled = Families::new();
    for owner in owners {
        settled.extend(hand_over(turn, session, owner)?);
    }
    keep_one(turn, session, &settled)
}

/// Gives the default route to the attachment numbered `owner`; answers of which families.
fn hand_over(turn: &Turn, session: &mut Session<'_>, owner: usize) -> Result<Families, CniError> {
    let requested = session.plan[owner].default_route.clone().unwrap_or_default();
    let attachments = session.attachments();
    let own = if requested.is_empty() { own_gateways(&attachments[owner]) } else { requested };
    let families: Families = own.iter().map(IpAddr::is_ipv4).collect();
    let name = attachments[owner].ifname.to_string();
    let failed = |e: &dyn std::fmt::Display| {
        CniError::new(Code::Io, format!("default route: {e}"))
            .about(format!("network {} ({name})", attachments[owner].network))
    };
    let Some(mut socket) = socket(turn).map_err(|e| failed(&e))? else { return Ok(families) };
    let link = socket
        .link_by_name(&name)
        .map_err(|e| failed(&e))?
        .ok_or_else(|| failed(&format!("there is no interface {name}")))?;
    replace(&mut socket, &families, &own, link.index).map_err(|e| match unreached(&attachments[owner], &own) {
        Some(why) => failed(&format!("{why}: {e}")),
        None => failed(&e),
    })?;
    for (index, attachment) in attachments.iter_mut().enumerate() {
        remember(attachment, &families, if index == owner { &own } else { &[] });
    }
    Ok(families)
}

/// The gateway that is in no subnet of the addresses of `attachment`, in words: the kernel names no reason.
fn unreached(attachment: &Attachment, gateways: &[IpAddr]) -> Option<String> {
    let subnets: Vec<IpNet> = attachment.add_result()?.ips.iter().map(|ip| ip.address.trunc()).collect();
    let outside = |gateway: &&IpAddr| !is_everywhere(**gateway) && !subnets.iter().any(|net| net.contains(*gateway));
    let gateway = gateways.iter().find(outside)?;
    let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
    Some(format!("gateway {gateway} is in no subnet of the interface ({})", subnets.join(", ")))
}

/// The sandbox's namespace; none where the call names none.
fn socket(turn: &Turn) -> Result<Option<Socket>, CniError> {
    let failed = |e: &dyn std::fmt::Display| CniError::new(Code::Io, e.to_string());
    let Some(path) = turn.target()?.netns.as_deref() else { return Ok(None) };
    let netns = Netns::open(path).map_err(|e| failed(&e))?;
    Socket::in_netns(&netns).map(Some).map_err(|e| failed(&e))
}

/// Leaves one network the default route of each family that is not `settled`, where additional networks bring their
/// own: plugins add theirs without regard to what is there, which IPv6 makes one route over several networks of.
fn keep_one(turn: &Turn, session: &mut Session<'_>, settled: &Families) -> Result<(), CniError> {
    if !session.attachments().iter().any(|attachment| !attachment.default && brings_default_route(attachment)) {
        return Ok(());
    }
    let failed = |e: Error| CniError::new(Code::Io, format!("default route: {e}"));
    let Some(mut socket) = socket(turn)? else { return Ok(()) };
    let routes = socket.routes().map_err(failed)?;
    let links = socket.links().map_err(failed)?;
    let asked: Vec<bool> = session.plan.iter().map(|planned| planned.default_route.is_some()).collect();
    let attachments = session.attachments();
    let index = |attachment: &Attachment| {
        links.iter().find(|link| link.name == attachment.ifname.as_str()).map(|link| link.index)
    };
    let candidates: Vec<Candidate> = attachments
        .iter()
        .zip(asked)
        .map(|(attachment, asked)| Candidate { link: index(attachment), additional: !attachment.default, asked })
        .collect();
    let kept = Kept::choose(turn.settings.default_route, &candidates, &routes, settled);
    for route in &kept.superfluous {
        socket.delete_route(route).map_err(failed)?;
    }
    for (attachment, candidate) in attachments.iter_mut().zip(&candidates) {
        let lost: Families = kept.lost_by(candidate.link);
        if !lost.is_empty() {
            remember(attachment, &lost, &[]);
        }
    }
    Ok(())
}

/// The families whose default route `attachments` have now.
pub fn held(attachments: &[Attachment]) -> BTreeSet<bool> {
    let of_result = |attachment: &Attachment| -> Vec<bool> {
        let routes = attachment.add_result().map(|result| result.routes).unwrap_or_default();
        routes.iter().filter(|route| route.is_default()).map(|route| route.dst.addr().is_ipv4()).collect()
    };
    attachments.iter().filter(|attachment| brings_default_route(attachment)).flat_map(of_result).collect()
}

/// Looks at the text: nearly every result has none, and reading each would cost every pod.
fn brings_default_route(attachment: &Attachment) -> bool {
    let text = attachment.result.as_deref().map_or("", |result| result.get());
    text.contains("/0\"")
        && attachment.add_result().is_some_and(|result| result.routes.iter().any(ResultRoute::is_default))
}

fn is_v4(route: &Route) -> bool {
    route.dst.addr().is_ipv4()
}

/// A network that may have the default route, in the order of attachment.
struct Candidate {
    link: Option<u32>,
    additional: bool,
    /// It asked for the default route.
    asked: bool,
}

/// What comes of several default routes.
struct Kept {
    superfluous: Vec<Route>,
}

impl Kept {
    /// Chooses the owner of each family: a network that asked for the other family before one that asked for nothing,
    /// then the last; and the same network for both families if it brings both. Metrics do not matter: the owner's
    /// routes are the only ones. Links of no candidate are what was there before us.
    fn choose(rule: DefaultRoute, candidates: &[Candidate], routes: &[Route], settled: &Families) -> Self {
        let defaults: Vec<&Route> = routes
            .iter()
            .filter(|route| route.is_default() && route.table == TABLE_MAIN && !settled.contains(&is_v4(route)))
            .collect();
        let of = |link: Option<u32>, family: bool| {
            defaults.iter().filter(move |route| is_v4(route) == family && route.oif == link && link.is_some())
        };
        let is_concerned =
            |family: &bool| candidates.iter().any(|one| one.additional && of(one.link, *family).next().is_some());
        let families: Vec<bool> = [true, false].into_iter().filter(is_concerned).collect();
        let may_have = |one: &Candidate, family: bool| {
            let is_allowed = rule == DefaultRoute::Last || one.asked || !one.additional;
            is_allowed && of(one.link, family).next().is_some()
        };
        let rank = |at: &usize| (candidates[*at].asked, *at);
        let first =
            |family: bool| (0..candidates.len()).filter(|at| may_have(&candidates[*at], family)).max_by_key(rank);
        let overall = families.iter().filter_map(|family| first(*family)).max_by_key(rank);
        let mut superfluous = Vec::new();
        for family in families {
            let owner = overall.filter(|owner| may_have(&candidates[*owner], family)).or_else(|| first(family));
            let owner = owner.and_then(|owner| candidates[owner].link);
            let is_kept = |route: &&&Route| match owner {
                Some(owner) => route.oif == Some(owner),
                // Nobody of ours may have it: what was there before us stays.
                None => !candidates.iter().any(|one| one.link == route.oif),
            };
            superfluous.extend(
                defaults.iter().filter(|route| is_v4(route) == family && !is_kept(route)).map(|route| (*route).clone()),
            );
        }
        Kept { superfluous }
    }

    /// The families whose default route over `link` goes.
    fn lost_by(&self, link: Option<u32>) -> Families {
        self.superfluous.iter().filter(|route| route.oif == link).map(is_v4).collect()
    }
}

/// Deletes every default route of `families` in the main table, then adds those through `gateways`.
fn replace(socket: &mut Socket, families: &Families, gateways: &[IpAddr], oif: u32) -> Result<(), Error> {
    let routes = socket.routes()?;
    let concerned = |route: &&Route| {
        route.is_default() && route.table == TABLE_MAIN && families.contains(&route.dst.addr().is_ipv4())
    };
    for route in routes.iter().filter(concerned) {
        socket.delete_route(route)?;
    }
    for (rank, gateway) in gateways.iter().enumerate() {
        // Several of one family: the order is the preference (NPWG-KEY-18).
        let before = gateways[..rank].iter().filter(|other| other.is_ipv4() == gateway.is_ipv4()).count();
        let mut route = Route::new(everything(gateway.is_ipv4()), Some(*gateway), oif);
        route.priority = u32::try_from(before).unwrap_or(0) * 100;
        socket.replace_route(&route)?;
    }
    Ok(())
}

fn everything(is_v4: bool) -> IpNet {
    if is_v4 {
        Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()
    }
}

/// The gateways that the attachment's own plugins know: an empty `default-route` means those.
fn own_gateways(attachment: &Attachment) -> Vec<IpAddr> {
    let Some(result) = attachment.add_result() else { return Vec::new() };
    let mut gateways = status::gateways(&result);
    if gateways.is_empty() {
        let mut families = BTreeSet::new();
        gateways = result
            .ips
            .iter()
            .filter_map(|ip| ip.gateway)
            .filter(|gateway| families.insert(gateway.is_ipv4()))
            .collect();
    }
    gateways
}

/// Rewrites what is recorded of `attachment`, so that status and CHECK speak of what holds now.
fn remember(attachment: &mut Attachment, families: &Families, gateways: &[IpAddr]) {
    let Some(mut result) = attachment.add_result() else { return };
    let concerned = |route: &ResultRoute| route.is_default() && families.contains(&route.dst.addr().is_ipv4());
    let kept = status::gateways(&result).into_iter().filter(|gateway| !families.contains(&gateway.is_ipv4()));
    attachment.gateways = Some(kept.chain(gateways.iter().copied()).collect());
    let before = result.routes.len();
    result.routes.retain(|route| !concerned(route));
    if result.routes.len() == before && gateways.is_empty() {
        return;
    }
    let through = |gateway: &IpAddr| ResultRoute::to(everything(gateway.is_ipv4()), Some(*gateway));
    result.routes.extend(gateways.iter().map(through));
    let version = NetworkConfig::parse(attachment.config.get(), None).map(|network| network.version.known());
    if let Ok(Ok(raw)) = version.map(|version| result.to_raw(version)) {
        attachment.result = Some(raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: u32 = 2;

    /// A default route over `link`; IPv4's metric is 0 unless it says otherwise.
    fn over(link: u32, is_v4: bool, priority: u32) -> Route {
        let gateway: IpAddr = if is_v4 { [10, 0, 0, 1].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, 1].into() };
        Route { priority, ..Route::new(everything(is_v4), Some(gateway), link) }
    }

    /// The links that lose the route, of the default network on `eth0` and additional ones on the links after it.
    fn losers(rule: DefaultRoute, additional: u32, routes: &[Route], settled: &[bool]) -> Vec<(u32, bool)> {
        let one = |at: u32| Candidate { link: Some(ETH0 + at), additional: at > 0, asked: false };
        let candidates: Vec<Candidate> = (0..=additional).map(one).collect();
        let kept = Kept::choose(rule, &candidates, routes, &settled.iter().copied().collect());
        kept.superfluous.iter().map(|route| (route.oif.unwrap(), is_v4(route))).collect()
    }

    #[test]
    fn one_network_keeps_it() {
        // NPWG-KEY-17
        let (last, both) = (DefaultRoute::Last, |link| [over(link, true, 0), over(link, false, 1024)]);
        let all = [both(2), both(3), both(4)].concat();
        assert_eq!(losers(last, 2, &all, &[]), [(2, true), (3, true), (2, false), (3, false)]);
        // What was settled by request is not looked at.
        assert_eq!(losers(last, 2, &all, &[true]), [(2, false), (3, false)]);
        assert_eq!(losers(last, 2, &all, &[true, false]), []);
        // The last that brings any has both families if it can.
        let mixed = [both(2).to_vec(), both(3).to_vec(), vec![over(4, false, 1024)]].concat();
        assert_eq!(losers(last, 2, &mixed, &[]), [(2, true), (2, false), (3, false)]);
        // A family that no additional network brings stays as it is, whatever there is.
        let other = [over(9, true, 0), over(2, true, 0), over(3, false, 1024)];
        assert_eq!(losers(last, 1, &other, &[]), []);
    }

    #[test]
    fn metrics_do_not_matter() {
        let last = DefaultRoute::Last;
        let spare = [over(2, true, 0), over(3, true, 100), over(4, true, 0), over(5, true, 200)];
        assert_eq!(losers(last, 3, &spare, &[]), [(2, true), (3, true), (4, true)]);
        // All routes of the owner stay.
        let several = [over(2, true, 0), over(3, true, 100), over(3, true, 0)];
        assert_eq!(losers(last, 1, &several, &[]), [(2, true)]);
        // Chained, the default network is none of the candidates.
        let candidates = [Candidate { link: Some(3), additional: true, asked: false }];
        let choose = |priority, rule| {
            let routes = [over(2, true, 0), over(3, true, priority)];
            Kept::choose(rule, &candidates, &routes, &Families::new()).superfluous[0].oif
        };
        assert_eq!(choose(0, last), Some(2));
        assert_eq!(choose(100, last), Some(2));
        assert_eq!(choose(0, DefaultRoute::Asked), Some(3));
    }

    #[test]
    fn who_asked_for_one_family_has_the_other_too() {
        let one = |at: u32, asked| Candidate { link: Some(ETH0 + at), additional: at > 0, asked };
        let candidates = [one(0, false), one(1, true), one(2, false)];
        let losers = |routes: &[Route]| -> Vec<u32> {
            let kept = Kept::choose(DefaultRoute::Last, &candidates, routes, &[true].into());
            kept.superfluous.iter().map(|route| route.oif.unwrap()).collect()
        };
        assert_eq!(losers(&[2, 3, 4].map(|link| over(link, false, 1024))), [2, 4]);
        // If it brings one.
        assert_eq!(losers(&[2, 4].map(|link| over(link, false, 1024))), [2]);
    }

    #[test]
    fn what_nobody_asked_for_is_left_out() {
        let routes = [over(2, true, 0), over(3, true, 0), over(3, false, 1024)];
        assert_eq!(losers(DefaultRoute::Asked, 1, &routes, &[]), [(3, true), (3, false)]);
        let asked = Candidate { link: Some(3), additional: true, asked: true };
        let candidates = [Candidate { link: Some(2), additional: false, asked: false }, asked];
        let kept = Kept::choose(DefaultRoute::Asked, &candidates, &routes, &Families::new());
        assert_eq!(kept.lost_by(Some(2)), [true].into());
        assert!(kept.lost_by(Some(3)).is_empty());
    }
}
