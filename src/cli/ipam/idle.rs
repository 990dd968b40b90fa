//! Blocks that a node keeps although no pod of it needs them.

use super::read::SeenPool;
use crate::cli::output::counted::counted;
use crate::ipam::stock::Keeping;
use crate::ipam::{Confirmed, Stock, Taken};

/// So long after its last pod a node has returned what it does not keep, in seconds.
const RETURNED_AFTER: u64 = 900;

/// What is wrong at `now` with the blocks of a pool that no pod has had an address of for a while. A machine that started since
/// then keeps them until a pod of the pool comes.
pub fn kept_idly(pool: &SeenPool, now: &Confirmed) -> Option<String> {
    let grant = pool.grant.as_ref().filter(|_| pool.taken.is_empty())?;
    let (started, passed) = (now.clock.saturating_sub(now.since_boot), now.clock.saturating_sub(pool.changed));
    if passed <= RETURNED_AFTER || pool.changed < started {
        return None;
    }
    let stock = Stock::new(grant, &pool.report);
    let keeping = Keeping { warm: stock.warm(), former: &pool.former, now };
    let needless = stock.report_keeping(&Taken::default(), &keeping).released.len();
    let why = "look at the log of plexusd, and whether the container keeper runs";
    (needless > 0).then(|| {
        format!(
            "no pod has had an address for {passed} s, and the node has not returned {}: {why}",
            counted(needless, "block")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::report::Released;
    use crate::ipam::{Grant, PoolName, Report};

    /// A pool with three blocks of four addresses, of which a node keeps eight without need.
    fn pool(changed: u64) -> SeenPool {
        let text = "pool lan\nconfirmed b 1 1\nauthority 600\nwarm 1 8\nsubnet 10.0.0.0/24\nblock 10.0.0.0 4 a 10.0.0.0 10.0.0.3\nblock 10.0.0.4 4 b 10.0.0.4 10.0.0.7\nblock 10.0.0.8 4 c 10.0.0.8 10.0.0.11\n";
        SeenPool {
            name: PoolName::new("lan").unwrap(),
            taken: Vec::new(),
            former: Vec::new(),
            grant: Some(Grant::parse(text).unwrap()),
            report: Report::default(),
            changed,
        }
    }

    #[test]
    fn what_nobody_needs_is_returned_after_a_while() {
        // L2
        let now = Confirmed { boot: "b".to_owned(), since_boot: 5000, clock: 10_000 };
        let told = |pool: &SeenPool| kept_idly(pool, &now);
        assert!(told(&pool(9000)).unwrap().contains("has not returned 1 block:"), "{:?}", told(&pool(9000)));
        assert_eq!(told(&pool(9100)), None, "it may be on its way");
        assert_eq!(told(&pool(4000)), None, "the machine started since then");
        let mut few = pool(9000);
        few.grant.as_mut().unwrap().offers.pop();
        assert_eq!(told(&few), None, "so many it keeps");
        // The plugin gave one back, and the daemon still has it.
        let released = Released { first: "10.0.0.8".parse().unwrap(), lease: "c".to_owned() };
        let given_back = SeenPool { report: Report { released: vec![released], ..Report::default() }, ..pool(9000) };
        assert!(told(&given_back).is_some());
    }
}
