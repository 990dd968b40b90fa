//! Finding out before the first side effect what ADD could not do.

use super::failure::Failure;
use crate::sys::netlink::{Error, Link, LinkName, Socket};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// Where the attachment will be made, to be looked at only.
///
/// Without sockets the attachment is judged somewhere else than on its node: by its configuration alone.
pub struct Ground<'a> {
    /// The plugin is the first of its network: nobody hands it a result.
    pub is_first: bool,
    /// The node; none elsewhere.
    pub host: Option<&'a mut Socket>,
    /// The sandbox; none elsewhere.
    pub inside: Option<&'a mut Socket>,
    /// Links of the node that were looked at already.
    pub seen: &'a mut SeenLinks,
    /// Whether a network that is attached before makes the link of that name.
    pub is_made_before: &'a dyn Fn(&str) -> bool,
}

/// Links of the node, or their absence, and the kinds of links that its kernel makes, as one call has seen them before
/// its first side effect.
#[derive(Debug, Default)]
pub struct SeenLinks {
    links: BTreeMap<String, Option<Link>>,
    kinds: BTreeMap<String, bool>,
}

impl SeenLinks {
    /// Looks at the links called `names`, and asks for links of `kinds` that sit on another one, all at once. What
    /// cannot be answered now is asked again by whoever needs it.
    pub fn look(host: &mut Socket, names: &BTreeSet<String>, kinds: &BTreeSet<String>) -> Self {
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| LinkName::new(name).is_ok()).collect();
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let Ok((links, made)) = host.links_and_kinds(&names, &kinds) else { return SeenLinks::default() };
        SeenLinks {
            links: names.into_iter().map(str::to_owned).zip(links).collect(),
            kinds: kinds.into_iter().map(str::to_owned).zip(made).collect(),
        }
    }

    /// The link `name`, where it was looked at and is there.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.get(name).and_then(Option::as_ref)
    }
}

impl Ground<'_> {
    /// The link `name` of the node; none where there is none, and elsewhere. The node is asked once.
    ///
    /// # Errors
    /// The kernel refuses the question, or `name` can be no name.
    pub fn host_link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        if let Some(seen) = self.seen.links.get(name) {
            return Ok(seen.clone());
        }
        let Some(host) = self.host.as_deref_mut() else { return Ok(None) };
        let link = host.link_by_name(name)?;
        self.seen.links.insert(name.to_owned(), link.clone());
        Ok(link)
    }

    /// Whether the node's kernel can make links of `kind`, which sit on another link.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub fn makes_links_on_others(&mut self, kind: &str) -> Result<bool, Error> {
        match (self.seen.kinds.get(kind), self.host.as_deref_mut()) {
            (Some(made), _) => Ok(*made),
            (None, Some(host)) => host.makes_links_on_others(kind),
            (None, None) => Ok(true),
        }
    }
}

/// The subnets in which a gateway will be reached over the interface; none where that is not known before ADD.
pub type Reached = Option<Vec<IpNet>>;

/// What a delegate reads from its configuration: once, by whichever of its verbs comes first.
///
/// A delegate is made for one plugin of one network and is asked with one configuration (and `prevResult`, which
/// settings do not depend on).
#[derive(Debug)]
pub struct Once<T>(OnceLock<T>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once(OnceLock::new())
    }
}

impl<T> Once<T> {
    /// What was read, or what `read` reads now.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn get(&self, read: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
        match self.0.get() {
            Some(known) => Ok(known),
            None => {
                let value = read()?;
                Ok(self.0.get_or_init(|| value))
            }
        }
    }
}
