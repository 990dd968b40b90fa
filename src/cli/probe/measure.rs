//! The measurements of one target.

use super::packet::largest;
use super::serve::{BULK, GREETING};
use super::words::{Measured, OTHER_PROBE, Packet, Ping, REFUSED, STRANGER, Target, Tcp};
use crate::sys::netlink::{Error, Link, SCOPE_UNIVERSE, Socket};
use crate::sys::reach::{self, Echo};
use nix::errno::Errno;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

/// So many small echo requests are sent.
const PINGS: u32 = 3;
/// A small packet: with 56 bytes of data, as ping(8) sends them.
const SMALL: [usize; 2] = [84, 104];
/// How often each size of a packet is sent.
const TRIES: u16 = 2;

/// From where it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The interface.
    pub link: &'a Link,
    /// The port of all probes.
    pub port: u16,
    /// How long an answer may take.
    pub patience: Duration,
}

/// Measures `target`, which is the one numbered `number`.
pub fn measure(number: usize, target: &Target, from: &Origin<'_>) -> Measured {
    let (ping, largest, tcp) = match way(target.address, from) {
        Ok(()) => {
            let (ping, largest) = echo(target, from);
            (ping, largest, tcp(target, from))
        }
        Err(why) => {
            let ping = Ping { problem: Some(why.clone()), ..Ping::default() };
            (ping, None, Tcp { milliseconds: None, problem: Some(why) })
        }
    };
    Measured { target: number, ping, tcp, packet: Packet { expected: from.link.mtu as usize, largest } }
}

/// Whether packets to `peer` leave by the interface. A socket that is bound to one would take everything for a neighbour
/// where no route is.
fn way(peer: IpAddr, from: &Origin<'_>) -> Result<(), String> {
    let ask = |socket: &mut Socket| -> Result<Result<(), String>, Error> {
        let name = &from.link.name;
        let own = socket.addresses_of_family(from.link.index, peer.is_ipv4())?;
        let Some(source) = own.iter().find(|address| address.scope == SCOPE_UNIVERSE) else {
            return Ok(Err(format!("{name} has no address of its family")));
        };
        Ok(match socket.link_to(peer, source.net.addr()) {
            Ok(index) if index == Some(from.link.index) => Ok(()),
            Ok(index) => {
                let other = index.map(|index| socket.link_by_index(index)).transpose()?.flatten();
                let other = other.map_or_else(|| "another interface".to_owned(), |link| link.name);
                Err(format!("the route to it leads over {other}, and not over {name}"))
            }
            Err(e) if e.is(Errno::ENETUNREACH) || e.is(Errno::EHOSTUNREACH) => {
                Err("there is no route to it".to_owned())
            }
            Err(e) => return Err(e),
        })
    };
    Socket::in_own().and_then(|mut socket| ask(&mut socket)).map_err(|e| e.to_string())?
}

/// Small requests; then, where one was answered, the largest that is.
fn echo(target: &Target, from: &Origin<'_>) -> (Ping, Option<usize>) {
    let failed = |e: &io::Error| Ping { sent: 0, received: 0, milliseconds: None, problem: Some(reason(e, from)) };
    let mut echo = match Echo::open(&from.link.name, target.address) {
        Ok(echo) => Numbered { echo, next: 0 },
        Err(e) => return (failed(&e), None),
    };
    let small = SMALL[usize::from(target.address.is_ipv6())];
    let (mut received, mut shortest) = (0, None::<Duration>);
    for _ in 0..PINGS {
        let begun = Instant::now();
        match echo.pass(&[small], 1, from.patience) {
            Ok(Some(_)) => {
                received += 1;
                shortest = Some(shortest.map_or(begun.elapsed(), |shortest| shortest.min(begun.elapsed())));
            }
            Ok(None) => {}
            Err(e) => return (failed(&e), None),
        }
    }
    let problem = (received == 0).then(|| silence(from));
    let ping = Ping { sent: PINGS, received, milliseconds: shortest.map(milliseconds), problem };
    if received == 0 {
        return (ping, None);
    }
    // What small packets need is known: large ones are waited for a little longer.
    let pause = (shortest.unwrap_or_default() * 4 + Duration::from_millis(300)).min(from.patience);
    let largest = largest(small, from.link.mtu as usize, |sizes| echo.pass(sizes, TRIES, pause).ok().flatten());
    (ping, Some(largest))
}

