//! `docs/evidence/multus-differences.md`, made of the rows.

use super::row::{Code, End, Peer, Row};
use std::fmt::Write;
use std::path::PathBuf;

const HEAD: &str = "\
# Compared with Multus and libcni

We ran each case with Plexus, with the plugin of Multus 4.3.0 and, for lists of plugins, with libcni (cnitool with its own
cache). Multus 4.3.0 is of 29 May 2026; later releases may behave differently. `tests/clauses` contains the cases, and generates
this page; [conformance.md](conformance.md) lists the clauses. A case is a short description of the input, and of the required
behaviour where the input does not imply it. The column *Plexus* has the end of the last call: success, or an error with its code.
The last columns describe the others:

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
        let _ = write!(
            page,
            "\n## {topic}\n\n| case | clauses | Plexus | Multus 4.3.0 | libcni |\n|---|---|---|---|---|\n"
        );
        for row in rows {
            let Row { what, clauses, .. } = row;
            let (own, multus, libcni) = (end(&row.expected.end), word(&row.multus), word(&row.libcni));
            let _ = writeln!(page, "| {what} | {clauses} | {own} | {multus} | {libcni} |");
        }
    }
    page
}

/// How the last call of Plexus ends.
fn end(end: &End) -> String {
    match end {
        End::Success => "success".to_owned(),
        End::Refusal(_, Code::Any) => "error".to_owned(),
        End::Refusal(_, Code::Ours(code) | Code::Every(code)) => format!("error {code}"),
        End::Crash(_) => "crash".to_owned(),
    }
}

fn word(peer: &Peer) -> String {
    match peer {
        Peer::Same => "same".to_owned(),
        Peer::Fault(why, _) => format!("**bug**: {why}"),
        Peer::Otherwise(why, _) => format!("differs: {why}"),
        Peer::NotAsked => String::new(),
    }
}
