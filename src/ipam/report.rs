//! What the plugin tells the daemon of a pool: the answer to a [`super::grant`].

use super::grant::{Granted, family};
use std::fmt::Write;
use std::net::IpAddr;

/// From the plugin: what it has given back, and what runs low.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Families with fewer free addresses than the pool wants.
    pub low: Vec<Low>,
    /// Leases out of which no address is taken, and none will be.
    pub released: Vec<Released>,
}

/// A family with fewer free addresses than the pool wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Low {
    /// 4 or 6.
    pub family: u8,
    /// So many blocks would be enough. A report stays as it is until the next call of the plugin, and the daemon leases
    /// meanwhile. A plugin of a former release does not say it.
    pub blocks: Option<usize>,
}

/// A lease that the plugin has given back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Released {
    /// The first address of the block.
    pub first: IpAddr,
    /// The lease.
    pub lease: String,
}

impl Report {
    /// The families of which a node that holds `held` is to lease another block.
    pub fn wants(&self, held: &[Granted]) -> Vec<u8> {
        let is_released =
            |one: &&Granted| self.released.iter().any(|it| it.first == one.first && it.lease == one.lease);
        let open = |low: &Low| {
            held.iter().filter(|one| family(one.first.is_ipv4()) == low.family && !is_released(one)).count()
        };
        let is_wanted = |low: &&Low| low.blocks.is_none_or(|blocks| open(low) < blocks);
        self.low.iter().filter(is_wanted).map(|low| low.family).collect()
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Low { family, blocks } in &self.low {
            // Writing to a string cannot fail.
            let _ = write!(text, "low {family}");
            let _ = blocks.map(|blocks| write!(text, " {blocks}"));
            text.push('\n');
        }
        for released in &self.released {
            let _ = writeln!(text, "released {} {}", released.first, released.lease);
        }
        text
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut report = Report::default();
        for (number, line) in text.lines().enumerate() {
            report.read(line).ok_or_else(|| format!("line {} cannot be read", number + 1))?;
        }
        Ok(report)
    }

    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "low" => {
                let (family, blocks) = (words.next()?.parse().ok()?, words.next().map(str::parse).transpose().ok()?);
                self.low.push(Low { family, blocks });
            }
            "released" => {
                let first = words.next()?.parse().ok()?;
                self.released.push(Released { first, lease: words.next()?.to_owned() });
            }
            _ => {}
        }
        Some(())
    }
}
