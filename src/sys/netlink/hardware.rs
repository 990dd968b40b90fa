//! The hardware address of a link, without a question to rtnetlink.

use super::error::Error;
use super::mac::Mac;
use super::socket::Socket;
use nix::errno::Errno;
use nix::libc;
use std::os::fd::AsRawFd;

/// Bytes of an Ethernet address.
const ETHERNET: usize = 6;

impl Socket {
    /// The hardware address of the link called `name`; `None` where there is no link.
    ///
    /// By netdevice(7): it takes no lock, while a question to rtnetlink waits for whatever other pods change, and
    /// makes the kernel write down all that it knows of the link.
    ///
    /// # Errors
    /// The kernel refuses the question.
    pub fn mac_of(&mut self, name: &str) -> Result<Option<Mac>, Error> {
        // SAFETY: all of it are numbers, and zero is one.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The last byte stays zero.
        let room = request.ifr_name.len() - 1;
        if name.len() > room {
            return Ok(self.link_by_name(name)?.map(|link| link.mac));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        // SAFETY: the kernel reads and writes the structure, and no more.
        let asked = unsafe { libc::ioctl(self.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) };
        match Errno::result(asked) {
            Ok(_) => {}
            Err(Errno::ENODEV) => return Ok(None),
            Err(e) => return Err(Error::Socket { action: format!("look up link {name}"), source: e.into() }),
        }
        // SAFETY: this is the member of the union that the kernel writes for this question.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        // It does not say how long the address of another kind is.
        if address.sa_family != libc::ARPHRD_ETHER {
            return Ok(self.link_by_name(name)?.map(|link| link.mac));
        }
        let bytes = address.sa_data.map(|byte| byte as u8);
        Ok(Some(Mac::new(&bytes[..ETHERNET])))
    }
}
