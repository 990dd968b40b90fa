//! How a block is leased for pods of this node. Where none is free, other nodes are asked to return what they keep beyond
//! their need, and the pod waits for it for a moment.

use super::keeper::{Keeper, RESYNC_EVERY, State};
use crate::cluster::Freed;
use crate::cluster::addresses::number;
use crate::ipam::grant::family;
use crate::ipam::scarcity::Ask;
use crate::ipam::{Block, Event, Holder, Pool};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout_at};

/// A confirmation that the plugin asks for may be so old.
const FRESH: Duration = Duration::from_secs(30);
/// After so many blocks that others hold, all of them are listed.
const BLIND_TRIES: usize = 3;
/// Tries of one lease: other nodes lease at the same time.
const TRIES: usize = 8;
/// For so long a pod waits for a block that another node returns.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is known of the blocks of others is not asked for again in that time.
const KNOWN: Duration = Duration::from_secs(1);
/// Where it cannot be seen when a block becomes free, they are listed after so long.
const LIST_AGAIN: Duration = Duration::from_millis(500);

/// Why there is no block.
pub enum Trouble {
    /// None is free.
    Dry(String),
    /// Another reason.
    Other(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Other(why)
    }
}

impl Keeper {
    /// Leases a block of each of `families`, and of those of which this node has none. A pool without an object has the
    /// addresses `within`; of another one the blocks with these addresses are leased, for a pod that asks for them.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub async fn lease(&self, families: &[u8], within: &[(IpAddr, IpAddr)]) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let why = match self.try_to_lease(families, within).await {
            Ok(()) => return Ok(()),
            Err(Trouble::Other(why)) => return Err(why),
            Err(Trouble::Dry(why)) => why,
        };
        self.ask_others().await;
        if let Ok(_turn) = timeout_at(deadline.into(), self.turn.lock()).await {
            while self.wait_for_others(deadline).await {
                match self.try_to_lease(families, within).await {
                    Ok(()) => return Ok(()),
                    Err(Trouble::Other(why)) => return Err(why),
                    Err(Trouble::Dry(_)) => {}
                }
            }
        }
        self.metrics.exhausted(&self.pool);
        // One of ours may be somebody else's by now.
        self.state.lock().await.synced = None;
        Err(why)
    }

    /// Leases blocks of `families` for pods that may come. Nobody waits for them.
    pub async fn lease_ahead(&self, families: &[u8]) {
        if families.is_empty() {
            return;
        }
        let outcome = match self.try_to_lease(families, &[]).await {
            Ok(()) => Ok(()),
            Err(Trouble::Dry(why) | Trouble::Other(why)) => Err(why),
        };
        self.pause_after(&mut *self.state.lock().await, outcome);
    }

    /// Other nodes see the mark, and return what they keep.
    async fn ask_others(&self) {
        let version = match self.marks.ask(&self.pool) {
            Ask::Wait => return,
            Ask::Create => None,
            Ask::Renew(version) => Some(version),
        };
        let Ok(kubernetes) = self.kubernetes() else { return };
        // It names no other request of this or another daemon.
        let word = format!("{}-{}", self.prefix, self.marks.seconds());
        if let Err(reason) = kubernetes.mark_shortage(&self.pool, &word, version.as_deref()).await {
            tracing::warn!(pool = %self.pool, reason, "other nodes cannot be asked for addresses");
        }
    }

    /// Whether there may be a free block now, or nothing is known of that; not if the time is over.
    async fn wait_for_others(&self, deadline: Instant) -> bool {
        let Ok(kubernetes) = self.kubernetes() else { return false };
        let version = self.state.lock().await.others.as_ref().map(|(_, version)| version.clone()).unwrap_or_default();
        let freed = kubernetes.freed_blocks(&self.pool, &version, deadline.into()).await;
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

    async fn try_to_lease(&self, families: &[u8], within: &[(IpAddr, IpAddr)]) -> Result<(), Trouble> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let limit = if families.is_empty() { FRESH } else { RESYNC_EVERY };
        if state.synced.is_none_or(|synced| synced.elapsed() > limit) {
            self.resync(state).await?;
        } else {
            self.read_pool(state).await?;
        }
        if self.pool.is_implied() {
            let pool = Pool::of_addresses(within);
            for is_v4 in [true, false].into_iter().filter(|is_v4| families.contains(&family(*is_v4))) {
                self.lease_one(state, &pool, is_v4).await?;
            }
            return Ok(self.publish(state)?);
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
        if !within.is_empty() {
            for (address, _) in within {
                self.lease_requested(state, &pool, *address).await?;
            }
            return Ok(self.publish(state)?);
        }
        for is_v4 in pool.families().collect::<Vec<_>>() {
            let has = state.holder.iter().flat_map(Holder::held).any(|granted| granted.first.is_ipv4() == is_v4);
            let size = if is_v4 { spec.block_size.v4 } else { spec.block_size.v6 };
            // Others that waited with this request may have had it leased.
            let just = size > 1 && state.leased[usize::from(!is_v4)].is_some_and(|leased| leased > asked);
            if !has || (families.contains(&family(is_v4)) && !just) {
                self.lease_one(state, &pool, is_v4).await?;
            }
        }
        Ok(self.publish(state)?)
    }

    /// Leases the block with `address`, which a pod asks for.
    async fn lease_requested(&self, state: &mut State, pool: &Pool, address: IpAddr) -> Result<(), Trouble> {
        pool.judge_request(address).map_err(|why| format!("{address}: {why}"))?;
        let block = pool.block_of(address);
        if state.holder.as_ref().is_some_and(|holder| holder.holds(block.first)) || self.want(state, block).await? {
            return Ok(());
        }
        let holder = self.kubernetes()?.holder_of(&self.pool, &block).await.map_err(|e| e.to_string())?;
        let own = self.kubernetes()?.node();
        Err(Trouble::Other(match holder {
            Some(node) if node != own => format!("{address} is in a block of node {node}"),
            _ => format!("the block of {address} is being returned"),
        }))
    }

    /// Asks for `block`, and answers whether this node has it.
    async fn want(&self, state: &mut State, block: Block) -> Result<bool, Trouble> {
        let trouble = self.happen(state, Event::Want(block)).await?;
        if state.holder.as_ref().is_some_and(|holder| holder.holds(block.first)) {
            state.leased[usize::from(!block.first.is_ipv4())] = Some(Instant::now());
            tracing::info!(pool = %self.pool, first = %block.first, size = block.size, "leased a block of addresses");
            return Ok(true);
        }
        trouble.map_or(Ok(false), |trouble| Err(Trouble::Other(trouble)))
    }

    async fn lease_one(&self, state: &mut State, pool: &Pool, is_v4: bool) -> Result<(), Trouble> {
        let seed = number(self.kubernetes()?.node());
        let is_known = state.others.as_ref().is_some_and(|(at, _)| at.elapsed() < KNOWN);
        // Of a scarce pool most blocks are others'.
        let mut listed = !is_known && self.marks.word(&self.pool).is_some();
        if listed {
            self.list_others(state).await?;
        }
        for attempt in 0..TRIES {
            if attempt == BLIND_TRIES && !listed {
                self.list_others(state).await?;
                listed = true;
            }
            let unavailable = state.holder.as_ref().map(Holder::unavailable).unwrap_or_default();
            let Some(block) = pool.next_block(is_v4, seed, &unavailable) else {
                if listed {
                    self.marks.found_none(&self.pool);
                    break;
                }
                self.list_others(state).await?;
                listed = true;
                continue;
            };
            if self.want(state, block).await? {
                return Ok(());
            }
        }
        let known = state.holder.as_ref().map(|holder| holder.unavailable().len()).unwrap_or_default();
        Err(Trouble::Dry(format!("no block is free: nodes hold all {known}")))
    }

    async fn list_others(&self, state: &mut State) -> Result<(), String> {
        let found = self.kubernetes()?.blocks_of_others(&self.pool).await;
        let (others, version) = found.map_err(|e| e.to_string())?;
        if let Some(holder) = &mut state.holder {
            holder.set_others(others);
        }
        state.others = Some((Instant::now(), version));
        Ok(())
    }
}
