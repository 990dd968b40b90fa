//! Finding out before the first side effect what ADD could not do.

use super::failure::Failure;
use crate::sys::netlink::Socket;
use ipnet::IpNet;
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
    /// Whether a network that is attached before makes the link of that name.
    pub is_made_before: &'a dyn Fn(&str) -> bool,
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
