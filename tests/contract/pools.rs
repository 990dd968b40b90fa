//! One host-local pool, used by both at once and in turn.

use crate::cases::{config, host_local};
use crate::optional::is_complete_kernel;
use crate::plugin::{Attachment, Who, call_program, with_call};
use crate::plugins;
use crate::world::{POOLS, World};
use plexus::delegate::ipam::{Ipam, host_local::HostLocal};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// How many addresses are taken in all; `PLEXUS_CONTRACT_ADDRESSES` for another number.
const ADDRESSES: usize = 10_000;
/// The same where the processor is emulated, see `e2e/kernel/run`.
const ADDRESSES_EMULATED: usize = 200;
/// How many take at the same time.
const TAKERS: usize = 8;
/// How many addresses each has at the same time: both read all files of the pool for each.
const HELD: usize = 16;
/// One in so many is taken by the program, and one given back by it: it costs a hundred times as much.
const SHARE: usize = 16;

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.")).collect()
}

fn attachment(number: usize) -> Attachment {
    Attachment { container: format!("cid{number}"), ..Attachment::default() }
}

#[test]
fn one_adds_the_other_deletes() {
    let Some(plugins) = plugins() else { return };
    for adder_is_native in [true, false] {
        for (kind, more) in [("bridge", json!({"isGateway": true})), ("macvlan", json!({"master": "master0"}))] {
            let world = World::new();
            let mut config = config("1.1.0", kind, more);
            config["ipam"] = host_local(json!({"subnet": "10.7.0.0/24"}));
            let mut sides = [Who::Native, Who::Reference(plugins.clone())];
            if !adder_is_native {
                sides.reverse();
            }
            world.run(move || {
                let [adder, deleter] = sides;
                let result = adder.call("ADD", &config, &Attachment::default()).unwrap();
                assert_eq!(files(&Path::new(POOLS).join("mynet")), ["10.7.0.2"]);
                let mut checked = config.clone();
                checked["prevResult"] = result;
                deleter.call("CHECK", &checked, &Attachment::default()).unwrap();
                deleter.call("DEL", &config, &Attachment::default()).unwrap();
                assert!(files(&Path::new(POOLS).join("mynet")).is_empty(), "{deleter:?} left an address of {adder:?}");
                // And the search goes on where the other stopped.
                let next = deleter.call("ADD", &config, &Attachment::default()).unwrap();
                assert_eq!(next["ips"][0]["address"], "10.7.0.3/24");
                deleter.call("DEL", &config, &Attachment::default()).unwrap();
            });
        }
    }
}

#[test]
fn both_take_from_one_pool_at_once() {
    let Some(plugins) = plugins() else { return };
    let count = std::env::var("PLEXUS_CONTRACT_ADDRESSES").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(if is_complete_kernel() { ADDRESSES_EMULATED } else { ADDRESSES });
    let folder = tempfile::tempdir().unwrap();
    let ipam = json!({"type": "host-local", "dataDir": folder.path(), "ranges": [[{"subnet": "10.7.0.0/16"}]]});
    let config = config("1.1.0", "bridge", json!({"ipam": ipam}));
    let mut taken = in_parallel(|taker| take_and_give_back(&plugins, &config, (taker..count).step_by(TAKERS)));
    assert_eq!(files(&folder.path().join("mynet")), Vec::<String>::new(), "an address was not given back");
    // The search goes round, so that none comes again: each that was taken moved it on by one.
    taken.sort();
    assert!(count < 1 << 16, "the range has no more");
    assert_eq!(taken, (0..count as u32).map(|number| Ipv4Addr::from(FIRST + number)).collect::<Vec<_>>());
}

/// The first address that is taken: that before is the gateway.
const FIRST: u32 = u32::from_be_bytes([10, 7, 0, 2]);

fn in_parallel<T: Send>(work: impl Fn(usize) -> Vec<T> + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|taker| {
                scope.spawn({
                    let work = &work;
                    move || work(taker)
                })
            })
            .collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    })
}

/// Takes an address for each of `numbers`, and gives the oldest back when it has enough.
fn take_and_give_back(plugins: &Path, config: &Value, numbers: impl Iterator<Item = usize>) -> Vec<Ipv4Addr> {
    let (mut taken, mut held) = (Vec::new(), VecDeque::new());
    for number in numbers {
        taken.push(take(plugins, config, number));
        held.push_back(number);
        if held.len() > HELD {
            held.pop_front().into_iter().for_each(|number| give_back(plugins, config, number));
        }
    }
    held.into_iter().for_each(|number| give_back(plugins, config, number));
    taken
}

/// By the program where it is its turn: every taker has its share.
fn take(plugins: &Path, config: &Value, number: usize) -> Ipv4Addr {
    let text = if (number / TAKERS).is_multiple_of(SHARE) {
        let result = call_program(plugins, "host-local", "ADD", config, &attachment(number)).unwrap();
        result["ips"][0]["address"].as_str().unwrap().to_owned()
    } else {
        let result = with_call(config, &attachment(number), |call| HostLocal::default().add(call)).unwrap();
        result.ips[0].address.to_string()
    };
    text.strip_suffix("/16").unwrap().parse().unwrap()
}

/// By the program what the native took, and the other way round.
fn give_back(plugins: &Path, config: &Value, number: usize) {
    if number / TAKERS % SHARE == 1 {
        call_program(plugins, "host-local", "DEL", config, &attachment(number)).unwrap();
    } else {
        with_call(config, &attachment(number), |call| HostLocal::default().del(call)).unwrap();
    }
}
