//! One host-local pool, used by both at once and in turn.

use crate::cases::{config, host_local};
use crate::plugin::{Attachment, Who, call_program, with_call};
use crate::plugins;
use crate::world::{POOLS, World};
use plexus::delegate::ipam::{Ipam, host_local::HostLocal};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many addresses are taken at once; `PLEXUS_CONTRACT_ADDRESSES` for another number.
const ADDRESSES: usize = 200;
/// How many take at the same time, each half by one of the two.
const TAKERS: usize = 8;

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
    let count = std::env::var("PLEXUS_CONTRACT_ADDRESSES").ok().and_then(|text| text.parse().ok()).unwrap_or(ADDRESSES);
    let folder = tempfile::tempdir().unwrap();
    let ipam = json!({"type": "host-local", "dataDir": folder.path(), "ranges": [[{"subnet": "10.7.0.0/16"}]]});
    let config = config("1.1.0", "bridge", json!({"ipam": ipam}));
    let taken = in_parallel(count, |number| take(&plugins, &config, number));
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), count, "an address was taken twice");
    let pool = folder.path().join("mynet");
    assert_eq!(files(&pool).len(), count);
    // What one took the other gives back.
    in_parallel(count, |number| give_back(&plugins, &config, number));
    assert_eq!(files(&pool), Vec::<String>::new());
}

fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let taker = |first| scope.spawn(move || (first..count).step_by(TAKERS).map(work).collect::<Vec<_>>());
        let takers: Vec<_> = (0..TAKERS).map(taker).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    })
}

fn take(plugins: &Path, config: &Value, number: usize) -> String {
    if number.is_multiple_of(2) {
        let result = with_call(config, &attachment(number), |call| HostLocal.add(call)).unwrap();
        return result.ips[0].address.to_string();
    }
    let result = call_program(plugins, "host-local", "ADD", config, &attachment(number)).unwrap();
    result["ips"][0]["address"].as_str().unwrap().to_owned()
}

fn give_back(plugins: &Path, config: &Value, number: usize) {
    if !number.is_multiple_of(2) {
        with_call(config, &attachment(number), |call| HostLocal.del(call)).unwrap();
    } else {
        call_program(plugins, "host-local", "DEL", config, &attachment(number)).unwrap();
    }
}
