//! A blocking rtnetlink socket: requests with an acknowledgement, single answers, listings.

use super::error::Error;
use super::pruned::pruned;
use crate::sys::netns::Netns;
use crate::sys::sysctl::Settings;
use crate::sys::trace;
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The kernel fills at most this much of an answer at once (af_netlink.c: `netlink_dump`).
pub(super) const ANSWER_SIZE: usize = 32 * 1024;
/// How often an interrupted listing is started again before it is given up.
const LISTING_TRIES: u32 = 10;
/// The pause before the second try; each next one is twice as long.
const LISTING_PAUSE: Duration = Duration::from_millis(1);
/// `struct nlmsghdr`, with which an acknowledgement begins after its error number.
const HEADER_SIZE: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the kernel's sentence.
const ATTR_SENTENCE: u16 = 1;

/// A netlink socket bound to one network namespace, whichever thread uses it.
#[derive(Debug)]
pub struct Socket {
    socket: netlink_sys::Socket,
    pub(super) sequence: u32,
    answer: Vec<u8>,
    settings: Settings,
}

/// One message of an answer.
pub(super) type Message = NetlinkMessage<RouteNetlinkMessage>;

impl Socket {
    /// A socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn in_own() -> Result<Self, Error> {
        let failed = |source| Error::Socket { action: "open".to_owned(), source };
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(failed)?;
        // The acknowledgement carries the kernel's sentence (4.12), and our header only instead of all we sent (4.3).
        socket.set_ext_ack(true).map_err(failed)?;
        socket.set_cap_ack(true).map_err(failed)?;
        // Filters of listings are honoured or refused, never overlooked. Kernels before 4.20 overlook them, and list more.
        match socket.set_netlink_get_strict_chk(true) {
            Err(e) if e.raw_os_error() != Some(Errno::ENOPROTOOPT as i32) => return Err(failed(e)),
            _ => {}
        }
        let answer = Vec::with_capacity(ANSWER_SIZE);
        Ok(Socket { socket, sequence: 0, answer, settings: Settings::default() })
    }

    /// A socket in `netns`: it is opened by a thread inside and stays bound to the namespace.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn in_netns(netns: &Netns) -> Result<Self, Error> {
        netns.run(Socket::in_own)?
    }

    /// The settings of the socket's namespace.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a change and waits until the kernel has made it; `action` is for the error's text.
    pub(super) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: impl Fn() -> String,
    ) -> Result<(), Error> {
        let _step = trace::step_of(|| format!("netlink: {}", action()));
        self.send(message, flags | NLM_F_ACK, &action)?;
        loop {
            self.receive(&action)?;
            for message in self.messages() {
                let message = message.map_err(|what| Error::Unreadable { action: action(), what })?;
                if let NetlinkPayload::Error(error) = &message.payload {
                    return acknowledged(&message.header, error, &action);
                }
            }
        }
    }

    /// Asks for one object.
    pub(super) fn get<T>(
        &mut self,
        message: RouteNetlinkMessage,
        read: impl Fn(RouteNetlinkMessage) -> Option<T>,
        action: impl Fn() -> String,
    ) -> Result<T, Error> {
        let _step = trace::step_of(|| format!("netlink: {}", action()));
        self.send(message, 0, &action)?;
        loop {
            self.receive(&action)?;
            for message in self.messages() {
                let message = message.map_err(|what| Error::Unreadable { action: action(), what })?;
                match message.payload {
                    NetlinkPayload::Error(error) => acknowledged(&message.header, &error, &action)?,
                    NetlinkPayload::InnerMessage(inner) => {
                        let unexpected =
                            || Error::Unreadable { action: action(), what: "another kind of message".to_owned() };
                        return read(inner).ok_or_else(unexpected);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lists objects; `read` says which are wanted. A listing during which something changed may
    /// lack objects that were there all the time (NLM_F_DUMP_INTR), so it is started again.
    pub(super) fn list<T>(
        &mut self,
        message: RouteNetlinkMessage,
        read: impl Fn(RouteNetlinkMessage) -> Option<T>,
        action: impl Fn() -> String,
    ) -> Result<Vec<T>, Error> {
        for attempt in 0..LISTING_TRIES {
            if attempt > 0 {
                // On a busy node changes come in bursts.
                std::thread::sleep(LISTING_PAUSE * (1 << (attempt - 1)));
            }
            if let Some(found) = self.list_once(message.clone(), &read, &action)? {
                return Ok(found);
            }
        }
        Err(Error::Unsteady { action: action(), tries: LISTING_TRIES })
    }

    /// `None` when something changed meanwhile.
    fn list_once<T>(
        &mut self,
        message: RouteNetlinkMessage,
        read: &impl Fn(RouteNetlinkMessage) -> Option<T>,
        action: &impl Fn() -> String,
    ) -> Result<Option<Vec<T>>, Error> {
        let _step = trace::step_of(|| format!("netlink: {}", action()));
        self.send(message, NLM_F_DUMP, action)?;
        let (mut found, mut steady) = (Vec::new(), true);
        loop {
            self.receive(action)?;
            for message in self.messages() {
                let message = message.map_err(|what| Error::Unreadable { action: action(), what })?;
                steady &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(steady.then_some(found)),
                    NetlinkPayload::Done(done) => return Err(refused(done.code, None, action)),
                    NetlinkPayload::Error(error) => acknowledged(&message.header, &error, action)?,
                    NetlinkPayload::InnerMessage(inner) => found.extend(read(inner)),
                    _ => {}
                }
            }
        }
    }

    /// A request as bytes, for somebody else to send: its answer is nobody's.
    pub(super) fn encode(&self, message: RouteNetlinkMessage) -> Vec<u8> {
        encode(message, 0, 0)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16, action: &impl Fn() -> String) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send_bytes(&encode(message, flags, self.sequence), action)
    }

    pub(super) fn send_bytes(&self, bytes: &[u8], action: &impl Fn() -> String) -> Result<(), Error> {
        let sent = retry_interrupted(|| self.socket.send(bytes, 0));
        sent.map(drop).map_err(|source| Error::Socket { action: action(), source })
    }

    /// Receives one datagram into `answer`.
    pub(super) fn receive(&mut self, action: &impl Fn() -> String) -> Result<(), Error> {
        let (socket, answer) = (&self.socket, &mut self.answer);
        answer.clear();
        // With MSG_TRUNC the length is the datagram's, also where it did not fit.
        let received = retry_interrupted(|| socket.recv(answer, nix::libc::MSG_TRUNC));
        let size = received.map_err(|source| Error::Socket { action: action(), source })?;
        if size > answer.len() {
            return Err(Error::Unreadable { action: action(), what: format!("{size} bytes do not fit") });
        }
        Ok(())
    }

    /// All messages of the last datagram, whatever they answer.
    pub(super) fn received(&self) -> impl Iterator<Item = Result<Message, String>> {
        messages(&self.answer)
    }

    /// The messages of the last datagram that answer the last request: what is left of an earlier one is passed over.
    fn messages(&self) -> impl Iterator<Item = Result<Message, String>> {
        let answers = |message: &Result<Message, String>| match message {
            Ok(message) => message.header.sequence_number == self.sequence,
            Err(_) => true,
        };
        messages(&self.answer).filter(answers)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

pub(super) fn encode(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    header.sequence_number = sequence;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// The messages of a datagram.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, String>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = NetlinkBuffer::new_checked(rest).ok()?.length() as usize;
        let (this, after) = rest.split_at_checked(length)?;
        // Messages begin at multiples of four bytes (NLMSG_ALIGN).
        rest = after.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        Some(Message::deserialize(&pruned(this)).map_err(|e| e.to_string()))
    })
}

/// A signal is no failure.
pub(super) fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

pub(super) fn acknowledged(
    header: &NetlinkHeader,
    error: &ErrorMessage,
    action: &impl Fn() -> String,
) -> Result<(), Error> {
    match error.code {
        None => Ok(()),
        Some(code) => {
            let tlvs = error.header.get(HEADER_SIZE..).filter(|_| header.flags & NLM_F_ACK_TLVS != 0);
            Err(refused(code.get(), tlvs.and_then(sentence), action))
        }
    }
}

fn refused(code: i32, sentence: Option<String>, action: &impl Fn() -> String) -> Error {
    Error::Refused { action: action(), errno: Errno::from_raw(-code), sentence }
}

/// The kernel's sentence among the attributes of an acknowledgement.
fn sentence(tlvs: &[u8]) -> Option<String> {
    let attribute = NlasIterator::new(tlvs).filter_map(Result::ok).find(|nla| nla.kind() == ATTR_SENTENCE)?;
    let text = String::from_utf8_lossy(attribute.value());
    Some(text.trim_end_matches(['\0', '.', ' ']).to_owned()).filter(|text| !text.is_empty())
}
