//! What is leased for pods of this node. Where nothing is free, other nodes are asked to return what they keep beyond their
//! need, and the pod waits for it for a moment. So it is with a block that another node has.

use super::claiming::Trouble;
use super::keeper::{Keeper, RESYNC_EVERY, State};
use crate::cluster::Freed;
use crate::ipam::grant::family;
use crate::ipam::reservation::Whose;
use crate::ipam::scarcity::{Ask, Wanted};
use crate::ipam::waiting::Waiting;
use crate::ipam::{Holder, Pool, PoolSpec};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout_at};

/// A confirmation that the plugin asks for may be so old.
const FRESH: Duration = Duration::from_secs(30);
/// For so long a pod waits for a block that another node returns.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where it cannot be seen when a block becomes free, they are listed after so long.
const LIST_AGAIN: Duration = Duration::from_millis(500);

/// What a pod of this node needs.
pub enum Wish {
    /// A block of each of these families, and of those of which this node has none. A pool without an object has the addresses
    /// that follow, each from the first to the last; of another one the blocks with these addresses are leased.
    Blocks(Vec<u8>, Vec<(IpAddr, IpAddr)>),
    /// The addresses that are kept for the pod. Pods of this node have those that follow.
    Kept(Whose, BTreeSet<IpAddr>),
}

/// Why there is nothing, in one line.
#[derive(Debug)]
pub enum NoLease {
    /// There may be later.
    Later(String),
    /// There will not be while the pool and the network are as they are.
    Never(String),
}

impl Keeper {
    /// Leases what is wished, for a plugin that waits `until` then. Answers what is kept for the pod, if that is wished.
    ///
    /// # Errors
    /// There is none.
    pub async fn lease(&self, wish: &Wish, until: Instant) -> Result<Vec<IpAddr>, NoLease> {
        let deadline = Instant::now() + PATIENCE;
        let mut trouble = match self.try_to_lease(wish, Some(until)).await {
            Ok(kept) => return Ok(kept),
            Err(trouble) => trouble,
        };
        // Of this node one pod waits for any block at a time, and each that waits for one of its own.
        let turn = match trouble {
            Trouble::Dry(_) => {
                self.ask_others(None).await;
                timeout_at(deadline.into(), self.turn.lock()).await.map(Some)
            }
            _ => Ok(None),
        };
        while turn.is_ok() {
            let block = match &trouble {
                Trouble::Dry(_) => None,
                Trouble::Elsewhere(block, _) => Some(block.first),
                Trouble::Other(_) | Trouble::Never(_) => break,
            };
            self.ask_others(block).await;
            if !self.wait_for_others(block, deadline).await {
                break;
            }
            trouble = match self.try_to_lease(wish, Some(until)).await {
                Ok(kept) => return Ok(kept),
                Err(trouble) => trouble,
            };
        }
        Err(match trouble {
            Trouble::Never(why) => NoLease::Never(why),
            Trouble::Elsewhere(_, why) | Trouble::Other(why) => NoLease::Later(why),
            Trouble::Dry(why) => {
                self.metrics.exhausted(&self.pool);
                // One of ours may be somebody else's by now.
                self.state.lock().await.synced = None;
                NoLease::Later(why)
            }
        })
    }

    /// Leases blocks of `families` for pods that may come. Nobody waits for them.
    pub async fn lease_ahead(&self, families: &[u8]) {
        let families = self.families_with_stock(families).await;
        if families.is_empty() {
            return;
        }
        let outcome = match self.try_to_lease(&Wish::Blocks(families, Vec::new()), None).await {
            Ok(_) => Ok(()),
            Err(Trouble::Dry(why) | Trouble::Elsewhere(_, why) | Trouble::Other(why) | Trouble::Never(why)) => Err(why),
        };
        self.pause_after(&mut *self.state.lock().await, outcome);
    }

    /// Those of `families` of which the pool has addresses that any pod may get: of others there is nothing to keep.
    async fn families_with_stock(&self, families: &[u8]) -> Vec<u8> {
        let state = self.state.lock().await;
        let pool = state.spec.as_ref().filter(|_| !self.pool.is_implied()).and_then(|spec| Pool::new(spec).ok());
        let has = |one: &&u8| pool.as_ref().is_none_or(|pool| !pool.usable(**one == family(true)).is_empty());
        families.iter().filter(has).copied().collect()
    }

    /// Other nodes see the mark, and return what they keep; for a block, the one that has it.
    async fn ask_others(&self, block: Option<IpAddr>) {
        let wanted = Wanted { pool: self.pool.clone(), block };
        let version = match self.marks.ask(&wanted) {
            Ask::Wait => return,
            Ask::Create => None,
            Ask::Renew(version) => Some(version),
        };
        let Ok(kubernetes) = self.kubernetes() else { return };
        // It names no other request of this or another daemon.
        let word = format!("{}-{}", self.prefix, self.marks.seconds());
        if let Err(reason) = kubernetes.mark_shortage(&wanted, &word, version.as_deref()).await {
            tracing::warn!(pool = %self.pool, reason, "other nodes cannot be asked for addresses");
        }
    }

