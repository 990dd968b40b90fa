//! What is on the node, counted for the report of a call.

use crate::api::calls::{NodeCounts, PoolCounts};
use crate::api::{PoolsTaken, StateDirectory};
use crate::delegate::ipam::host_local;
use crate::engine::Turn;
use crate::engine::cleanup::leases;
use crate::engine::cleanup::pools::{self, Pool};
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::used_networks::Networks;
use crate::store::State;
use crate::sys::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The limits of the ages of copies: an hour, a day, a week.
const AGES: [Duration; 3] =
    [Duration::from_secs(3600), Duration::from_secs(24 * 3600), Duration::from_secs(7 * 24 * 3600)];

/// What two lists of names tell: a runtime asks for STATUS every few seconds.
pub fn at_a_glance(state: &StateDirectory) -> NodeCounts {
    NodeCounts {
        sandboxes: count(&state.sandboxes(), |name| name.ends_with(".json")),
        aside: count(&state.damaged(), |_| true),
        ..NodeCounts::default()
    }
}

/// What the records tell, and how full the pools are if that was counted.
pub fn of_survey(turn: &Turn, survey: &Survey, pools: Option<PoolCounts>) -> NodeCounts {
    let attachments = || survey.all().flat_map(|record| &record.attachments);
    let owed = attachments().filter(|attachment| attachment.state == State::Owed).count();
    NodeCounts {
        attachments: Some(number(attachments().count() - owed)),
        debts: Some(number(owed)),
        damaged: Some(number(survey.salvaged.len() + survey.unreadable.len())),
        pools,
        copies: Some(ages(&turn.settings.state.networks())),
        ..at_a_glance(&turn.settings.state)
    }
}

/// How many files of ours `folder` has; none where it cannot be read. What begins with a dot is being written.
fn count(folder: &Path, is_counted: impl Fn(&str) -> bool) -> Option<u64> {
    let entries = match files::entries(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some(0),
        entries => entries.ok()?,
    };
    let is_counted = |name: &str| !name.starts_with('.') && is_counted(name);
    Some(number(entries.iter().filter(|entry| entry.file_name().to_str().is_some_and(is_counted)).count()))
}

/// How full the pools of the node are. The container of the keeper does not see them: each is left for it, see
/// [`pools::leave`].
pub fn pools(turn: &Turn, survey: &Survey) -> PoolCounts {
    let networks = Networks::known(turn, survey.records.values());
    // Several versions of a network share its pool: the one that has less left counts.
    let mut fills: BTreeMap<Vec<PathBuf>, u32> = BTreeMap::new();
    let mut counts = PoolsTaken::default();
    for network in networks.default.iter().chain(networks.others.values()) {
        // Where another user may lead us elsewhere, nothing is looked at.
        let Ok(folders) = leases::local_pools_of(network) else { continue };
        if let Some(pool) = Pool::of(&network.name.to_string(), network) {
            let fill = fills.entry(folders).or_default();
            *fill = pool.thousandths().max(*fill);
            let all = host_local::leases::pools(network).into_iter();
            counts.taken.extend(all.map(|folder| (folder.clone(), pools::taken(&folder))));
        }
    }
    if let Err(e) = pools::leave(&turn.settings.run, &counts) {
        turn.warn(files::told(&turn.settings.run.counted_pools(), e));
    }
    PoolCounts {
        all: number(fills.len()),
        nearly_full: number(fills.values().filter(|fill| pools::is_nearly_full(**fill)).count()),
        fullest: fills.values().copied().max().unwrap_or_default(),
    }
}

/// The files of `folder` by their age.
fn ages(folder: &Path) -> [u64; AGES.len() + 1] {
    let now = SystemTime::now();
    let mut counts = [0; AGES.len() + 1];
    for entry in files::entries(folder).into_iter().flatten() {
        let time = entry.metadata().and_then(|file| file.modified());
        // One of a time to come is of a clock that was set back since.
        let age = time.map(|time| now.duration_since(time).unwrap_or_default()).unwrap_or_default();
        if let Some(count) = counts.get_mut(AGES.iter().filter(|limit| age >= **limit).count()) {
            *count += 1;
        }
    }
    counts
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_copies_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        assert_eq!(at_a_glance(&state).sandboxes, Some(0));
        for path in [state.sandboxes(), state.damaged(), state.networks()] {
            std::fs::create_dir(path).unwrap();
        }
        for name in ["a.json", "b.json", ".c.json", "d"] {
            std::fs::write(state.sandboxes().join(name), "").unwrap();
        }
        std::fs::write(state.damaged().join("a.json.1"), "").unwrap();
        let counts = at_a_glance(&state);
        assert_eq!((counts.sandboxes, counts.aside), (Some(2), Some(1)));
        let day = Duration::from_secs(24 * 3600);
        for (name, age) in [("a", Duration::ZERO), ("b", day / 2), ("c", 2 * day), ("d", 3 * day), ("e", 30 * day)] {
            let file = std::fs::File::create(state.networks().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        assert_eq!(ages(&state.networks()), [1, 1, 2, 1]);
    }
}
