//! CHECK: what ADD made against what is there.

use super::sockets::Container;
use crate::cni::AddResult;
use crate::cni::result::Interface;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Target, netns_path};
use crate::sys::netlink::{Link, Socket};

/// The container's interface of `result`: it must be there, of `kind`, with the MAC it was made with.
pub(super) fn container_link(
    call: &Call<'_>,
    container: &mut Container,
    result: &AddResult,
    kind: &str,
) -> Result<Link, Failure> {
    let ifname = Target::of(call)?.ifname.as_str();
    let sandbox = netns_path(call)?.to_string_lossy();
    let known = result.interfaces.iter().find(|interface| interface.name == ifname && interface.sandbox == sandbox);
    let known = known.ok_or_else(|| Failure::Drifted(format!("prevResult has no interface {ifname} in {sandbox}")))?;
    same_link(&mut container.socket, known, kind)
}

/// The link of `known`, which must be of `kind` and have the MAC that is known.
pub(super) fn same_link(socket: &mut Socket, known: &Interface, kind: &str) -> Result<Link, Failure> {
    let name = &known.name;
    let link = socket.link_by_name(name)?.ok_or_else(|| Failure::Drifted(format!("interface {name} is gone")))?;
    if link.kind != kind {
        return Err(Failure::Drifted(format!("interface {name} is of kind {:?}, not {kind}", link.kind)));
    }
    if !known.mac.is_empty() && known.mac != link.mac.to_string() {
        return Err(Failure::Drifted(format!("interface {name} has MAC {}, not {}", link.mac, known.mac)));
    }
    Ok(link)
}

/// The addresses of `result` must be on `link`, and its routes in their tables.
///
/// The gateway of a default route is not compared: several networks of a pod may bring one.
pub(super) fn addresses_and_routes(socket: &mut Socket, link: &Link, result: &AddResult) -> Result<(), Failure> {
    let own = |index: Option<i64>| match index.and_then(|index| usize::try_from(index).ok()) {
        Some(index) => result.interfaces.get(index).is_none_or(|interface| interface.name == link.name),
        None => true,
    };
    let (addresses, routes) = (socket.addresses(Some(link.index))?, socket.routes()?);
    for ip in result.ips.iter().filter(|ip| own(ip.interface)) {
        if !addresses.iter().any(|address| address.net == ip.address) {
            return Err(Failure::Drifted(format!("address {} is gone from {}", ip.address, link.name)));
        }
        let prefix = ip.address.trunc();
        // An address alone has no connected route.
        if prefix.prefix_len() < prefix.max_prefix_len() && !routes.iter().any(|route| route.dst == prefix) {
            return Err(Failure::Drifted(format!("the route to {prefix} is gone")));
        }
    }
    for wanted in &result.routes {
        // A later plugin of the chain may have moved it to another table (CNI-CHK-02), unless one was asked for.
        let table = wanted.table.filter(|table| *table != 0);
        // 0.0.0.0 is how a configuration says that there is none.
        let gateway = wanted.gw.filter(|gateway| wanted.dst.prefix_len() != 0 && !gateway.is_unspecified());
        let same = |gw: Option<_>| gateway.is_none() || gw == gateway;
        if !routes.iter().any(|route| {
            route.dst == wanted.dst.trunc() && table.is_none_or(|table| route.table == table) && same(route.gateway)
        }) {
            return Err(Failure::Drifted(format!(
                "the route to {} is gone{}",
                wanted.dst,
                table.map_or_else(String::new, |table| format!(" from table {table}"))
            )));
        }
    }
    Ok(())
}
