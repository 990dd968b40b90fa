//! Who had an address when: lines of words, which the plugin appends under the lock of the pool.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was taken.
    Taken,
    /// Its container gave it back.
    Released,
    /// It was given back because its container was gone.
    Lost,
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds of Unix time.
    pub at: u64,
    /// What.
    pub what: What,
    /// The address.
    pub address: IpAddr,
    /// For whom it is or was taken.
    pub owner: Owner,
}

/// For whom an address is taken. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The container.
    pub container: String,
    /// Its interface.
    pub ifname: String,
    /// The network.
    pub network: String,
    /// Namespace and name of the pod.
    pub pod: String,
    /// The UID of the pod.
    pub uid: String,
}

impl Owner {
    /// As the file of the address has it. Releases before the history read the first three lines.
    pub fn to_text(&self) -> String {
        let Owner { container, ifname, network, pod, uid } = self;
        let own = format!("{container}\r\n{ifname}\r\n{network}");
        if pod.is_empty() { own } else { format!("{own}\r\n{pod}\r\n{uid}") }
    }

    /// Reads the file of an address.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.trim().to_owned());
        let mut next = || lines.next().unwrap_or_default();
        Owner { container: next(), ifname: next(), network: next(), pod: next(), uid: next() }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Taken => "taken",
            What::Released => "released",
            What::Lost => "lost",
        })
    }
}

impl FromStr for What {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "taken" => Ok(What::Taken),
            "released" => Ok(What::Released),
            "lost" => Ok(What::Lost),
            _ => Err(()),
        }
    }
}

impl Event {
    /// The line.
    pub fn to_line(&self) -> String {
        let Event { at, what, address, owner } = self;
        let words = [&owner.container, &owner.ifname, &owner.network, &owner.pod, &owner.uid].map(|text| word(text));
        format!("{at} {what} {address} {}\n", words.join(" "))
    }

    /// Reads a line; none where it is none. What a later release adds behind it is passed over.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        let (what, address) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut next = || words.next().map(|word| if word == "-" { String::new() } else { word.to_owned() });
        let owner = Owner { container: next()?, ifname: next()?, network: next()?, pod: next()?, uid: next()? };
        Some(Event { at, what, address, owner })
    }
}

/// `text` without what separates words; `-` for nothing.
fn word(text: &str) -> String {
    let part = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    if text.is_empty() { "-".to_owned() } else { text.chars().map(part).collect() }
}

/// Somebody had the address for this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The address.
    pub address: IpAddr,
    /// Who.
    pub owner: Owner,
    /// Since when; nothing where the history does not go back so far.
    pub from: Option<u64>,
    /// Until when; nothing while it is taken, or where the end was not noted.
    pub until: Option<u64>,
}

/// The tenures of `address` by the events of a history, the oldest first. An end without a begin has none, and a begin
/// after a begin ends the tenure before it.
pub fn tenures(events: &[Event], address: IpAddr) -> Vec<Tenure> {
    let mut all: Vec<Tenure> = Vec::new();
    for event in events.iter().filter(|event| event.address == address) {
        let is_same = |owner: &Owner| owner.container == event.owner.container && owner.ifname == event.owner.ifname;
        let open = all.last_mut().filter(|tenure| tenure.until.is_none());
        match (event.what, open) {
            (What::Taken, open) => {
                // A plugin that was killed has noted no end.
                if let Some(open) = open {
                    open.until = Some(event.at);
                }
                all.push(Tenure { address, owner: event.owner.clone(), from: Some(event.at), until: None });
            }
            (_, Some(open)) if is_same(&open.owner) => open.until = Some(event.at),
            (_, open) => {
                if let Some(open) = open {
                    open.until = Some(event.at);
                }
                all.push(Tenure { address, owner: event.owner.clone(), from: None, until: Some(event.at) });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(container: &str) -> Owner {
        Owner { container: container.into(), ifname: "net1".into(), pod: "ns/p".into(), ..Owner::default() }
    }

    fn event(at: u64, what: What, container: &str) -> Event {
        Event { at, what, address: "10.0.0.1".parse().unwrap(), owner: owner(container) }
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mut one = event(7, What::Lost, "c");
        assert_eq!(one.to_line(), "7 lost 10.0.0.1 c net1 - ns/p -\n");
        assert_eq!(Event::parse(one.to_line().trim_end()), Some(one.clone()));
        assert_eq!(Event::parse("7 lost 10.0.0.1 c net1 - ns/p - later"), Some(one.clone()));
        one.owner.network = "a b\nc".into();
        assert_eq!(one.to_line().lines().count(), 1);
        for line in ["", "7", "7 gone 10.0.0.1 c i n p u", "7 lost 10.0.0 c i n p u", "7 lost 10.0.0.1 c i n p"] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
        assert_eq!(Owner::parse(&owner("c").to_text()), owner("c"));
        assert_eq!(Owner::parse("c\r\nnet1"), Owner { pod: String::new(), ..owner("c") });
    }

    #[test]
    fn who_had_it_when() {
        use What::{Lost, Released, Taken};
        let events = [
            event(5, Released, "old"),
            event(10, Taken, "a"),
            event(20, Released, "a"),
            event(30, Taken, "b"),
            event(40, Taken, "c"),
            event(50, Lost, "c"),
            event(60, Taken, "d"),
        ];
        let all = tenures(&events, "10.0.0.1".parse().unwrap());
        let told: Vec<_> = all.iter().map(|one| (one.owner.container.as_str(), one.from, one.until)).collect();
        let expected = [
            ("old", None, Some(5)),
            ("a", Some(10), Some(20)),
            ("b", Some(30), Some(40)),
            ("c", Some(40), Some(50)),
            ("d", Some(60), None),
        ];
        assert_eq!(told, expected);
        assert_eq!(tenures(&events, "10.0.0.2".parse().unwrap()), []);
    }
}
