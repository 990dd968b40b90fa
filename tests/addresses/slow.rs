//! An API server that answers late: pods with many networks that start together on a node with an empty stock.

use super::*;
use crowd::{more, requests};
use std::time::{Duration, Instant};
use support::proxy::Proxy;

const BLOCK: usize = 4;
/// A kubelet tries again for longer.
const RETRIED: Duration = Duration::from_secs(600);

/// How many pods and networks; `PLEXUS_IPAM_SLOW=128` is the number of pods that the design asks for, with 17 networks.
fn numbers(delay: u64) -> [usize; 2] {
    let asked = std::env::var("PLEXUS_IPAM_SLOW").ok().and_then(|text| text.parse().ok());
    asked.map_or([8, if delay < 100 { 17 } else { 3 }], |pods| [pods, 17])
}

fn name(delay: u64, number: usize) -> String {
    format!("slow{delay}-{number}")
}

fn pool(delay: u64, number: usize) -> Value {
    let subnet = format!("10.{}.{number}", if delay < 100 { 43 } else { 44 });
    let ends = [format!("{subnet}.0-{subnet}.3"), format!("{subnet}.252-{subnet}.255")];
    let range = json!({"range": format!("{subnet}.0/24"), "exclude": ends});
    json!({
        "apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": name(delay, number)},
        "spec": {"blockSize": {"v4": BLOCK, "v6": BLOCK}, "warm": {"min": 0, "max": 256}, "ranges": [range]},
    })
}

/// Pods that start together, each with one network after another, as a kubelet starts them; answers their addresses.
fn wave(machine: &Machine, delay: u64, wave: &str) -> BTreeSet<String> {
    let [pods, networks] = numbers(delay);
    let pod = |pod: usize| -> Vec<String> {
        let container = format!("{wave}{pod}");
        let add = |number: usize| {
            let begun = Instant::now();
            loop {
                match machine.add(&name(delay, number), &container) {
                    Ok(address) => return address,
                    Err(error) => {
                        let is_late = begun.elapsed() > RETRIED;
                        assert!(error.contains("\"code\": 11") && !is_late, "{error}\n{}", machine.log());
                    }
                }
            }
        };
        (0..networks).map(add).collect()
    };
    let all: Vec<String> = std::thread::scope(|scope| {
        let pods: Vec<_> = (0..pods).map(|number| scope.spawn(move || pod(number))).collect();
        pods.into_iter().flat_map(|pod| pod.join().unwrap()).collect()
    });
    let different: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!((all.len(), different.len()), (pods * networks, pods * networks), "an address was given twice");
    different
}

#[test]
fn pods_get_their_addresses_from_an_api_server_that_answers_late() {
    // Case 4
    let Some(server) = server_alone() else { return };
    for delay in [50, 500] {
        let [pods, networks] = numbers(delay);
        let pools: Vec<Value> = (0..networks).map(|number| pool(delay, number)).collect();
        apply(&server, &json!({"apiVersion": "v1", "kind": "List", "items": pools}).to_string());
        let mut machine = Machine::new(&server, &format!("slow{delay}"));
        machine.daemon = None;
        let address = server.url().strip_prefix("https://").unwrap().parse().unwrap();
        let proxy = Proxy::late(address, Duration::from_millis(delay));
        machine.kubeconfig = proxy.kubeconfig(&machine.kubeconfig, &server.url(), machine.path("late.kubeconfig"));
        machine.start();
        let written = |before: &BTreeMap<String, u64>| {
            more(["POST", "PUT", "PATCH", "DELETE"], before, &requests(&server, "addressblocks"))
        };
        let (before, begun) = (requests(&server, "addressblocks"), Instant::now());
        wave(&machine, delay, "a");
        let [created, rest @ ..] = written(&before);
        let needed = u64::try_from(networks * pods.div_ceil(BLOCK)).unwrap();
        support::say(&format!(
            "{created} blocks, {needed} needed, {:?} with answers after {delay} ms",
            begun.elapsed()
        ));
        // Whoever asks in the moment in which a block is granted may get another one, and each of those serves the next.
        assert!((needed..=2 * needed).contains(&created) && rest == [0; 3], "{created} {rest:?}\n{}", machine.log());
        for pod in 0..pods {
            (0..networks).for_each(|number| machine.del(&name(delay, number), &format!("a{pod}")));
        }
        // A node with a stock asks nobody.
        let before = requests(&server, "addressblocks");
        wave(&machine, delay, "b");
        assert_eq!(written(&before), [0; 4], "{}", machine.log());
    }
}