    /// Whether there may be a free block now, or `block` may be free, or nothing is known of that; not if the time is over.
    async fn wait_for_others(&self, block: Option<IpAddr>, deadline: Instant) -> bool {
        let Ok(kubernetes) = self.kubernetes() else { return false };
        let version = self.state.lock().await.others.as_ref().map(|(_, version)| version.clone()).unwrap_or_default();
        let freed = kubernetes.freed_blocks(&self.pool, &version, block, deadline.into()).await;
        let mut state = self.state.lock().await;
        match freed {
            Freed::Nothing => false,
            Freed::Blocks(blocks) => {
                state.holder.iter_mut().for_each(|holder| holder.freed(&blocks));
                state.others = Some((Instant::now(), version));
                true
            }
            Freed::Unknown => {
                state.others = None;
                drop(state);
                sleep_until((Instant::now() + LIST_AGAIN).min(deadline).into()).await;
                Instant::now() < deadline
            }
        }
    }

    async fn try_to_lease(&self, wish: &Wish, until: Option<Instant>) -> Result<Vec<IpAddr>, Trouble> {
        let waiting = Waiting { asked: Instant::now(), until };
        let mut state = self.state.lock().await;
        // Where the API server is slow, many requests wait here. One that nobody waits for would lease a block for nobody.
        if waiting.is_over(Instant::now()) {
            return Err(Trouble::Other("earlier requests for this pool took too long".to_owned()));
        }
        let state = &mut *state;
        self.heed_restore(state);
        let limit = match wish {
            Wish::Blocks(families, _) if !families.is_empty() => RESYNC_EVERY,
            // The plugin may ask because its confirmation is too old.
            _ => FRESH,
        };
        if state.synced.is_none_or(|synced| synced.elapsed() > limit) {
            self.resync(state, waiting.asked).await?;
        } else {
            self.read_own_pool(state, waiting.asked).await?;
        }
        if let (true, Wish::Blocks(families, within)) = (self.pool.is_implied(), wish) {
            let pool = Pool::of_addresses(within);
            for is_v4 in [true, false].into_iter().filter(|is_v4| families.contains(&family(*is_v4))) {
                self.lease_one(state, &pool, is_v4).await?;
            }
            self.publish(state)?;
            return Ok(Vec::new());
        }
        let spec = state.spec.clone().filter(|spec| !spec.ranges.is_empty());
        let spec = spec.ok_or_else(|| "it does not exist, or has no range".to_owned())?;
        let pool = Pool::new(&spec).map_err(|e| e.to_string())?;
        if let Some(why) = &state.barred {
            let why = why.clone();
            // What was granted before that.
            self.publish(state)?;
            return Err(Trouble::Other(why));
        }
        self.lease_of(state, (&spec, &pool), wish, waiting).await
    }

    /// Of a pool that may be used.
    async fn lease_of(
        &self,
        state: &mut State,
        (spec, pool): (&PoolSpec, &Pool),
        wish: &Wish,
        waiting: Waiting<Instant>,
    ) -> Result<Vec<IpAddr>, Trouble> {
        let mut kept = Vec::new();
        match wish {
            Wish::Kept(whose, taken) => {
                self.take_reported(state).await;
                kept = self.lease_kept(state, (spec, pool), whose, taken).await?;
            }
            Wish::Blocks(_, within) if !within.is_empty() => {
                self.take_reported(state).await;
                for (address, _) in within {
                    self.lease_with(state, pool, *address).await?;
                }
            }
            Wish::Blocks(families, _) => self.lease_any(state, (spec, pool), families, waiting).await?,
        }
        self.publish(state)?;
        Ok(kept)
    }

    async fn lease_any(
        &self,
        state: &mut State,
        (spec, pool): (&PoolSpec, &Pool),
        families: &[u8],
        waiting: Waiting<Instant>,
    ) -> Result<(), Trouble> {
        for is_v4 in pool.families().collect::<Vec<_>>() {
            let has = state.holder.iter().flat_map(Holder::held).any(|granted| granted.first.is_ipv4() == is_v4);
            let size = if is_v4 { spec.block_size.v4 } else { spec.block_size.v6 };
            // Others that waited with this request may have had it leased.
            let just = waiting.is_served(state.leased[usize::from(!is_v4)], size);
            if !has || (families.contains(&family(is_v4)) && !just) {
                self.lease_one(state, pool, is_v4).await?;
            }
        }
        Ok(())
    }
}
