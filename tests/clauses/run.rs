//! Carries out rows and judges what came of them.

use super::cluster::Cluster;
use super::row::{Code, End, Expected, Look, Peer, Row};
use super::subject::{Outcome, Subject, World};
use crate::support::Recorded;
use crate::support::node::Node;
use serde_json::Value;

/// Carries out every row that is for `subject`, on a machine of its own; answers what is wrong.
pub fn all(subject: &Subject, rows: &[Row]) -> Option<Vec<String>> {
    let node = Node::new()?;
    let cluster = Cluster::start();
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (expected, fault) = match peer(subject, row) {
            Some(Peer::NotAsked) => continue,
            None => (row.expected.clone(), None),
            Some(Peer::Same) => (row.expected.clone().in_other_words(), None),
            Some(Peer::Fault(why, instead) | Peer::Otherwise(why, instead)) => ((**instead).clone(), Some(why)),
        };
        let stage = Stage { subject, node: &node, cluster: &cluster, number };
        if let Err(why) = one(&stage, row, &expected, fault.is_some()) {
            let fault = fault.map_or_else(String::new, |fault| format!(" (expected otherwise of it: {fault})"));
            wrong.push(format!("{subject:?}, \"{}\"{fault}: {why}", row.what));
        }
    }
    Some(wrong)
}

fn peer<'r>(subject: &Subject, row: &'r Row) -> Option<&'r Peer> {
    match subject {
        Subject::Plexus => None,
        Subject::Multus(_) => Some(&row.multus),
        Subject::Libcni => Some(&row.libcni),
    }
}

/// Where a row is carried out, and which it is.
#[derive(Clone, Copy)]
struct Stage<'a> {
    subject: &'a Subject,
    node: &'a Node,
    cluster: &'a Cluster,
    number: usize,
}

/// A row, once more where Multus ran into its own limits on a busy machine: it gives an API server 250 ms.
fn one(stage: &Stage<'_>, row: &Row, expected: &Expected, differs: bool) -> Result<(), String> {
    let Stage { subject, node, cluster, number } = *stage;
    let mut attempt = 0;
    loop {
        let world = World::new(subject, node, cluster, &format!("row-{number}-{attempt}"), &row.given);
        let mut outcome = Outcome::Success(Value::Null);
        for step in &row.steps {
            outcome = world.call(step, &row.given);
        }
        let late = matches!(&outcome, Outcome::Failure(_, msg) if msg.contains("deadline exceeded"));
        if late && attempt < 5 && matches!(subject, Subject::Multus(_)) {
            attempt += 1;
            continue;
        }
        let is_like_ours = judge(&world, &outcome, &row.expected.clone().in_other_words()).is_ok();
        let verdict = judge(&world, &outcome, expected).and_then(|()| match differs && is_like_ours {
            true => Err("it does as the row says by now".to_owned()),
            false => deleted(&world, row, expected),
        });
        clean(&world, row);
        return verdict;
    }
}

/// After a row that is one successful ADD: DEL deletes in reverse what was attached (CNI-DEL-05, NPWG-ERR-02).
fn deleted(world: &World<'_>, row: &Row, expected: &Expected) -> Result<(), String> {
    let [step] = row.steps.as_slice() else { return Ok(()) };
    if !row.is_deleted || step.verb != "ADD" || !matches!(expected.end, End::Success) {
        return Ok(());
    }
    let added = world.calls();
    let outcome = world.call(&super::row::row("", "").only("DEL").steps[0], &row.given);
    if !matches!(outcome, Outcome::Success(_)) {
        return Err(format!("its DEL: {outcome:?}"));
    }
    let deleted = world.calls().split_off(added.len());
    let expected: Vec<String> = added.iter().rev().map(|call| call.replacen("ADD", "DEL", 1)).collect();
    equal("its DEL calls", &deleted, &expected)
}

/// Leaves no links and no leases to the next row.
fn clean(world: &World<'_>, row: &Row) {
    let _ = world.call(&super::row::row("", "").only("DEL").steps[0], &row.given);
    world.pod.end_sandbox();
}

fn judge(world: &World<'_>, outcome: &Outcome, expected: &Expected) -> Result<(), String> {
    let answer = match (&expected.end, outcome) {
        (End::Success, Outcome::Success(answer)) => answer.clone(),
        (End::Refusal(words, code), Outcome::Failure(own, msg)) => {
            if let (Code::Ours(code) | Code::Every(code), Some(own)) = (code, own) {
                equal("code", own, code).map_err(|e| format!("{e} ({msg})"))?;
            }
            match words.iter().find(|word| !msg.contains(**word)) {
                Some(missing) => return Err(format!("{missing:?} is not in {msg:?}")),
                None => Value::Null,
            }
        }
        (End::Crash(words), Outcome::Crash(stderr)) if stderr.contains(words) => Value::Null,
        (end, outcome) => return Err(format!("{outcome:?} instead of {end:?}")),
    };
    if let Some(calls) = &expected.calls {
        equal("calls", &world.calls(), &calls.iter().map(|call| (*call).to_owned()).collect::<Vec<_>>())?;
    }
    expected.looks.iter().try_for_each(|look| self::look(world, &answer, look))
}

fn look(world: &World<'_>, answer: &Value, look: &Look) -> Result<(), String> {
    let at = |value: &Value, pointer: &str| value.pointer(pointer).cloned().unwrap_or(Value::Null);
    match look {
        Look::Stdin(call, pointer, value) => {
            let config = recorded(world, call)?.config();
            equal(&format!("stdin of {call} at {pointer}"), &at(&config, pointer), value)
        }
        Look::Text(call, part) => {
            let stdin = recorded(world, call)?.stdin;
            if stdin.contains(part) { Ok(()) } else { Err(format!("{part} is not in the stdin of {call}: {stdin}")) }
        }
        Look::Variable(call, variable, part) | Look::NoVariable(call, variable, part) => {
            let recorded = recorded(world, call)?;
            let (has, is_wanted) = (recorded.env(variable).contains(part), matches!(look, Look::Variable(..)));
            if has == is_wanted {
                Ok(())
            } else {
                Err(format!("{variable} of {call}: {:?}, {part:?}", recorded.env(variable)))
            }
        }
        Look::Answer(pointer, value) => equal(&format!("answer at {pointer}"), &at(answer, pointer), value),
        Look::Status(pointer, value) => {
            let status = world.status();
            equal(&format!("status at {pointer} of {status}"), &at(&status, pointer), value)
        }
        Look::Judge(what, judge) => judge(world).map_err(|why| format!("{what}: {why}")),
    }
}

/// The last call of that name.
fn recorded(world: &World<'_>, call: &str) -> Result<Recorded, String> {
    let names = world.calls();
    let index = names.iter().rposition(|name| name == call).ok_or_else(|| format!("no call {call} in {names:?}"))?;
    Ok(world.node.calls().remove(index))
}

/// Both, or what differs.
pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, expected: &T) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{what}: {seen:?} instead of {expected:?}")) }
}
