//! Counts the addresses of pools on the node. The daemon shows them, and does not see the plugin's files.

use crate::api::{PoolTally, RunDirectory, StateDirectory};
use crate::delegate::ipam::leased::Lessor;
use crate::facts::node_blocks::NodeBlocks;
use crate::ipam::memory::Former;
use crate::ipam::tally::{Labels, Tally};
use crate::ipam::{PoolName, Stock, grant};
use crate::sys::files;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the files are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// The pools of the node with these directories.
#[derive(Debug)]
pub struct Pools {
    state: StateDirectory,
    run: RunDirectory,
    blocks: NodeBlocks,
    counted: Option<(Instant, Vec<PoolTally>)>,
}

/// What the names of the files of a pool are.
#[derive(Debug)]
struct Listing {
    taken: Vec<IpAddr>,
    former: Vec<Former>,
}

impl Listing {
    /// That of `folder`, and of the copies, which count where somebody deleted the files.
    fn of(folder: &Path, copies: &Path) -> Self {
        let (mut taken, mut former) = (BTreeSet::new(), Vec::new());
        for name in names(folder).into_iter().chain(names(copies)) {
            match name.parse::<IpAddr>() {
                Ok(address) => drop(taken.insert(address)),
                Err(_) => former.extend(Former::parse(&name)),
            }
        }
        Listing { taken: taken.into_iter().collect(), former }
    }
}

impl Pools {
    /// Those of the node with these directories.
    pub fn new(state: StateDirectory, run: RunDirectory) -> Self {
        let blocks = NodeBlocks::new(state.clone(), run.clone());
        Pools { state, run, blocks, counted: None }
    }

    /// What there was when it was counted last, a few seconds ago at most.
    pub fn counted(&mut self) -> &[PoolTally] {
        if self.counted.as_ref().is_none_or(|(at, _)| at.elapsed() >= COUNT_EVERY) {
            self.counted = Some((Instant::now(), self.count()));
        }
        self.counted.as_ref().map(|(_, counted)| counted.as_slice()).unwrap_or_default()
    }

    fn count(&self) -> Vec<PoolTally> {
        let mut pools: BTreeSet<PoolName> =
            names(&self.state.pools()).into_iter().filter_map(|name| PoolName::new(name).ok()).collect();
        let granted = names(&self.run.grants());
        pools.extend(granted.iter().filter_map(|name| PoolName::new(name.strip_suffix(".grant")?).ok()));
        let (mut labels, mut sums) = (Labels::default(), BTreeMap::<(String, u8), Tally>::new());
        for pool in pools {
            for (family, tally) in self.of(&pool) {
                sums.entry((labels.of(pool.as_str()).to_owned(), family)).or_default().add(tally);
            }
        }
        sums.into_iter().map(|((pool, family), tally)| PoolTally { pool, family, tally }).collect()
    }

    /// By family, where there is any address.
    fn of(&self, pool: &PoolName) -> Vec<(u8, Tally)> {
        let (folder, copies) = (self.state.pool(pool), self.run.taken(pool));
        // Before the grant: a block that is granted later has none of these addresses.
        let listing = Listing::of(&folder, &copies);
        let (grant, report) = (self.blocks.grant(pool).ok().flatten(), self.blocks.report(pool).unwrap_or_default());
        let now = self.blocks.now().clock;
        // One that was given back meanwhile, together with its block, is not lost.
        let after = grant.as_ref().map(|_| Listing::of(&folder, &copies).taken).unwrap_or_default();
        let of = |is_v4: bool| {
            let Some(grant) = &grant else {
                let taken = listing.taken.iter().filter(|address| address.is_ipv4() == is_v4).count();
                return Tally { taken: u64::try_from(taken).unwrap_or(u64::MAX), ..Tally::default() };
            };
            let stock = Stock::new(grant, &report);
            let is_there = |address: &&IpAddr| stock.has(**address) || after.contains(address);
            let taken: Vec<IpAddr> = listing.taken.iter().filter(is_there).copied().collect();
            Tally::of(&stock, is_v4, &taken, &listing.former, now)
        };
        let families = [true, false].map(|is_v4| (grant::family(is_v4), of(is_v4)));
        families.into_iter().filter(|(_, tally)| *tally != Tally::default()).collect()
    }
}

/// The names of what is in `folder`; none where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = files::entries(folder).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_files_of_the_plugin_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        let mut pools = Pools::new(StateDirectory::new(&state), RunDirectory::new(&run));
        assert!(pools.counted().is_empty());
        fs::create_dir_all(state.join("pools/lan")).unwrap();
        fs::create_dir_all(state.join("pools/old")).unwrap();
        for file in ["lan/10.0.0.2", "lan/10.0.0.99", "lan/lock", "lan/freed-1-0-10.0.0.3", "old/fd00::1"] {
            fs::write(state.join("pools").join(file), "").unwrap();
        }
        // One has a copy as it should; of the other the file was deleted.
        fs::create_dir_all(run.join("taken/lan")).unwrap();
        for copy in ["10.0.0.2", "10.0.0.4", "lock"] {
            fs::write(run.join("taken/lan").join(copy), "").unwrap();
        }
        fs::create_dir_all(run.join("daemon/ipam")).unwrap();
        let text = "pool lan\nconfirmed b 1 1\nauthority 600\nwarm 1 16\nsubnet 10.0.0.0/24\nblock 10.0.0.0 8 a 10.0.0.1 10.0.0.7\n";
        fs::write(run.join("daemon/ipam/lan.grant"), text).unwrap();
        assert!(pools.counted().is_empty(), "counted a moment ago");
        pools.counted = None;
        let of = |pool: &str, family, tally| PoolTally { pool: pool.to_owned(), family, tally };
        let lan = Tally { taken: 3, free: 5, cooling: 0, excluded: 1, lost: 1 };
        // Without a grant nothing is known but what pods have.
        let old = Tally { taken: 1, ..Tally::default() };
        assert_eq!(pools.counted(), [of("lan", 4, lan), of("old", 6, old)]);
    }
}
