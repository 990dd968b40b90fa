//! Where the time of calls goes: the medians of the steps that `PLEXUS_TRACE` has written.

use super::{Times, milliseconds};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The verbs of a call's title, in the table's order.
const VERBS: [&str; 2] = ["ADD", "DEL"];

/// Prints the steps of the Chrome trace `text`: what all steps of that name take in a call. `whole` are ADD and DEL without a trace, as
/// their caller sees them: with the start and the end of the process.
pub fn print(text: &str, whole: &[Times; 2]) {
    let list = format!("{}]", text.trim_end().trim_end_matches(','));
    let events: Vec<Value> = serde_json::from_str(&list).unwrap();
    let mut verbs = BTreeMap::new();
    let mut calls: BTreeMap<(u64, String), Duration> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for event in &events {
        let (process, name) = (event["pid"].as_u64().unwrap(), event["name"].as_str().unwrap());
        if event["ph"] == "M" {
            let title = event["args"]["name"].as_str().unwrap();
            verbs.insert(process, VERBS.iter().position(|verb| title.contains(verb)));
            continue;
        }
        let step = kind_of(name);
        if !order.contains(&step) {
            order.push(step.clone());
        }
        let took = Duration::from_secs_f64(event["dur"].as_f64().unwrap() / 1e6);
        *calls.entry((process, step)).or_default() += took;
    }
    let mut steps: BTreeMap<String, [Times; 2]> = BTreeMap::new();
    for ((process, step), took) in calls {
        if let Some(Some(verb)) = verbs.get(&process) {
            steps.entry(step).or_default()[*verb].push(took);
        }
    }
    println!("step (one in another counts in both)         ADD          DEL");
    for step in order {
        row(&step, &steps[&step]);
    }
    row("the whole call, without a trace", whole);
}

fn row(step: &str, times: &[Times; 2]) {
    let cell = |verb: usize| match times[verb].median() {
        Duration::ZERO => " ".repeat(13),
        time => format!("{:>10.3} ms", milliseconds(time)),
    };
    println!("{:36}{}{}", step, cell(0), cell(1));
}

/// Steps of one kind have one name: requests to the kernel, whatever they ask; so have networks, and plugins.
fn kind_of(name: &str) -> String {
    match name.split([' ', ':']).next() {
        Some("netlink") => "all requests to the kernel".to_owned(),
        Some(kind @ ("network" | "plugin" | "program")) => format!("all {kind}s"),
        Some("interfaces") => "deletion of interfaces".to_owned(),
        _ => name.to_owned(),
    }
}
