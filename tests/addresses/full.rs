//! A disk that is full at one write of the program, or from it on: no address is given twice, and none is lost.

use super::*;
use std::process::Output;
use support::changes::Changes;

/// More than any call needs.
const MANY: usize = 200;

/// Which writes find no room.
#[derive(Clone, Copy, Debug)]
enum Full {
    /// The one with this number.
    At(usize),
    /// That one, and all that follow.
    From(usize),
}

impl Full {
    fn number(self) -> usize {
        let (Full::At(number) | Full::From(number)) = self;
        number
    }
}

fn section() -> Value {
    json!({"type": "plexus-ipam", "pool": "crowd"})
}

/// One call on a disk that is full; answers how many writes it tried, too.
fn call(machine: &Machine, verb: &str, container: &str, full: Full) -> (Output, usize) {
    let mut command = machine.command(verb, &section(), container, "");
    let is_full = move |number| match full {
        Full::At(at) => number == at,
        Full::From(first) => number >= first,
    };
    let changes = Changes::without_room(&mut command, machine.folder.path().to_owned(), is_full);
    let child = start(command, &section());
    let output = child.wait_with_output().unwrap();
    (output, changes.seen().len())
}

/// The address of an ADD; none where it failed, with one clear line.
fn address(output: &Output, full: Full) -> Option<String> {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{full:?}: {e}: {output:?}"));
    if output.status.success() {
        return Some(answer["ips"][0]["address"].as_str().unwrap().to_owned());
    }
    let message = answer["msg"].as_str().unwrap();
    assert!(message.contains("No space left on device") && !message.contains('\n'), "{full:?}: {answer}");
    assert_eq!(answer["code"], 5, "{full:?}: {answer}");
    None
}

/// All addresses of the block are free but the one of the witness: none is lost, and none is given twice.
fn all_can_be_taken(machine: &Machine, witness: &str, full: Full) {
    let rest: Vec<String> = (0..3)
        .map(|number| machine.add("crowd", &format!("rest{number}")).unwrap_or_else(|e| panic!("{full:?}: {e}")))
        .collect();
    let different: BTreeSet<&str> = rest.iter().map(String::as_str).chain([witness]).collect();
    assert_eq!(different.len(), 4, "{full:?}: {rest:?} {witness}");
    assert!(machine.add("crowd", "more").is_err(), "{full:?}");
    (0..3).for_each(|number| machine.del("crowd", &format!("rest{number}")));
    assert_eq!(machine.files("crowd").len(), 1, "{full:?}");
}

/// Tries `step` with each write of a call, until the call makes fewer.
fn at_each_write(mut step: impl FnMut(Full) -> usize) -> usize {
    let mut failed = 0;
    for of in [Full::At, Full::From] {
        let last = (1..MANY).find(|number| step(of(*number)) < *number).expect("the call comes to an end");
        assert!(last > 2, "{last} writes are too few for a call");
        failed += last - 1;
    }
    failed
}

/// A node with four addresses, one of which a pod has.
fn node() -> (Machine, String) {
    let machine = granted_until("10.7.0.4");
    let witness = machine.add("crowd", "witness").unwrap();
    (machine, witness)
}

#[test]
fn an_add_on_a_full_disk_gives_no_address_twice_and_loses_none() {
    // Case 44
    let (machine, witness) = node();
    let mut given = 0;
    let failed = at_each_write(|full| {
        let (output, writes) = call(&machine, "ADD", "p", full);
        let got = address(&output, full);
        given += usize::from(got.is_some());
        if let Some(got) = got {
            let file = machine.path("state/pools/crowd").join(got.split('/').next().unwrap());
            assert!(std::fs::read_to_string(file).unwrap().starts_with("p\r\n"), "{full:?}: {got}");
            assert_ne!(got, witness, "{full:?}");
        }
        // The kubelet deletes the pod while the disk is full: that frees what is there.
        let (output, _) = call(&machine, "DEL", "p", full);
        if !output.status.success() {
            machine.del("crowd", "p");
        }
        all_can_be_taken(&machine, &witness, full);
        writes
    });
    // Some writes are not needed for an address.
    support::say(&format!("ADD with {failed} full disks: {given} addresses"));
    assert!(given < failed, "{given} of {failed}");
}

#[test]
fn a_del_on_a_full_disk_frees_the_address() {
    // Case 44
    let (machine, witness) = node();
    let failed = at_each_write(|full| {
        machine.add("crowd", "p").unwrap();
        let (output, writes) = call(&machine, "DEL", "p", full);
        assert!(output.status.success(), "{full:?}: {output:?}");
        assert_eq!(machine.files("crowd").len(), 1, "{full:?}");
        all_can_be_taken(&machine, &witness, full);
        writes
    });
    support::say(&format!("DEL with {failed} full disks"));
}

#[test]
fn a_disk_that_is_full_when_the_first_pod_comes_is_told() {
    // Case 44: there are no directories yet.
    let mut last = 0;
    for number in 1..MANY {
        let machine = granted_until("10.7.0.2");
        let full = Full::From(number);
        let (output, writes) = call(&machine, "ADD", "p", full);
        let _ = address(&output, full);
        machine.del("crowd", "p");
        assert!(machine.files("crowd").is_empty(), "{full:?}");
        let both = BTreeSet::from(["later", "other"].map(|container| machine.add("crowd", container).unwrap()));
        assert_eq!(both.len(), 2, "{full:?}: {both:?}");
        last = full.number();
        if writes < number {
            break;
        }
    }
    assert!((5..MANY - 1).contains(&last), "{last} writes");
}
