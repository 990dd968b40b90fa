//! `docs/evidence/multus-differences.md`, made of the rows.

use super::row::{Peer, Row};
use std::fmt::Write;
use std::path::PathBuf;

const HEAD: &str = "\
# Compared with Multus and libcni

We ran each case with Plexus, with the plugin of Multus 4.3.0 and, for lists of plugins, with libcni (cnitool with its own
cache). `tests/clauses` contains the cases, and generates this page; [conformance.md](conformance.md) lists the clauses. **Plexus
behaves as described in every case.** A case is a short description of the input, and of the required behaviour where the input does
not imply it. The columns describe the others:

- **same**: the same behaviour;
- **bug**: loses a network, leaks, crashes or ignores the request;
- **differs**: other behaviour, by design or because of its place in the call;
- empty: not applicable.

A test fails when Multus fixes a bug.
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
        "\n{} cases. Multus: {} same, {} bug, {} differs, {} not applicable.",
        rows.len(),
        count(|peer| matches!(peer, Peer::Same)),
        count(|peer| matches!(peer, Peer::Fault(..))),
        count(|peer| matches!(peer, Peer::Otherwise(..))),
        count(|peer| matches!(peer, Peer::NotAsked)),
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
        Peer::Same => "same".to_owned(),
        Peer::Fault(why, _) => format!("**bug**: {why}"),
        Peer::Otherwise(why, _) => format!("differs: {why}"),
        Peer::NotAsked => String::new(),
    }
}
