//! What the benches share: the statistics of a measurement, the lines above a table, and the table.

#![allow(dead_code, reason = "every bench uses a part of it")]

pub mod picture;
pub mod processors;
pub mod steps;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The durations of one kind of call in one run.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds a measured duration.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The middle one; zero without any.
    pub fn median(&self) -> Duration {
        self.quantile(50)
    }

    /// The one that 95 in a hundred do not exceed; zero without any.
    pub fn p95(&self) -> Duration {
        self.quantile(95)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        sorted.get(last.min(sorted.len() * percent / 100)).copied().unwrap_or_default()
    }
}

/// One side's figure in a row.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The median, or the only value.
    pub value: f64,
    /// The 95th percentile, where many were measured.
    pub p95: Option<f64>,
}

impl Figure {
    /// Milliseconds.
    pub fn of(times: &Times) -> Self {
        Figure { value: milliseconds(times.median()), p95: Some(milliseconds(times.p95())) }
    }

    /// A single measurement.
    pub fn once(value: f64) -> Self {
        Figure { value, p95: None }
    }
}

/// A duration in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Something that was measured of both sides; less is better.
#[derive(Clone, Debug)]
pub struct Row {
    /// What, with its unit.
    pub what: String,
    /// Of Multus and of Plexus.
    pub sides: [Figure; 2],
    /// Decimals to print.
    pub digits: usize,
}

impl Row {
    /// How many times Multus needs what Plexus does.
    pub fn ratio(&self) -> f64 {
        self.sides[0].value / self.sides[1].value
    }
}

/// The head of the table of rows, in Markdown.
pub fn head() {
    println!("| | Multus, median | p95 | Plexus, median | p95 | Multus / Plexus |\n|---|--:|--:|--:|--:|--:|");
}

/// Prints `row` as a line of that table.
pub fn print(row: &Row) {
    let digits = row.digits;
    let cells = row.sides.map(|figure| {
        let p95 = figure.p95.map_or_else(String::new, |p95| format!("{p95:.digits$}"));
        format!("{:.digits$} | {p95}", figure.value)
    });
    println!("| {} | {} | {} | {:.1} |", row.what, cells[0], cells[1], row.ratio());
}

/// The date, the commit and the machine: without them a number says nothing.
pub fn origin() -> String {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
        output.map_or_else(|| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commit = output("git", &["-C", &root.to_string_lossy(), "describe", "--always", "--dirty"]);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    // What a distribution adds to the version says nothing here.
    let kernel = kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    format!("{date}, commit {commit}, {processors} processors, Linux {kernel}")
}
