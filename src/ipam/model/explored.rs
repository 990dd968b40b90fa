//! What is explored, and that a rule which is left out is noticed.

use super::super::exhaustive::{Model, Search, digest, explore, is_full};
use super::{Budget, Without, World};

#[derive(Clone)]
struct Case(World, Without);

impl Model for Case {
    fn key(&self) -> u128 {
        let World { store, revisions, nodes, left } = &self.0;
        let nodes = nodes.each_ref().map(digest);
        // Which node is which makes no difference.
        let as_seen_from = |first: usize| {
            let store = store.each_ref().map(|one| one.as_ref().map(|(owner, lease, of)| (*owner == first, lease, of)));
            digest(&(store, revisions, nodes[first], nodes[1 - first], left))
        };
        as_seen_from(0).min(as_seen_from(1))
    }

    fn successors(&self) -> Vec<Self> {
        self.0.successors(self.1).into_iter().map(|world| Case(world, self.1)).collect()
    }

    fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

/// What may come together. The sum of all would be too many worlds for a test.
const BUDGETS: [Budget; 4] = [
    Budget { wants: 2, silences: 1, kills: 1, boots: 0, erasures: 0 },
    Budget { wants: 2, silences: 0, kills: 1, boots: 1, erasures: 0 },
    Budget { wants: 3, silences: 1, kills: 0, boots: 0, erasures: 0 },
    Budget { wants: 2, silences: 0, kills: 1, boots: 0, erasures: 1 },
];

/// More of it, for `make simulate`.
const LARGE: [Budget; 1] = [Budget { wants: 2, silences: 1, kills: 1, boots: 1, erasures: 1 }];

#[test]
fn no_order_of_events_gives_a_block_to_two_nodes() {
    // U1, U2, U4
    for left in BUDGETS.into_iter().chain(LARGE.into_iter().filter(|_| is_full())) {
        let (worlds, fault) = explore(Case(World::new(left), Without::Nothing), Search::Deepest);
        println!("{left:?}: {worlds} states");
        assert_eq!(fault, None);
        assert!(worlds > 1_000, "{worlds}");
    }
}

#[test]
fn each_rule_is_needed() {
    use Without::{Answer, Boot, Copies, DeleteVersion, Release, Renewal};
    for without in [Answer, DeleteVersion, Renewal, Release, Boot, Copies] {
        let of = |left: Budget| explore(Case(World::new(left), without), Search::Shortest);
        let found = BUDGETS.into_iter().find_map(|left| of(left).1);
        println!("without {without:?}: {found:?}");
        assert!(found.is_some(), "without {without:?} nothing is noticed");
    }
}
