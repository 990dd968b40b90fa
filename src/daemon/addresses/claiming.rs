//! Single blocks for this node: one that is free, or the one with a certain address.

use super::keeper::{Keeper, State};
use crate::cluster::addresses::number;
use crate::facts::node_blocks::now;
use crate::ipam::grant::FRESH_FOR;
use crate::ipam::{Block, Event, Holder, Pool};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// After so many blocks that others hold, all of them are listed.
const BLIND_TRIES: usize = 3;
/// Tries of one lease: other nodes lease at the same time.
pub(super) const TRIES: usize = 8;
/// What is known of the blocks of others is not asked for again in that time.
const KNOWN: Duration = Duration::from_secs(1);
/// Why there is no block.
pub enum Trouble {
    /// None is free.
    Dry(String),
    /// Another node has this one.
    Elsewhere(Block, String),
    /// Another reason.
    Other(String),
    /// A reason that stays.
    Never(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::Other(why)
    }
}

impl Keeper {
    /// Leases the block with `address`, which a pod asks for or which is kept for it.
    pub(super) async fn lease_with(&self, state: &mut State, pool: &Pool, address: IpAddr) -> Result<(), Trouble> {
        pool.judge_request(address).map_err(|why| format!("{address}: {why}"))?;
        let (block, own) = (pool.block_of(address), self.kubernetes()?.node());
        for _ in 0..2 {
            if state.holder.as_ref().is_some_and(|holder| holder.holds(block.first))
                || self.want_soon(state, block).await?
            {
                return Ok(());
            }
            // Whoever waits for it begins at this list.
            self.list_others(state).await?;
            let holder = self.kubernetes()?.holder_of(&self.pool, &block).await.map_err(|e| e.to_string())?;
            if let Some(node) = holder.filter(|node| node != own) {
                return Err(Trouble::Elsewhere(block, format!("{address} is in a block of node {node}")));
            }
            // Ours, or that of another node, was deleted in this moment.
        }
        Err(Trouble::Other(format!("the block of {address} is being returned")))
    }

    /// As [`Keeper::want`], for a pod that takes an address of it in a moment.
    pub(super) async fn want_soon(&self, state: &mut State, block: Block) -> Result<bool, Trouble> {
        state.notes.fresh.insert(block.first, now().since_boot.saturating_add(FRESH_FOR));
        let outcome = self.want(state, block).await;
        if !matches!(outcome, Ok(true)) {
            state.notes.fresh.remove(&block.first);
        }
        outcome
    }

    /// Asks for `block`, and answers whether this node has it.
    async fn want(&self, state: &mut State, block: Block) -> Result<bool, Trouble> {
        if let Some(why) = self.questions.on_hold() {
            return Err(Trouble::Other(why));
        }
        let trouble = self.happen(state, Event::Want(block)).await?;
        if state.holder.as_ref().is_some_and(|holder| holder.holds(block.first)) {
            state.leased[usize::from(!block.first.is_ipv4())] = Some(Instant::now());
            tracing::info!(pool = %self.pool, first = %block.first, size = block.size, "leased a block of addresses");
            return Ok(true);
        }
        trouble.map_or(Ok(false), |trouble| Err(Trouble::Other(trouble)))
    }

    /// Leases a block that is free.
    pub(super) async fn lease_one(&self, state: &mut State, pool: &Pool, is_v4: bool) -> Result<(), Trouble> {
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
        Err(Trouble::Dry(match known {
            0 => "no block is free: all addresses are excluded or reserved, or their ranges are draining".to_owned(),
            known => format!("no block is free: nodes hold all {known}"),
        }))
    }

    /// Learns which blocks others hold.
    pub(super) async fn list_others(&self, state: &mut State) -> Result<(), String> {
        let found = self.kubernetes()?.blocks_of_others(&self.pool).await;
        let (others, version) = found.map_err(|e| e.to_string())?;
        if let Some(holder) = &mut state.holder {
            holder.set_others(others);
        }
        state.others = Some((Instant::now(), version));
        Ok(())
    }
}
