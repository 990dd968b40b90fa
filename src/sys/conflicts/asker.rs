//! Questions on one link, before it has an address.

use super::packet::{
    ADVERTISEMENT, ALL_NODES, BROADCAST, Claim, Hardware, SOLICITATION, arp_probe, group_of, read_arp, read_v6,
    solicitation,
};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often is asked.
const QUESTIONS: u32 = 3;
/// For how long is listened after each question: on a local network answers take a few milliseconds.
const WAIT: Duration = Duration::from_millis(100);
/// How long all questions take where nobody answers.
pub const LONGEST: Duration = Duration::from_millis(300);
/// So many claims are kept: who sends more wants to do harm.
const MOST: usize = 16;
/// Longer packets are none that are read.
const PACKET: usize = 512;

/// A link on which is asked who has an address. What has the link's own address of Ethernet is passed over: it is an echo
/// of our own question, or what a switch remembers of this link.
#[derive(Debug)]
pub struct Asker {
    index: libc::c_int,
    own: Hardware,
    /// The packets that come, by family.
    arp: OwnedFd,
    v6: OwnedFd,
}

impl Asker {
    /// For the link numbered `index` of the calling thread's namespace, whose address of Ethernet is `own`. It has to be
    /// switched on.
    ///
    /// # Errors
    /// There is no such link, or the kernel gives no such sockets.
    pub fn open(index: u32, own: [u8; 6]) -> io::Result<Self> {
        let index = libc::c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
        let arp = listen(index, libc::ETH_P_ARP, None)?;
        let v6 = listen(index, libc::ETH_P_IPV6, Some(&mut only_neighbours()))?;
        Ok(Asker { index, own, arp, v6 })
    }

    /// Asks who has one of `addresses`, and answers who claims which. It ends at `until`, after [`LONGEST`], or when each
    /// address is claimed.
    ///
    /// # Errors
    /// The kernel sends nothing: the link was switched off.
    pub fn ask(&self, addresses: &[IpAddr], until: Instant) -> io::Result<Vec<Claim>> {
        for address in addresses {
            if let IpAddr::V6(address) = address {
                // Without them the card may keep back answers, and questions of others.
                self.join(ALL_NODES)?;
                self.join(group_of(*address).0)?;
            }
        }
        let (began, mut claims) = (Instant::now(), Vec::new());
        let open = |claims: &[Claim]| {
            let is_open = |address: &IpAddr| !claims.iter().any(|claim| claim.address == *address);
            addresses.iter().copied().filter(is_open).collect::<Vec<_>>()
        };
        for question in 1..=QUESTIONS {
            open(&claims).into_iter().try_for_each(|address| self.send(address))?;
            let next = (began + WAIT * question).min(until);
            while !open(&claims).is_empty() && self.wait(next)? {
                self.receive(addresses, &mut claims)?;
            }
        }
        Ok(claims)
    }

    fn join(&self, group: Hardware) -> io::Result<()> {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&group);
        let kind = libc::PACKET_MR_MULTICAST as libc::c_ushort;
        let request = libc::packet_mreq { mr_ifindex: self.index, mr_type: kind, mr_alen: 6, mr_address: address };
        set(&self.v6, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    fn send(&self, address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => self.send_to(&self.arp, libc::ETH_P_ARP, BROADCAST, &arp_probe(self.own, address)),
            IpAddr::V6(address) => {
                self.send_to(&self.v6, libc::ETH_P_IPV6, group_of(address).0, &solicitation(address))
            }
        }
    }

