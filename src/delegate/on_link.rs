//! A link that was made and has no address yet, as a [`Wire`].

use super::failure::Failure;
use super::poll::poll;
use super::wire::Wire;
use crate::sys::conflicts::{Asker, Claim};
use crate::sys::netlink::{Change, Link, OperState, Socket};
use crate::sys::netns::Netns;
use crate::sys::trace;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a link that was switched on may take until it carries packets.
const CARRIER_TIMEOUT: Duration = Duration::from_millis(500);
const IPVLAN: &str = "ipvlan";

/// The link called `name` in `netns`. It is switched on for the first question, and off again at the end: only a link that
/// comes up with its addresses announces them (`arp_notify`).
pub struct OnLink<'a> {
    netns: &'a Netns,
    socket: &'a mut Socket,
    name: &'a str,
    asker: Option<Asker>,
    /// The number of the link, where it was switched on here.
    switched_on: Option<u32>,
}

impl<'a> OnLink<'a> {
    /// `socket` is in `netns`. Nothing is done before the first question.
    pub fn new(netns: &'a Netns, socket: &'a mut Socket, name: &'a str) -> Self {
        OnLink { netns, socket, name, asker: None, switched_on: None }
    }

    /// Leaves the link as it was.
    pub fn end(self) {
        if let Some(index) = self.switched_on {
            // Where it stays on, only the announcement is missing.
            let _ = self.socket.change_link(index, &Change { up: Some(false), ..Change::default() });
        }
    }

    fn begin(&mut self) -> Result<Asker, Failure> {
        let missing = || Failure::Failed(format!("there is no interface {} yet", self.name));
        let link = self.socket.link_by_name(self.name)?.ok_or_else(missing)?;
        let own = hardware(&link)?;
        if link.kind == IPVLAN {
            return self.on_master(&link, own);
        }
        if !link.up {
            self.socket.change_link(link.index, &Change { up: Some(true), ..Change::default() })?;
            self.switched_on = Some(link.index);
        }
        let carries = poll(CARRIER_TIMEOUT, || {
            Ok(self.socket.link_by_index(link.index)?.is_some_and(|link| link.state != OperState::Down))
        })?;
        if !carries {
            return Err(Failure::Failed(format!("interface {} has no carrier", self.name)));
        }
        self.netns.run(|| open(link.index, own))?
    }

    /// Answers to an ipvlan without an address reach only the link that it sits on, whose hardware address it has.
    fn on_master(&mut self, link: &Link, own: [u8; 6]) -> Result<Asker, Failure> {
        let mode = link.mode.as_deref().unwrap_or("unknown");
        if mode != "l2" {
            return Err(Failure::Failed(format!("on an ipvlan in mode {mode} nobody is asked")));
        }
        let unknown = || Failure::Failed(format!("the master of {} cannot be found", self.name));
        let master = link.parent.ok_or_else(unknown)?;
        let judge = |found: Option<Link>| found.filter(|found| found.mac == link.mac && found.up).ok_or_else(unknown);
        if link.parent_netns.is_none() {
            judge(self.socket.link_by_index(master)?)?;
            return self.netns.run(|| open(master, own))?;
        }
        judge(Socket::in_own()?.link_by_index(master)?)?;
        open(master, own)
    }
}

fn open(index: u32, own: [u8; 6]) -> Result<Asker, Failure> {
    Asker::open(index, own).map_err(|source| Failure::Io { what: "open a socket for ARP".to_owned(), source })
}

fn hardware(link: &Link) -> Result<[u8; 6], Failure> {
    let own = <[u8; 6]>::try_from(link.mac.as_bytes()).ok().filter(|_| link.ethernet && !link.loopback);
    own.ok_or_else(|| Failure::Failed(format!("interface {} is not an Ethernet link", link.name)))
}

impl Wire for OnLink<'_> {
    fn ask(&mut self, addresses: &[IpAddr], until: Instant) -> Result<Vec<Claim>, String> {
        let _step = trace::step("ask on the link");
        let asker = match self.asker.take() {
            Some(asker) => asker,
            None => self.begin().map_err(|e| e.to_string())?,
        };
        let claims = asker.ask(addresses, until).map_err(|e| format!("interface {}: {e}", self.name));
        self.asker = Some(asker);
        claims
    }
}

/// The link of another plugin's making, called `name` in the namespace at `path`.
pub struct OnForeignLink<'a> {
    path: &'a Path,
    name: &'a str,
}

impl<'a> OnForeignLink<'a> {
    /// Nothing is done before the first question.
    pub fn new(path: &'a Path, name: &'a str) -> Self {
        OnForeignLink { path, name }
    }

    fn open(&self) -> Result<(Netns, Socket), Failure> {
        let netns = Netns::open(self.path)?;
        if netns.is_own()? {
            return Err(Failure::OwnNetns(self.path.display().to_string()));
        }
        let socket = Socket::in_netns(&netns)?;
        Ok((netns, socket))
    }
}

impl Wire for OnForeignLink<'_> {
    fn ask(&mut self, addresses: &[IpAddr], until: Instant) -> Result<Vec<Claim>, String> {
        let (netns, mut socket) = self.open().map_err(|e| e.to_string())?;
        let mut link = OnLink::new(&netns, &mut socket, self.name);
        let claims = link.ask(addresses, until);
        link.end();
        claims
    }
}
