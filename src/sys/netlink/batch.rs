//! Several requests in one system call, each with an answer of its own.
//!
//! The kernel carries the requests of a datagram out one after the other before `send` returns, also those behind one
//! that it refuses (af_netlink.c: `netlink_rcv_skb`). It always answers a refusal and a question. So only the last
//! request asks for an acknowledgement: that one comes behind the answers to all others.

use super::error::Error;
use super::listed_link::{Link, read_link};
use super::socket::{Socket, acknowledged, encode};
use crate::sys::trace;
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

/// Requests that are to be sent together.
#[derive(Default)]
pub struct Batch<'a> {
    requests: Vec<Queued<'a>>,
}

struct Queued<'a> {
    message: RouteNetlinkMessage,
    flags: u16,
    /// It asks for one object, which is its answer.
    is_question: bool,
    action: Box<dyn Fn() -> String + 'a>,
}

/// What became of one request of a batch.
#[derive(Debug)]
pub struct Answer(Result<Option<Link>, Error>);

impl Answer {
    /// Whether the change was made.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn done(self) -> Result<(), Error> {
        self.0.map(drop)
    }

    /// The link that was asked for; `None` where there is none.
    ///
    /// # Errors
    /// The kernel refused the question.
    pub fn link(self) -> Result<Option<Link>, Error> {
        match self.0 {
            Err(e) if e.is(Errno::ENODEV) => Ok(None),
            link => link,
        }
    }
}

impl<'a> Batch<'a> {
    /// Appends a change.
    pub(super) fn push(&mut self, message: RouteNetlinkMessage, flags: u16, action: impl Fn() -> String + 'a) {
        self.requests.push(Queued { message, flags, is_question: false, action: Box::new(action) });
    }

    /// Appends a question for one link.
    pub(super) fn ask(&mut self, message: RouteNetlinkMessage, action: impl Fn() -> String + 'a) {
        self.requests.push(Queued { message, flags: 0, is_question: true, action: Box::new(action) });
    }
}

impl Socket {
    /// Sends `batch`, and answers in its order.
    ///
    /// # Errors
    /// The socket failed, or an answer cannot be read: then what was made is not known. What the kernel refuses is in
    /// the answers.
    pub fn send_batch(&mut self, batch: Batch<'_>) -> Result<Vec<Answer>, Error> {
        let count = batch.requests.len();
        let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
        let first = self.sequence.wrapping_add(1);
        let (mut bytes, mut open, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        for (number, Queued { message, flags, is_question, action }) in batch.requests.into_iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let acknowledge = if number == last && !is_question { NLM_F_ACK } else { 0 };
            bytes.extend(encode(message, flags | acknowledge, self.sequence));
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            open.push(if is_question { None } else { Some(Ok(None)) });
            actions.push(action);
        }
        let _step = trace::step_of(|| {
            let actions: Vec<String> = actions.iter().map(|action| action()).collect();
            format!("netlink: {}", actions.join(", "))
        });
        self.send_bytes(&bytes, &actions[0])?;
        let mut is_over = false;
        while !is_over {
            self.receive(&actions[last])?;
            for message in self.received() {
                let message = message.map_err(|what| Error::Unreadable { action: actions[last](), what })?;
                let number = message.header.sequence_number.wrapping_sub(first) as usize;
                // What is left of an earlier question is passed over.
                let Some(answer) = open.get_mut(number) else { continue };
                match message.payload {
                    NetlinkPayload::Error(error) => {
                        *answer = Some(acknowledged(&message.header, &error, &actions[number]).map(|()| None));
                    }
                    NetlinkPayload::InnerMessage(inner) => *answer = Some(Ok(read_link(inner))),
                    _ => continue,
                }
                is_over |= number == last;
            }
        }
        let unanswered =
            |number: usize| Err(Error::Unreadable { action: actions[number](), what: "there is no answer".to_owned() });
        let answers = open.into_iter().enumerate();
        Ok(answers.map(|(number, answer)| Answer(answer.unwrap_or_else(|| unanswered(number)))).collect())
    }
}
