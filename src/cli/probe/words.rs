//! What a probe is asked, and what it answers: the words between `plexusctl connectivity test` and its pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The TCP port of probes.
pub const PORT: u16 = 9473;

/// What a probe measures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The other ends.
    pub targets: Vec<Target>,
}

/// Another probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name, which it answers with.
    pub name: String,
    /// One of its addresses.
    pub address: IpAddr,
}

/// A line that a probe prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "line")]
pub enum Line {
    /// It answers others.
    Ready {
        /// MTU of its interface.
        mtu: usize,
    },
    /// One target was measured.
    Result(Measured),
    /// All targets were.
    Done,
}

/// What was measured of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Which one, from 0.
    pub target: usize,
    /// Small echo requests.
    pub ping: Ping,
    /// A TCP connection.
    pub tcp: Tcp,
    /// The largest packet.
    pub packet: Packet,
}

/// Small echo requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Requests.
    pub sent: u32,
    /// Answers.
    pub received: u32,
    /// The shortest time to an answer; null where there was none.
    pub milliseconds: Option<f64>,
    /// Why there was none; null where there was one.
    pub problem: Option<String>,
}

/// A TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tcp {
    /// The time until it was there; null where it failed.
    pub milliseconds: Option<f64>,
    /// Why it failed, or what is wrong with the answer; null where nothing is.
    pub problem: Option<String>,
}

/// The largest packet that is answered without being fragmented. Sizes are of whole IP packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Packet {
    /// MTU of the interface.
    pub expected: usize,
    /// What was answered; null where nothing was.
    pub largest: Option<usize>,
}

/// The problem of a connection where nothing listens.
pub const REFUSED: &str = "the connection is refused";
/// The problem of an answer that is not a probe's.
pub const STRANGER: &str = "another program answers there";
/// The end of the problem where another probe answered, after its name.
pub const OTHER_PROBE: &str = " answers there";

impl Measured {
    /// Why it was not the target that answered to ping; none where it was, or where nobody answered. Each probe listens, so
    /// a machine that refuses the connection is another one with that address.
    pub fn stranger(&self) -> Option<&str> {
        let why = self.tcp.problem.as_deref().filter(|_| self.ping.problem.is_none())?;
        (why == REFUSED || why.ends_with(OTHER_PROBE)).then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::json;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let measured = Measured {
            target: 3,
            ping: Ping { sent: 3, received: 1, milliseconds: Some(0.25), problem: None },
            tcp: Tcp { milliseconds: None, problem: Some("refused".into()) },
            packet: Packet { expected: 1500, largest: Some(1400) },
        };
        for line in [Line::Ready { mtu: 1500 }, Line::Result(measured), Line::Done] {
            let text = serde_json::to_string(&line).unwrap();
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(json::parse::<Line>(&text).unwrap(), line, "{text}");
        }
    }
}
