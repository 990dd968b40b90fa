//! The matrices as a person reads them.

use crate::cli::Error;
use crate::cli::connectivity::matrix::{Matrix, Pair};
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Output, Tone};
use std::collections::BTreeSet;

/// Prints a table for each network and family, then why cells fail.
pub fn print(matrices: &[Matrix], is_wide: bool, output: &mut Output) -> Result<(), Error> {
    if is_wide {
        output.table(&rows(matrices))?;
    } else {
        for matrix in matrices {
            for family in families(matrix) {
                output.sentence(&format!("{} {family}", matrix.network), Tone::Heading)?;
                output.table(&square(matrix, family))?;
                output.text("\n")?;
            }
        }
    }
    problems(matrices, output)?;
    let pairs = || matrices.iter().flat_map(|matrix| &matrix.pairs);
    let (well, all) = (pairs().filter(|pair| pair.well).count(), pairs().count());
    let tone = if well == all { Tone::Good } else { Tone::Bad };
    output.sentence(&format!("{well} of {all} pairs are connected."), tone)
}

fn families(matrix: &Matrix) -> BTreeSet<&'static str> {
    matrix.pairs.iter().map(|pair| pair.family).collect()
}

/// A line for each place that measures, a column for each that answers.
fn square(matrix: &Matrix, family: &str) -> Table {
    let names = matrix.places.iter().map(|place| place.place.as_str());
    let mut table = Table::with_heading(["FROM \\ TO"].into_iter().chain(names.clone()));
    for from in names.clone() {
        let cell = |to: &str| {
            let is_it = |pair: &&Pair| pair.from == from && pair.to == to && pair.family == family;
            matrix.pairs.iter().find(is_it).map_or_else(|| "".into(), cell)
        };
        table.row([from.into()].into_iter().chain(names.clone().map(cell)).collect());
    }
    table
}

/// What a pair is in its cell: the time of a ping, or what is wrong.
fn cell(pair: &Pair) -> Cell {
    match (&pair.short, pair.ping.as_ref().and_then(|ping| ping.milliseconds)) {
        (Some(short), _) => Cell::new(short.as_str(), Tone::Bad),
        (None, Some(time)) => Cell::new(format!("{time:.2} ms"), Tone::Good),
        (None, None) => Cell::new("ok", Tone::Good),
    }
}

/// A row for each pair, with everything that was measured.
fn rows(matrices: &[Matrix]) -> Table {
    let mut table =
        Table::new(["NETWORK", "FAMILY", "FROM", "TO", "ADDRESS", "PING", "LOST", "TCP", "LARGEST PACKET", "RESULT"]);
    let time = |time: Option<f64>| time.map_or_else(String::new, |time| format!("{time:.2} ms"));
    for matrix in matrices {
        for pair in &matrix.pairs {
            let lost =
                pair.ping.as_ref().map(|ping| format!("{}/{}", ping.sent - ping.received.min(ping.sent), ping.sent));
            let largest =
                pair.packet.as_ref().and_then(|packet| Some(format!("{}/{}", packet.largest?, packet.expected)));
            let result =
                pair.short.as_deref().map_or_else(|| Cell::new("ok", Tone::Good), |short| Cell::new(short, Tone::Bad));
            table.row(vec![
                matrix.network.as_str().into(),
                pair.family.into(),
                pair.from.as_str().into(),
                pair.to.as_str().into(),
                pair.address.map(|address| address.to_string()).unwrap_or_default().into(),
                time(pair.ping.as_ref().and_then(|ping| ping.milliseconds)).into(),
                lost.unwrap_or_default().into(),
                time(pair.tcp.as_ref().and_then(|tcp| tcp.milliseconds)).into(),
                largest.unwrap_or_default().into(),
                result,
            ]);
        }
    }
    table
}

/// Each reason once: those of places with what to do, then those of pairs.
fn problems(matrices: &[Matrix], output: &mut Output) -> Result<(), Error> {
    for matrix in matrices {
        for place in &matrix.places {
            let (Some(problem), Some(fault)) = (&place.problem, place.fault) else { continue };
            bad(&format!("{} on {}: {problem}", matrix.network, place.place), output)?;
            output.line(&format!("  -> {}", fault.remedy()))?;
        }
        let is_told = |pair: &&Pair| {
            matrix.places.iter().any(|place| place.problem.is_some() && [&pair.from, &pair.to].contains(&&place.place))
        };
        let of_places: BTreeSet<&String> = matrix
            .pairs
            .iter()
            .filter(|pair| pair.is_of_place && !is_told(pair))
            .filter_map(|pair| pair.problem.as_ref())
            .collect();
        for problem in of_places {
            bad(problem, output)?;
        }
        for pair in matrix.pairs.iter().filter(|pair| !pair.is_of_place) {
            let Some(problem) = &pair.problem else { continue };
            bad(&format!("{} {} {} → {}: {problem}", matrix.network, pair.family, pair.from, pair.to), output)?;
        }
    }
    Ok(())
}

fn bad(text: &str, output: &mut Output) -> Result<(), Error> {
    output.parts(&[("✗", Tone::Bad), (&format!(" {text}"), Tone::Plain)])
}
