//! The copy of the list of a long pool.

use super::*;
use crate::delegate::ipam::leased::listing::{LISTING, Listing};
use crate::ipam::memory::Former;
use crate::sys::shared_folder::State;

/// So many blocks of two addresses.
const BLOCKS: usize = 80;

fn node() -> Arc<FakeNode> {
    let first: Vec<String> = (0..BLOCKS).map(|block| format!("10.0.0.{}", 2 * block + 2)).collect();
    let node = FakeNode::new(&["10.0.0.0/24"], &first.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    node.grant.lock().unwrap().as_mut().unwrap().warm = Warm { min: 0, max: 999 };
    node
}

fn folder(node: &FakeNode) -> PathBuf {
    node.folder.path().join("lan")
}

/// The copy, if it counts.
fn copy(node: &FakeNode) -> Option<Listing> {
    let bytes = std::fs::read(folder(node).join(LISTING)).ok()?;
    Listing::from_bytes(&bytes, State::of(&std::fs::metadata(folder(node)).unwrap()))
}

/// What the files say.
fn listed(node: &FakeNode) -> Listing {
    let mut former: Vec<Former> = node.all_files().iter().filter_map(|name| Former::parse(name)).collect();
    former.sort_by_key(|one| (one.address, one.at));
    Listing { taken: node.names().iter().map(|name| name.parse::<IpAddr>().unwrap()).collect(), former }
}

fn del_of(node: &Arc<FakeNode>, container: &str, address: &str) {
    del(node, container, &format!(r#","prevResult":{{"cniVersion":"1.1.0","ips":[{{"address":"{address}"}}]}}"#));
}

#[test]
fn a_copy_says_what_the_files_say() {
    let node = node();
    let mut have = Vec::new();
    for turn in 0..150 {
        have.push((format!("c{turn}"), add(&node, &format!("c{turn}")).unwrap().remove(0)));
        if turn % 5 == 4 {
            let (container, address) = have.remove(turn % have.len());
            del_of(&node, &container, &address);
            node.pass(1);
        }
        let now = listed(&node);
        match now.is_long() {
            true => assert_eq!(copy(&node), Some(now), "{turn}"),
            false => assert_eq!(copy(&node), None, "{turn}"),
        }
    }
    assert!(copy(&node).is_some());
    // A DEL without a result looks at all files.
    del(&node, &have[0].0, "");
    let mut now = copy(&node).unwrap();
    now.former.sort_by_key(|one| (one.address, one.at));
    assert_eq!(now, listed(&node));
}

#[test]
fn a_copy_that_is_wrong_gives_no_address_twice_and_no_block_back() {
    let node = node();
    let have: Vec<String> = (0..140).map(|turn| add(&node, &format!("c{turn}")).unwrap().remove(0)).collect();
    let last: IpAddr = have.last().unwrap().split('/').next().unwrap().parse().unwrap();
    let IpAddr::V4(last) = last else { panic!("{last}") };
    // Somebody takes the other address of a block, and the next one, within one tick of the clock.
    let taken = [have[0].replace("/24", ""), std::net::Ipv4Addr::from(u32::from(last) + 1).to_string()];
    del_of(&node, "c0", &have[0]);
    let old = copy(&node).unwrap();
    taken.iter().for_each(|name| std::fs::write(folder(&node).join(name), "other\r\nnet1\r\nnet").unwrap());
    let state = State::of(&std::fs::metadata(folder(&node)).unwrap());
    std::fs::write(folder(&node).join(LISTING), old.to_bytes(state)).unwrap();
    assert_eq!(copy(&node), Some(old));
    // The block of c0 and c1 looks empty when c1 goes.
    node.grant.lock().unwrap().as_mut().unwrap().warm = Warm { min: 0, max: 0 };
    del_of(&node, "c1", &have[1]);
    let released = node.report.lock().unwrap().released.clone();
    assert!(!released.iter().any(|one| one.first.to_string() == taken[0]), "{released:?}");
    let next = add(&node, "next").unwrap().remove(0).replace("/24", "");
    assert!(!taken.contains(&next), "{next}");
    for name in taken {
        assert_eq!(node.files()[&name], "other\r\nnet1\r\nnet");
    }
}
