//! The outcomes, as a file has them.

use super::is_update;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Outcomes by what was done, and with whom.
#[derive(Default)]
pub struct Table(BTreeMap<String, String>);

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/multus-faults.tsv"))
}

impl Table {
    /// Has the outcome of a single fault.
    pub fn tell(&mut self, side: &str, what: &str, outcome: &str) {
        super::support::say(&format!("{side}: {what}: {outcome}"));
        let former = self.0.insert(format!("{what}\t{side}"), outcome.to_owned());
        assert!(former.is_none(), "{side}: {what}: twice");
    }

    /// Has the outcome of `tried` kills, `left` of which left something.
    pub fn tell_kills(&mut self, side: &str, what: &str, left: usize, tried: usize) {
        assert!(tried > 0, "{side}: {what}: nothing was killed");
        self.tell(side, what, &format!("{left} of {tried}"));
    }

    /// All is as it was found before; with `UPDATE=1` it is written.
    pub fn check(&self) {
        if is_update() {
            let date = Command::new("date").args(["-u", "+%F"]).output().unwrap();
            let mut text = format!("date\t\t{}", String::from_utf8(date.stdout).unwrap());
            self.0.iter().for_each(|(key, outcome)| text.push_str(&format!("{key}\t{outcome}\n")));
            fs::write(path(), text).unwrap();
        }
        let text = fs::read_to_string(path()).unwrap();
        let written: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.rsplit_once('\t')).collect();
        let is_tried = |key: &&str| **key == *"date\t" || self.0.contains_key(*key);
        assert_eq!(written.keys().find(|key| !is_tried(key)), None, "nobody tries it: {UPDATE}");
        for (key, found) in &self.0 {
            let written = written.get(key.as_str()).unwrap_or_else(|| panic!("{key:?} is new: {UPDATE}"));
            assert!(agree(found, written), "{key:?} is {found:?} by now, was {written:?}: {UPDATE}");
        }
    }
}

const UPDATE: &str = "UPDATE=1 MULTUS_BIN_DIR=… cargo test --test crash_multus writes it";

/// How many were killed depends on the time, and on how many are left out: it matters whether any left something. What is
/// rare may be among those that were left out, or that the time has hidden.
fn agree(found: &str, written: &str) -> bool {
    match (share(found), share(written)) {
        (Some((0, _)), Some((rare, tried))) if rare * 2 < tried => true,
        (Some((found, _)), Some((written, _))) => (found > 0) == (written > 0),
        _ => found == written,
    }
}

/// How many of how many.
fn share(outcome: &str) -> Option<(usize, usize)> {
    let (left, tried) = outcome.split_once(" of ")?;
    Some((left.parse().ok()?, tried.parse().ok()?))
}

#[test]
fn a_fixed_fault_is_noticed() {
    let table = [
        ("3 of 20", "5 of 90", true),
        ("0 of 20", "0 of 90", true),
        ("0 of 20", "80 of 90", false),
        ("1 of 20", "0 of 90", false),
        ("0 of 20", "1 of 90", true),
        ("DEL leaves nothing", "DEL leaves nothing", true),
        ("DEL leaves nothing", "DEL fails", false),
        ("DEL fails", "0 of 90", false),
    ];
    for (found, written, expected) in table {
        assert_eq!(agree(found, written), expected, "{found:?}, {written:?}");
    }
}
