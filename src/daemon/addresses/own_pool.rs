//! What the pool of a keeper is now, and whether this node may take addresses of it.

use super::keeper::{Keeper, State};
use crate::cluster::{Kubernetes, whereabouts_runs};
use crate::facts::node_blocks::now;
use crate::ipam::PoolSpec;
use crate::ipam::overlap::{Claimant, overlaps};
use std::time::{Duration, Instant};

/// For a pod that waits, the list of other pools may be so old.
const OTHERS: Duration = Duration::from_secs(30);

/// Why the node of `kubernetes` takes no new address of the pool `own`, as it is now among `pools`; none if it does.
pub(super) async fn why_barred(
    kubernetes: &Kubernetes,
    own: &Claimant,
    pools: &[Claimant],
) -> Result<Option<String>, String> {
    if let Some(older) = overlaps(own, pools).into_iter().find(|one| one.yields) {
        return Ok(Some(format!(
            "it has addresses of pool {}, which is older; if both networks are separate, set spec.separate in both",
            older.other
        )));
    }
    let Some(nodes) = &own.spec.nodes else { return Ok(None) };
    let labels = kubernetes.node_labels().await.map_err(|e| e.to_string())?;
    Ok((!nodes.selects(&labels)).then(|| "it is not for this node (spec.nodes)".to_owned()))
}

/// Whether `pool` is certainly older than a list of pools that counts, by a clock that is not the API server's.
fn is_old(pool: &Claimant) -> bool {
    let now = i64::try_from(now().clock).unwrap_or_default();
    now.saturating_sub(pool.created) > i64::try_from(2 * OTHERS.as_secs()).unwrap_or_default()
}

impl Keeper {
    /// The pool as it was at `since`, or later. One that was deleted has no range: nothing new is taken, and what is not in
    /// use goes back.
    pub(super) async fn read_pool(&self, state: &mut State, since: Instant) -> Result<(), String> {
        if self.pool.is_implied() {
            state.spec = Some(PoolSpec::implied());
            return self.judge_whereabouts(state).await;
        }
        let kubernetes = self.kubernetes()?;
        let pools = self.questions.pools(since).await.inspect_err(|_| state.unanswered())?;
        match pools.iter().find(|pool| pool.name == self.pool.as_str()) {
            Some(own) => {
                state.barred = why_barred(kubernetes, own, &pools).await?;
                state.spec = Some(own.spec.clone());
            }
            None => {
                let Some(spec) = state.spec.take() else { return Err("it does not exist".to_owned()) };
                state.spec = Some(PoolSpec { ranges: Vec::new(), ..spec });
            }
        }
        Ok(())
    }

    /// As [`Keeper::read_pool`], for a pod that waits. A list waits until the cache of the API server is as new as etcd, some 75 ms
    /// where other objects are written; the single pool does not. So the other pools may be older, while they bar nothing. That
    /// holds for a pool that is older than such a list: of two, the older one has an address.
    pub(super) async fn read_own_pool(&self, state: &mut State, asked: Instant) -> Result<(), String> {
        if !self.pool.is_implied() {
            let kubernetes = self.kubernetes()?;
            let others = self.questions.pools(asked.checked_sub(OTHERS).unwrap_or(asked));
            let (own, pools) = tokio::join!(kubernetes.address_pool(&self.pool), others);
            let own = own.map_err(|e| e.to_string())?.filter(is_old);
            // What is not known of them is asked again below.
            if let (Some(own), Ok(pools)) = (own, pools)
                && pools.contains(&own)
                && why_barred(kubernetes, &own, &pools).await?.is_none()
            {
                (state.barred, state.spec) = (None, Some(own.spec));
                return Ok(());
            }
        }
        self.read_pool(state, asked).await
    }

    /// Where the cluster has the resources of whereabouts, its own programs give addresses of the same ranges. Then no
    /// address is given here, also not of a block that was leased before.
    async fn judge_whereabouts(&self, state: &mut State) -> Result<(), String> {
        if !self.kubernetes()?.has_whereabouts().await? {
            return Ok(());
        }
        self.withdraw(state, false)?;
        Err(whereabouts_runs())
    }
}

#[cfg(test)]
#[path = "own_pool_tests.rs"]
mod tests;
