//! `docs/evidence/multus-differences.md`, made of the rows.

use super::row::{Peer, Row};
use std::fmt::Write;
use std::path::PathBuf;

const HEAD: &str = "\
# Compared with Multus and libcni

What is written here was carried out, case by case, by Plexus, by the plugin of Multus 4.3.0 and, where a case is about a
list of plugins, by libcni (cnitool with its own cache). `tests/clauses` holds the cases and makes this page of them; the
clauses are those of [conformance.md](conformance.md). Plexus does as every case says. Of the others:

- **yes**: the same;
- **fault**: something else, which loses a network, leaks, crashes, or is not what was asked for;
- **otherwise**: something else, by decision or by its place;
- no word: the case is not for it.

A fault that is mended makes the test fail.
";

/// Where it is.
pub fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/evidence/multus-differences.md"))
}

/// The page.
pub fn of(topics: &[(&'static str, Vec<Row>)]) -> String {
    let rows: Vec<&Row> = topics.iter().flat_map(|(_, rows)| rows).collect();
    let count = |is: fn(&Peer) -> bool| rows.iter().filter(|row| is(&row.multus)).count();
    let mut page = HEAD.to_owned();
    let _ = writeln!(
        page,
        "\n{} cases; of Multus {} yes, {} fault, {} otherwise.",
        rows.len(),
        count(|peer| matches!(peer, Peer::Same)),
        count(|peer| matches!(peer, Peer::Fault(..))),
        count(|peer| matches!(peer, Peer::Otherwise(..))),
    );
    for (topic, rows) in topics {
        let _ = write!(page, "\n## {topic}\n\n| case | clauses | Multus 4.3.0 | libcni |\n|---|---|---|---|\n");
        for row in rows {
            let Row { what, clauses, .. } = row;
            let _ = writeln!(page, "| {what} | {clauses} | {} | {} |", word(&row.multus), word(&row.libcni));
        }
    }
    page
}

fn word(peer: &Peer) -> String {
    match peer {
        Peer::Same => "yes".to_owned(),
        Peer::Fault(why, _) => format!("**fault**: {why}"),
        Peer::Otherwise(why, _) => format!("otherwise: {why}"),
        Peer::NotAsked => String::new(),
    }
}
