//! Links that sit on another link: macvlan, ipvlan and vlan.

use super::interface::{self, Setting, find};
use super::sockets::Container;
use crate::cni::result::Interface;
use crate::cni::{AddResult, RawObject};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::{Foreseen, Ipam};
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, native::Sockets};
use crate::sys::netlink::{Change, Link, LinkName, NewLink, Socket, teardown};
use crate::sys::netns;
use nix::errno::Errno;
use serde_json::value::RawValue;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;

/// The kind that can be on a link that is not Ethernet's.
pub(super) const VLAN: &str = "vlan";

/// Where the other link is.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// Its name, or an alternative one; none: the one the default route leaves by.
    pub(super) name: Option<LinkName>,
    /// It is in the container.
    pub(super) in_container: bool,
}

impl Parent {
    /// Reads `master` and `linkInContainer`.
    pub(super) fn read(object: &RawObject) -> Result<Self, Failure> {
        let name = object.read::<String>("master")?.filter(|name| !name.is_empty());
        let name = name.map(|name| LinkName::new(&name)).transpose();
        Ok(Parent {
            name: name.map_err(|e| Failure::Config(format!("master: {e}")))?,
            in_container: object.read("linkInContainer")?.unwrap_or_default(),
        })
    }

    /// Looks the link up, in the container by the socket `inside`.
    pub(super) fn find(&self, host: &mut Socket, inside: &mut Socket) -> Result<Link, Failure> {
        let (socket, place) = if self.in_container { (inside, "in the container") } else { (host, "on this node") };
        match &self.name {
            Some(name) => {
                let missing = || Failure::Config(format!("master {name}: there is no link {name} {place}"));
                socket.link_by_name(name.as_str())?.ok_or_else(missing)
            }
            None => default_route_link(socket, place),
        }
    }

    /// Judges before anything is made whether a link of `kind` can be made on it; a link that an earlier network makes
    /// is not there yet.
    pub(super) fn foresee(
        &self,
        kind: &str,
        mtu: Option<u32>,
        foreseen: &Foreseen,
        ground: &mut Ground<'_>,
    ) -> Result<(), Failure> {
        let is_made_before = self.name.as_ref().is_some_and(|name| (ground.is_made_before)(name.as_str()));
        let (Some(host), Some(inside)) = (ground.host.as_deref_mut(), ground.inside.as_deref_mut()) else {
            return mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", foreseen));
        };
        if is_made_before {
            mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", foreseen))?;
        } else {
            self.judge(kind, mtu, foreseen, (host, inside))?;
        }
        if host.makes_links_on_others(kind)? {
            return Ok(());
        }
        Err(Failure::Failed(format!("the kernel of this node has no {kind} (module {kind})")))
    }

    fn judge(
        &self,
        kind: &str,
        mtu: Option<u32>,
        foreseen: &Foreseen,
        (host, inside): (&mut Socket, &mut Socket),
    ) -> Result<(), Failure> {
        let (parent, mtu) = self.find_with_mtu(mtu, host, inside)?;
        if parent.loopback || (!parent.ethernet && kind != VLAN) {
            return Err(Failure::Config(format!(
                "master {} is not an Ethernet link: {kind} does not work on it",
                parent.name
            )));
        }
        let of_parent = format!(" of master {}", parent.name);
        interface::judge_mtu(mtu.unwrap_or(parent.mtu), mtu.map_or(&of_parent, |_| ""), foreseen)
    }

    /// As [`Parent::find`], with the `mtu` of what is made on it, which may not be greater than its own.
    pub(super) fn find_with_mtu(
        &self,
        mtu: Option<u32>,
        host: &mut Socket,
        inside: &mut Socket,
    ) -> Result<(Link, Option<u32>), Failure> {
        let parent = self.find(host, inside)?;
        let mtu = mtu_within(&parent, mtu)?;
        Ok((parent, mtu))
    }
}

/// The link of the first default route in the main table, IPv4 before IPv6.
fn default_route_link(socket: &mut Socket, place: &str) -> Result<Link, Failure> {
    let oif = socket.default_routes()?.first().and_then(|route| route.oif);
    let link = oif.map(|oif| socket.link_by_index(oif)).transpose()?.flatten();
    link.ok_or_else(|| {
        Failure::Config(format!("master is missing, and there is no default route {place} to choose it from"))
    })
}

fn mtu_within(parent: &Link, mtu: Option<u32>) -> Result<Option<u32>, Failure> {
    match mtu {
        Some(mtu) if mtu > parent.mtu => {
            Err(Failure::Config(format!("mtu {mtu} is greater than {}, the MTU of master {}", parent.mtu, parent.name)))
        }
        mtu => Ok(mtu),
    }
}

