//! Links that sit on another link: macvlan, ipvlan and vlan.

use super::interface::{self, Setting, find};
use super::sockets::Container;
use crate::cni::result::Interface;
use crate::cni::{AddResult, RawObject};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::{Foreseen, Ipam};
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, native::Sockets};
use crate::sys::netlink::{self, Change, Link, LinkName, Mac, NewLink, Socket, teardown};
use crate::sys::netns;
use nix::errno::Errno;
use serde_json::value::RawValue;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Where a master is, in messages.
const ON_NODE: &str = "on this node";
/// Numbers for new links: 65536 to 131071. What lies together takes the kernel little memory.
const INDICES: u32 = 1 << 16;
/// The kind that can be on a link that is not Ethernet's.
pub(super) const VLAN: &str = "vlan";

/// Where the other link is.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    /// Its name, or an alternative one; none: the one the default route leaves by.
    pub(super) name: Option<LinkName>,
    /// It is in the container.
    pub(super) in_container: bool,
    /// It, where it was there before anything was made.
    pub(super) seen: OnceLock<Link>,
}

/// A link that was made in the container.
pub(super) struct Made {
    /// Its name.
    pub(super) name: String,
    /// Its number.
    pub(super) index: u32,
}

impl Parent {
    /// Reads `master` and `linkInContainer`.
    pub(super) fn read(object: &RawObject) -> Result<Self, Failure> {
        let name = object.read::<String>("master")?.filter(|name| !name.is_empty());
        let name = name.map(|name| LinkName::new(&name)).transpose();
        Ok(Parent {
            name: name.map_err(|e| Failure::Config(format!("master: {e}")))?,
            in_container: object.read("linkInContainer")?.unwrap_or_default(),
            seen: OnceLock::new(),
        })
    }