/// Echo requests of which each has another number.
struct Numbered {
    echo: Echo,
    next: u16,
}

impl Numbered {
    /// Sends packets of `sizes`, each so often, and waits up to `pause` after the last answer: the largest that was
    /// answered.
    fn pass(&mut self, sizes: &[usize], tries: u16, pause: Duration) -> io::Result<Option<usize>> {
        let mut sent = Vec::new();
        for size in sizes.iter().flat_map(|size| std::iter::repeat_n(*size, tries.into())) {
            self.next = self.next.wrapping_add(1);
            if self.echo.send(self.next, size)? {
                sent.push((self.next, size));
            }
        }
        let mut passed = None;
        let mut until = Instant::now() + pause;
        while !sent.is_empty() {
            let Some((number, length)) = self.echo.receive(until)? else { break };
            // One that comes late is of an earlier try; a shorter answer is none.
            let Some(at) = sent.iter().position(|(sent, size)| *sent == number && *size == length) else { continue };
            let (_, size) = sent.swap_remove(at);
            passed = passed.max(Some(size));
            until = Instant::now() + pause;
            if Some(&size) == sizes.last() {
                break;
            }
        }
        Ok(passed)
    }
}

fn tcp(target: &Target, from: &Origin<'_>) -> Tcp {
    let begun = Instant::now();
    let stream = match reach::connect(&from.link.name, target.address, from.port, from.patience) {
        Ok(stream) => stream,
        Err(e) => return Tcp { milliseconds: None, problem: Some(reason(&e, from)) },
    };
    let took = Some(milliseconds(begun.elapsed()));
    let problem = match talk(stream, from.patience) {
        Ok((name, _)) if name.is_empty() => Some(STRANGER.to_owned()),
        Ok((name, _)) if name != target.name => Some(format!("{name}{OTHER_PROBE}")),
        Ok((_, BULK..)) => None,
        Ok((_, bytes)) => Some(format!("the connection stops after {bytes} bytes of data: large packets are lost")),
        Err(e) => Some(format!("connected, and no data comes: {}", reason(&e, from))),
    };
    Tcp { milliseconds: took.filter(|_| problem.is_none()), problem }
}

/// The name that is answered, and how much data comes after it.
fn talk(mut stream: TcpStream, patience: Duration) -> io::Result<(String, usize)> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(format!("{GREETING}\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    // A longer answer is not that of a probe.
    while answer.len() <= 2 * BULK {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(e) if answer.is_empty() => return Err(e),
            Err(_) => break,
        }
    }
    let line = answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len());
    let text = String::from_utf8_lossy(&answer[..line]);
    let name = text.strip_prefix(GREETING).unwrap_or_default().trim().to_owned();
    Ok((name, answer.len().saturating_sub(line + 1)))
}

/// `time` in milliseconds, with three digits after the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn silence(from: &Origin<'_>) -> String {
    format!("no answer within {} s", from.patience.as_secs_f64())
}

/// Why it failed, in a person's words.
fn reason(error: &io::Error, from: &Origin<'_>) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => silence(from),
        io::ErrorKind::PermissionDenied => {
            "the pod may not send echo requests: net.ipv4.ping_group_range does not contain its group".to_owned()
        }
        io::ErrorKind::ConnectionRefused => REFUSED.to_owned(),
        io::ErrorKind::HostUnreachable => "no machine has that address".to_owned(),
        _ => error.to_string(),
    }
}