    fn send_to(&self, socket: &OwnedFd, protocol: libc::c_int, to: Hardware, packet: &[u8]) -> io::Result<()> {
        let place = place(self.index, protocol, to);
        loop {
            // SAFETY: both pointers are to what lives until it returns, with their lengths.
            let sent = unsafe {
                let (bytes, place) = (packet.as_ptr().cast(), (&raw const place).cast());
                libc::sendto(socket.as_raw_fd(), bytes, packet.len(), libc::MSG_DONTWAIT, place, PLACE)
            };
            match Errno::result(sent) {
                Err(Errno::EINTR) => {}
                // A full queue loses one question of several.
                Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Waits until a packet is there, or `until` has come: which of both.
    fn wait(&self, until: Instant) -> io::Result<bool> {
        loop {
            // A flood of packets has no end.
            let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
                return Ok(false);
            };
            // Rounded up: else the last part of a millisecond would be spent in a loop.
            let rest = PollTimeout::try_from(rest + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
            let mut both = [&self.arp, &self.v6].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            match poll(&mut both, rest) {
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
                Ok(count) => return Ok(count > 0),
            }
        }
    }

    /// Adds to `claims` what packets that are there claim of `addresses`.
    fn receive(&self, addresses: &[IpAddr], claims: &mut Vec<Claim>) -> io::Result<()> {
        for (socket, is_arp) in [(&self.arp, true), (&self.v6, false)] {
            let Some((packet, from)) = receive_from(socket)? else { continue };
            let claim = if is_arp { read_arp(&packet) } else { read_v6(&packet, from) };
            let is_of_others = |claim: &Claim| claim.mac.as_bytes() != self.own && from != self.own;
            let is_new = |claim: &Claim| addresses.contains(&claim.address) && !claims.contains(claim);
            if let Some(claim) = claim.filter(|claim| is_of_others(claim) && is_new(claim) && claims.len() < MOST) {
                claims.push(claim);
            }
        }
        Ok(())
    }
}

/// Length of a place.
const PLACE: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// Where packets go to or come from: of the link, without its header.
fn place(index: libc::c_int, protocol: libc::c_int, to: Hardware) -> libc::sockaddr_ll {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&to);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (protocol as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    }
}

/// A socket that gets the packets of `protocol` on the link numbered `index` which pass `filter`: nothing before that.
fn listen(index: libc::c_int, protocol: libc::c_int, filter: Option<&mut [libc::sock_filter]>) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(steps) = filter {
        let program = libc::sock_fprog { len: steps.len() as libc::c_ushort, filter: steps.as_mut_ptr() };
        set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    }
    let place = place(index, protocol, [0; 6]);
    // SAFETY: the kernel reads the structure, whose length it is told.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const place).cast(), PLACE) };
    Errno::result(bound)?;
    Ok(socket)
}

/// Passes ICMPv6 packets of the two types that are read: a link of the node may have much other traffic.
fn only_neighbours() -> [libc::sock_filter; 7] {
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANSWER: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        step(LOAD_BYTE, 6, 0, 0),
        step(IS, 58, 0, 4),
        step(LOAD_BYTE, 40, 0, 0),
        step(IS, u32::from(SOLICITATION), 1, 0),
        step(IS, u32::from(ADVERTISEMENT), 0, 1),
        step(ANSWER, PACKET as u32, 0, 0),
        step(ANSWER, 0, 0, 0),
    ]
}

/// The next packet and who sent it; none where there is none.
fn receive_from(socket: &OwnedFd) -> io::Result<Option<(Vec<u8>, Hardware)>> {
    let mut packet = vec![0; PACKET];
    let mut from = place(0, 0, [0; 6]);
    let mut length = PLACE;
    // SAFETY: the kernel writes at most so many bytes of the packet and of the structure.
    let received = unsafe {
        let (bytes, from) = (packet.as_mut_ptr().cast(), (&raw mut from).cast());
        libc::recvfrom(socket.as_raw_fd(), bytes, packet.len(), libc::MSG_DONTWAIT, from, &raw mut length)
    };
    match Errno::result(received) {
        Ok(size) => {
            packet.truncate(usize::try_from(size).unwrap_or(0));
            let mut hardware = [0; 6];
            hardware.copy_from_slice(&from.sll_addr[..6]);
            Ok(Some((packet, hardware)))
        }
        Err(Errno::EAGAIN) => Ok(None),
        Err(Errno::EINTR) => Ok(Some((Vec::new(), [0; 6]))),
        Err(e) => Err(e.into()),
    }
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads a structure that lives until it returns, whose length it is told.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}