/// Makes `link` in the container, under its final name.
pub(super) fn create(
    host: &mut Socket,
    container: &mut Container,
    in_container: bool,
    link: NewLink<'_>,
) -> Result<Link, Failure> {
    let Container { netns, socket } = container;
    if in_container {
        socket.create_link(&link)?;
        return find(socket, link.name);
    }
    let link = NewLink { netns: Some(netns.as_fd()), ..link };
    match host.create_link(&link) {
        Ok(()) => find(socket, link.name),
        // Before 6.14 the kernel compared the name with the host's links too; then it has to be given later.
        Err(e) if e.is(Errno::EEXIST) && socket.link_by_name(link.name)?.is_none() => {
            create_and_rename(host, socket, link)
        }
        Err(e) => Err(e.into()),
    }
}

fn create_and_rename(host: &mut Socket, container: &mut Socket, link: NewLink<'_>) -> Result<Link, Failure> {
    let temporary = random_name();
    host.create_link(&NewLink { name: &temporary, ..link.clone() })?;
    let made = find(container, &temporary)?;
    if let Err(e) = container.change_link(made.index, &Change { name: Some(link.name), ..Change::default() }) {
        // Best effort: the error that matters is the one above.
        let _ = container.delete_link(made.index);
        return Err(e.into());
    }
    Ok(Link { name: link.name.to_owned(), ..made })
}

/// A name as the reference gives to links nobody has to remember.
pub(super) fn random_name() -> String {
    // Keyed anew at random in each process, and differently each time it is made.
    format!("veth{:08x}", RandomState::new().build_hasher().finish() as u32)
}

/// Completes the new `link` by `work`, and deletes it when that fails.
pub(super) fn complete<T>(
    container: &mut Container,
    link: &Link,
    work: impl FnOnce(&mut Container) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let answer = work(container);
    if answer.is_err() {
        // Best effort: the caller's DEL comes after a failed ADD.
        let _ = container.socket.delete_link(link.index);
    }
    answer
}

/// Gives `link` the addresses and routes of `result`, and answers them with it.
pub(super) fn configure(
    call: &Call<'_>,
    stdin: &Stdin,
    container: &mut Container,
    link: &Link,
    settings: &[Setting],
    mut result: AddResult,
) -> Result<Box<RawValue>, Failure> {
    result.interfaces = vec![interface_in_container(call, link)?];
    // The addresses' own dns is not handed on, unlike bridge's: as the reference.
    result.dns = stdin.dns()?.0;
    for ip in &mut result.ips {
        ip.interface = Some(0);
    }
    interface::set_up_sysctls(container, &link.name, settings, &result.ips)?;
    interface::configure(&mut container.socket, link, &result)?;
    stdin.answer(&result)
}

/// The interface of a result.
pub(super) fn interface_in_container(call: &Call<'_>, link: &Link) -> Result<Interface, Failure> {
    Ok(Interface {
        name: link.name.clone(),
        mac: link.mac.to_string(),
        sandbox: netns_path(call)?.to_string_lossy().into_owned(),
        ..Interface::default()
    })
}

/// Deletes the container's interface and then gives the addresses back: in this order nobody else
/// can have an address that is still in use here. Only what is given back through the interface goes first.
pub(super) fn del(call: &Call<'_>, sockets: &Sockets, ipam: Option<&dyn Ipam>) -> Result<(), Failure> {
    let give_back = |ipam: Option<&dyn Ipam>| ipam.map_or(Ok(()), |ipam| ipam.del(call));
    let (before, after) = if ipam.is_some_and(Ipam::needs_link) { (ipam, None) } else { (None, ipam) };
    let given_back = give_back(before);
    delete_interface(call, sockets)?;
    given_back?;
    Ok(give_back(after)?)
}

fn delete_interface(call: &Call<'_>, sockets: &Sockets) -> Result<(), Failure> {
    let ifname = Target::of(call)?.ifname.as_str();
    let Some(path) = call.scope.netns else { return Ok(()) };
    let mut held = sockets.hold();
    if held.was_deleted(path, ifname) {
        return Ok(());
    }
    match held.container(path) {
        Ok(container) => delete_link(container, ifname, call),
        // The namespace is gone, and everything in it.
        Err(Failure::Netns(netns::Error::Missing { .. } | netns::Error::NotANamespace { .. })) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Runtimes repeat DEL: mostly there is nothing left, which is not worth a thread in the namespace.
fn delete_link(container: &mut Container, name: &str, call: &Call<'_>) -> Result<(), Failure> {
    if container.socket.link_by_name(name)?.is_some() {
        teardown(&container.netns, &[name], call.scope.plugin_deadline())?;
    }
    Ok(())
}
