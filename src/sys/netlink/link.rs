//! Links: looking them up, changing them, deleting them.

use super::batch::{Answer, Batch};
use super::error::{Error, accept};
use super::listed_link::{Link, read_link};
use super::mac::Mac;
use super::name;
use super::new_link::{has_module, is_made};
use super::socket::Socket;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What is to become of a link. Only what is `Some` is touched, all in one message.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Another name; the link must be down (kernel before 6.2).
    pub name: Option<&'a str>,
    /// Switch it on or off: the last thing the kernel does of these.
    pub up: Option<bool>,
    /// Ask for promiscuous mode, or no longer.
    pub promiscuous: Option<bool>,
    /// Another hardware address.
    pub mac: Option<&'a Mac>,
    /// Another MTU.
    pub mtu: Option<u32>,
    /// Another bridge, bond or VRF; `Some(None)` takes it out.
    pub master: Option<Option<u32>>,
    /// Another group.
    pub group: Option<u32>,
    /// Another namespace: the first thing the kernel does of these.
    pub netns: Option<BorrowedFd<'a>>,
}

impl fmt::Display for Change<'_> {
    /// What it is to have, with the values that the kernel may refuse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.netns.map(|_| "another namespace".to_owned()),
            self.name.map(|name| format!("name {name}")),
            self.mac.map(|mac| format!("MAC {mac}")),
            self.mtu.map(|mtu| format!("MTU {mtu}")),
            self.group.map(|group| format!("group {group}")),
            self.master.map(|master| master.map_or("no master".to_owned(), |master| format!("master link {master}"))),
            self.promiscuous.map(|on| format!("promiscuous mode {}", if on { "on" } else { "off" })),
            self.up.map(|up| if up { "up".to_owned() } else { "down".to_owned() }),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Socket {
    /// Every link of the namespace.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.list(RouteNetlinkMessage::GetLink(query()), read_link, || "list links".to_owned())
    }

    /// The link called `name`, also as an alternative name; `None` where there is none.
    ///
    /// # Errors
    /// The kernel refuses the question, or `name` can be no name.
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>, Error> {
        existing(self.get(question_for(name)?, read_link, || format!("look up link {name}")))
    }

    /// The link numbered `index`; `None` where there is none.
    ///
    /// # Errors
    /// The kernel refuses the question.
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>, Error> {
        let mut message = query();
        message.header.index = index;
        existing(self.get(RouteNetlinkMessage::GetLink(message), read_link, || format!("look up link {index}")))
    }

    /// As [`Socket::link_by_name`] for each of `names`, and as [`Socket::makes_links_on_others`] for each of `kinds`, in
    /// their order.
    ///
    /// # Errors
    /// The first one's.
    pub fn links_and_kinds(&mut self, names: &[&str], kinds: &[&str]) -> Result<(Vec<Option<Link>>, Vec<bool>), Error> {
        let mut batch = Batch::default();
        names.iter().try_for_each(|name| batch.link_by_name(name))?;
        let unknown: Vec<&str> = kinds.iter().copied().filter(|kind| !has_module(kind)).collect();
        unknown.iter().for_each(|kind| batch.link_of_kind(kind));
        let mut answers = self.send_batch(batch)?;
        let made = answers.split_off(names.len()).into_iter().map(|answer| is_made(answer.done()));
        let made: BTreeMap<&str, bool> =
            unknown.into_iter().zip(made).map(|(kind, made)| Ok((kind, made?))).collect::<Result<_, Error>>()?;
        let links = answers.into_iter().map(Answer::link).collect::<Result<_, Error>>()?;
        Ok((links, kinds.iter().map(|kind| made.get(kind).copied().unwrap_or(true)).collect()))
    }

    /// Makes `change` to the link numbered `index`.
    ///
    /// # Errors
    /// The kernel refuses; parts of the change may have been made.
    pub fn change_link(&mut self, index: u32, change: &Change<'_>) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        for (wanted, flag) in [(change.up, LinkFlags::Up), (change.promiscuous, LinkFlags::Promisc)] {
            let Some(on) = wanted else { continue };
            message.header.change_mask |= flag;
            message.header.flags.set(flag, on);
        }
        message.attributes.extend(change.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.as_bytes().to_vec())));
        message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        let action = || format!("change link {index} ({change})");
        let name = change.name.map(name::own).transpose();
        message.attributes.extend(name.map_err(|why| Error::Name { action: action(), why })?);
        message.attributes.extend(change.group.map(LinkAttribute::Group));
        // Master 0 is none (rtnetlink.c: do_set_master).
        message.attributes.extend(change.master.map(|master| LinkAttribute::Controller(master.unwrap_or(0))));
        self.request(RouteNetlinkMessage::SetLink(message), 0, action)
    }

    /// Deletes the link numbered `index`; one that is gone is deleted.
    ///
    /// # Errors
    /// The kernel refuses: hardware cannot be deleted.
    pub fn delete_link(&mut self, index: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let done = self.request(RouteNetlinkMessage::DelLink(message), 0, || format!("delete link {index}"));
        accept(done, &[Errno::ENODEV])
    }

    /// Deletes the link called `name`; one that is gone is deleted.
    ///
    /// # Errors
    /// As [`Socket::delete_link`].
    pub fn delete_link_by_name(&mut self, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        let own = name::own(name).map_err(|why| Error::Name { action: "delete a link".to_owned(), why })?;
        message.attributes.push(own);
        let done = self.request(RouteNetlinkMessage::DelLink(message), 0, || format!("delete link {name}"));
        accept(done, &[Errno::ENODEV])
    }

    /// Deletes every link of `group` at once, which costs one grace period of the kernel instead of
    /// one each. Group 0 is that of every link and is refused.
    ///
    /// # Errors
    /// One of them cannot be deleted: then none is (rtnetlink.c: `rtnl_group_dellink`).
    pub fn delete_links_of_group(&mut self, group: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        let done =
            self.request(RouteNetlinkMessage::DelLink(message), 0, || format!("delete the links of group {group}"));
        accept(done, &[Errno::ENODEV])
    }
}

