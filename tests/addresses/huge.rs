//! A range that nobody counts, of which a small part may be used.

use super::*;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use plexus::cluster::addresses::{AddressBlock, NODE, node_label};
use plexus::cluster::configuration;
use plexus::ipam::{Block, PoolName};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

const SIZE: u32 = 256;
/// The last block of the /112 that is not excluded.
const LAST: &str = "fd48::ff00";

/// Blocks that another node leases, and the way to write them: 255 calls of kubectl take a minute.
struct Elsewhere {
    runtime: tokio::runtime::Runtime,
    api: Api<AddressBlock>,
}

impl Elsewhere {
    const NODE: &str = "elsewhere";

    fn new(server: &ApiServer) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = async { kube::Client::try_from(configuration(Some(server.kubeconfig())).await.unwrap()).unwrap() };
        let api = Api::all(runtime.block_on(client));
        Elsewhere { runtime, api }
    }

    /// All blocks of the /112 but the last one. Anybody may delete them again.
    fn lease_all(&self) {
        let begin = u128::from("fd48::".parse::<Ipv6Addr>().unwrap());
        let pool = PoolName::new("huge").unwrap();
        let create = |number: u128| {
            let first = Ipv6Addr::from(begin + number * u128::from(SIZE)).into();
            let mut object = AddressBlock::of(&pool, &Block { first, size: SIZE }, (Self::NODE, ""), "l");
            object.metadata.annotations = Some([("ipam.plexus.dev/force".to_owned(), "true".to_owned())].into());
            async move { self.api.create(&PostParams::default(), &object).await.map(drop).unwrap() }
        };
        self.runtime.block_on(futures::future::join_all((0..255).map(create)));
    }

    fn delete_all(&self) {
        let own = ListParams::default().labels(&format!("{NODE}={}", node_label(Self::NODE)));
        let delete = DeleteParams::default();
        drop(self.runtime.block_on(self.api.delete_collection(&delete, &own)).unwrap());
    }
}

#[test]
fn the_free_part_of_a_huge_range_is_used_up() {
    // Case 48
    let Some(server) = server() else { return };
    let range = json!({"range": "fd48::/64", "exclude": ["fd48::1:0-fd48::ffff:ffff:ffff:ffff"]});
    let (size, warm) = (json!({"v4": SIZE, "v6": SIZE}), json!({"min": 0, "max": 0}));
    put_pool(&server, "huge", &json!({"blockSize": size, "ranges": [range], "warm": warm}));
    let elsewhere = Elsewhere::new(&server);
    elsewhere.lease_all();
    let machine = Machine::new(&server, "huge1");
    let begun = Instant::now();
    let got = machine.add("huge", "c0").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(got, format!("{LAST}/64"), "{}", machine.log());
    // Pods have the others of this block.
    let last = u128::from(LAST.parse::<Ipv6Addr>().unwrap());
    for number in 1..u128::from(SIZE) {
        let path = machine.path("state/pools/huge").join(Ipv6Addr::from(last + number).to_string());
        std::fs::write(path, format!("planted{number}\r\nnet1\r\nnet")).unwrap();
    }
    let error = machine.add("huge", "c1").unwrap_err();
    for told in ["\"code\": 11", "pool huge: no IPv6 address is free in the blocks of this node", "nodes hold all 256"]
    {
        assert!(error.contains(told), "{error}");
    }
    // One of them ends.
    let one = Ipv6Addr::from(last + 77).to_string();
    for folder in ["run/taken/huge", "state/pools/huge"] {
        std::fs::remove_file(machine.path(folder).join(&one)).unwrap();
    }
    assert_eq!(machine.add("huge", "c1"), Ok(format!("{one}/64")));
    elsewhere.delete_all();
}
