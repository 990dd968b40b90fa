//! A request of the plugin for a block: pods of one node that wait together share what is leased for one of them.

/// A request, by any clock that only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiting<T> {
    /// When it was asked.
    pub asked: T,
    /// Until when somebody waits for the answer; none where nobody does, and it is done all the same.
    pub until: Option<T>,
}

impl<T: Ord + Copy> Waiting<T> {
    /// Whether nobody waits any more: a block would be leased for nobody.
    pub fn is_over(&self, now: T) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether the block that was `leased` last, with `size` addresses, is for this request, too. The plugin that asked after
    /// that has seen the block, and needs another one.
    pub fn is_served(&self, leased: Option<T>, size: u32) -> bool {
        size > 1 && leased.is_some_and(|leased| leased > self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::exhaustive::{Model, Search, digest, explore};

    /// Plugins wait so long.
    const PATIENCE: u32 = 3;
    const PODS: usize = 3;

    /// A rule of the design that is left out, to see that the check notices.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Without {
        Nothing,
        /// The daemon leases for a plugin that waits for it no more.
        Asker,
        /// Each plugin that waits for a block gets one of its own.
        Sharing,
        /// The last block that was leased also answers a plugin that asked after that.
        Asking,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Pod {
        Idle,
        Waits(u32),
        /// Its request is served: others wait for its end.
        Served(u32),
        Done,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        now: u32,
        pods: [Pod; PODS],
        /// When the last block was leased.
        leased: Option<u32>,
        fault: Option<String>,
    }

    #[derive(Clone)]
    struct Case(World, Without);

    impl Case {
        /// The request of `pod`, asked at `asked`, has the lock.
        fn serve(&mut self, pod: usize, asked: u32) {
            let Case(world, without) = self;
            let request = Waiting { asked, until: Some(asked + PATIENCE) };
            if request.is_over(world.now) && *without != Without::Asker {
                world.pods[pod] = Pod::Done;
                return;
            }
            let is_served = match without {
                Without::Sharing => false,
                Without::Asking => world.leased.is_some(),
                Without::Nothing | Without::Asker => request.is_served(world.leased, 4),
            };
            let came = world.leased.is_some_and(|leased| leased > asked);
            world.pods[pod] = if is_served { Pod::Done } else { Pod::Served(asked) };
            world.fault = match (is_served, came) {
                (true, false) => Some("a plugin is answered that asked after the last block was leased".to_owned()),
                (false, true) => Some("a block is leased for a plugin that waited while one was leased".to_owned()),
                (false, false) if world.now >= asked + PATIENCE => Some("a block is leased for nobody".to_owned()),
                _ => None,
            };
        }
    }

    impl Model for Case {
        fn key(&self) -> u128 {
            digest(&self.0)
        }

        fn successors(&self) -> Vec<Self> {
            let world = &self.0;
            let mut all = Vec::new();
            let mut add = |change: &dyn Fn(&mut Case)| {
                let mut next = self.clone();
                change(&mut next);
                all.push(next);
            };
            if world.now < 8 {
                add(&|next| next.0.now += 1);
            }
            let is_locked = world.pods.iter().any(|pod| matches!(pod, Pod::Served(_)));
            for at in 0..PODS {
                match world.pods[at] {
                    Pod::Idle => add(&|next| next.0.pods[at] = Pod::Waits(next.0.now)),
                    Pod::Waits(asked) if !is_locked => add(&|next| next.serve(at, asked)),
                    Pod::Served(_) => add(&|next| {
                        (next.0.pods[at], next.0.leased) = (Pod::Done, Some(next.0.now));
                    }),
                    Pod::Waits(_) | Pod::Done => {}
                }
            }
            all
        }

        fn fault(&self) -> Option<String> {
            self.0.fault.clone()
        }
    }

    fn try_all(without: Without) -> (usize, Option<String>) {
        let world = World { now: 0, pods: [Pod::Idle; PODS], leased: None, fault: None };
        explore(Case(world, without), Search::Shortest)
    }

    #[test]
    fn pods_that_wait_together_share_a_block_and_nobody_else_does() {
        let (worlds, fault) = try_all(Without::Nothing);
        println!("{worlds} states");
        assert_eq!(fault, None);
        assert!(worlds > 1_000, "{worlds}");
    }

    #[test]
    fn each_rule_of_waiting_is_needed() {
        for without in [Without::Asker, Without::Sharing, Without::Asking] {
            let found = try_all(without).1;
            println!("without {without:?}: {found:?}");
            assert!(found.is_some(), "without {without:?} nothing is noticed");
        }
    }

    #[test]
    fn blocks_of_one_address_are_not_shared() {
        let request = Waiting { asked: 1, until: None };
        assert!(request.is_served(Some(2), 2) && !request.is_served(Some(2), 1) && !request.is_over(u32::MAX));
    }
}