impl Batch<'_> {
    /// As [`Socket::link_by_name`]: asks when it is its turn.
    ///
    /// # Errors
    /// `name` can be no name.
    pub fn link_by_name(&mut self, name: &str) -> Result<(), Error> {
        let (question, name) = (question_for(name)?, name.to_owned());
        self.ask(question, move || format!("look up link {name}"));
        Ok(())
    }

    /// As [`Socket::link_by_index`]: asks when it is its turn.
    pub fn link_by_index(&mut self, index: u32) {
        let mut message = query();
        message.header.index = index;
        self.ask(RouteNetlinkMessage::GetLink(message), move || format!("look up link {index}"));
    }

    /// Puts the link numbered `index` into `group`.
    pub(super) fn set_group(&mut self, index: u32, group: u32) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Group(group));
        self.push(RouteNetlinkMessage::SetLink(message), 0, move || format!("change link {index} (group {group})"));
    }

    /// Switches the link numbered `index` on.
    pub fn set_up(&mut self, index: u32) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask |= LinkFlags::Up;
        message.header.flags |= LinkFlags::Up;
        let change = Change { up: Some(true), ..Change::default() };
        self.push(RouteNetlinkMessage::SetLink(message), 0, move || format!("change link {index} ({change})"));
    }
}

fn question_for(name: &str) -> Result<RouteNetlinkMessage, Error> {
    let mut message = query();
    let which = name::which(name).map_err(|why| Error::Name { action: "look up a link".to_owned(), why })?;
    message.attributes.push(which);
    Ok(RouteNetlinkMessage::GetLink(message))
}

/// A question for links: without statistics, which are most of an answer and of its cost.
fn query() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

fn existing(answer: Result<Link, Error>) -> Result<Option<Link>, Error> {
    match answer {
        Ok(link) => Ok(Some(link)),
        Err(e) if e.is(Errno::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}