    /// Looks the link up, in the container by the socket `inside`.
    pub(super) fn find(&self, host: &mut Socket, inside: &mut Socket) -> Result<Link, Failure> {
        let (socket, place) = if self.in_container { (inside, "in the container") } else { (host, ON_NODE) };
        match &self.name {
            Some(name) => socket.link_by_name(name.as_str())?.ok_or_else(|| missing(name, place)),
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
        // Without a sandbox only a link of the node that has a name can be looked at.
        let is_blind = ground.inside.is_none() && (self.in_container || self.name.is_none());
        if ground.host.is_none() || is_blind {
            return mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", foreseen));
        }
        if let Some(name) = self.name.as_ref().filter(|name| (ground.is_made_before)(name.as_str())) {
            mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", foreseen))?;
            // Nobody makes it who finds it there, unless it is to be in the container.
            if let Some(link) = ground.seen.link(name.as_str()).filter(|_| mtu.is_none() && !self.in_container) {
                self.seen.get_or_init(|| link.clone());
            }
        } else {
            self.judge(kind, mtu, foreseen, ground)?;
        }
        if ground.makes_links_on_others(kind)? {
            return Ok(());
        }
        Err(Failure::Failed(netlink::no_kind(kind)))
    }

    fn judge(&self, kind: &str, mtu: Option<u32>, foreseen: &Foreseen, ground: &mut Ground<'_>) -> Result<(), Failure> {
        let parent = match self.name.as_ref().filter(|_| !self.in_container) {
            Some(name) => ground.host_link(name.as_str())?.ok_or_else(|| missing(name, ON_NODE))?,
            None => {
                let sockets = (ground.host.as_deref_mut(), ground.inside.as_deref_mut());
                let (Some(host), Some(inside)) = sockets else { return Ok(()) };
                self.find(host, inside)?
            }
        };
        let mtu = mtu_within(&parent, mtu)?;
        let parent = self.seen.get_or_init(|| parent);
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

fn missing(name: &LinkName, place: &str) -> Failure {
    Failure::Config(format!("master {name}: there is no link {name} {place}"))
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

/// Makes the link that `new` describes on `parent`, in the container, under its final name; with `mtu`, which may not
/// be greater than the parent's.
///
/// A parent that was there before is not looked up again, unless the kernel does not know its number any more.
pub(super) fn create<'a>(
    host: &mut Socket,
    container: &mut Container,
    (parent, mtu): (&Parent, Option<u32>),
    new: impl Fn(&Link, Option<u32>) -> NewLink<'a>,
) -> Result<Made, Failure> {
    if let Some(seen) = parent.seen.get() {
        match make(host, container, parent.in_container, new(seen, mtu)) {
            Err(Failure::Netlink(e)) if e.is(Errno::ENODEV) => {}
            made => return made,
        }
    }
    let (on, mtu) = parent.find_with_mtu(mtu, host, &mut container.socket)?;
    make(host, container, parent.in_container, new(&on, mtu))
}

fn make(host: &mut Socket, container: &mut Container, in_container: bool, link: NewLink<'_>) -> Result<Made, Failure> {
    // Before 6.14 the kernel compared name and number with the host's links too.
    let index = if in_container { container.next_index() } else { Some(random_index()) };
    let Container { netns, socket, .. } = container;
    let link = NewLink { index, netns: if in_container { None } else { Some(netns.as_fd()) }, ..link };
    let maker = if in_container { &mut *socket } else { &mut *host };
    let made = |index| Made { name: link.name.to_owned(), index };
    match (maker.create_link(&link), index) {
        (Ok(()), Some(index)) => return Ok(made(index)),
        (Ok(()), None) => return Ok(made(find(socket, link.name)?.index)),
        (Err(e), Some(_)) if is_taken(&e) => {}
        (Err(e), _) => return Err(e.into()),
    }
    // The name is taken, or the number: the kernel chooses another one.
    let link = NewLink { index: None, ..link.clone() };
    let found = match maker.create_link(&link) {
        Ok(()) => find(socket, link.name)?,
        Err(e) if e.is(Errno::EEXIST) && !in_container && socket.link_by_name(link.name)?.is_none() => {
            create_and_rename(host, socket, link.clone())?
        }
        Err(e) => return Err(e.into()),
    };
    let made = made(found.index);
    container.note_index(made.index);
    Ok(made)
}

/// Whether the number or the name of a new link is that of another one (rtnetlink.c: `__rtnl_newlink`; dev.c:
/// `register_netdevice`).
pub(super) fn is_taken(error: &netlink::Error) -> bool {
    error.is(Errno::EEXIST) || error.is(Errno::EBUSY)
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
    Ok(made)
}

/// A name as the reference gives to links nobody has to remember.
pub(super) fn random_name() -> String {
    // Keyed anew at random in each process, and differently each time it is made.
    format!("veth{:08x}", random())
}

/// The number of a link of the node that no other one has, as a rule: the kernel counts from 1.
pub(super) fn random_index() -> u32 {
    INDICES | (random() & (INDICES - 1))
}

fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

/// Completes the new `link` by `work`, and deletes it when that fails.
pub(super) fn complete<T>(
    container: &mut Container,
    link: &Made,
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
    link: &Made,
    settings: &[Setting],
    mut result: AddResult,
) -> Result<Box<RawValue>, Failure> {
    // The addresses' own dns is not handed on, unlike bridge's: as the reference.
    result.dns = stdin.dns()?.0;
    for ip in &mut result.ips {
        ip.interface = Some(0);
    }
    interface::set_up_sysctls(container, &link.name, settings, &result.ips)?;
    interface::configure(&mut container.socket, (&link.name, link.index), &result)?;
    let mac = interface::mac(&mut container.socket, &link.name)?;
    result.interfaces = vec![interface_in_container(call, &link.name, &mac)?];
    stdin.answer(&result)
}

/// The interface of a result.
pub(super) fn interface_in_container(call: &Call<'_>, name: &str, mac: &Mac) -> Result<Interface, Failure> {
    Ok(Interface {
        name: name.to_owned(),
        mac: mac.to_string(),
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
