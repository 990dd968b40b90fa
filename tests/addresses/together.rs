//! Many pods that start at the same time on a node with an empty stock.

use super::*;

/// As a node after a reboot: more pods than a few blocks have addresses for.
const PODS: usize = 48;

#[test]
fn pods_that_start_together_all_get_an_address_at_once() {
    let Some(server) = server() else { return };
    put_pool(
        &server,
        "together",
        &json!({"blockSize": {"v4": 4, "v6": 4}, "warm": {"min": 0, "max": 256}, "ranges": [{"range": "10.47.0.0/24"}]}),
    );
    let machine = Machine::new(&server, "together");
    let add = |pod: usize| machine.add("together", &format!("c{pod}"));
    // No runtime has to try again.
    let all: Vec<String> = std::thread::scope(|scope| {
        let pods: Vec<_> = (0..PODS).map(|pod| scope.spawn(move || add(pod))).collect();
        pods.into_iter().map(|pod| pod.join().unwrap().unwrap_or_else(|e| panic!("{e}\n{}", machine.log()))).collect()
    });
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), PODS, "an address was given twice: {all:?}");
    // They shared what was leased.
    let leased = blocks(&server, "together").len();
    assert!(leased <= 2 * PODS.div_ceil(4), "{leased} blocks for {PODS} pods");
}
