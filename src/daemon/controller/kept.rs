//! Addresses that were kept for pods which did not come back: their reservations are deleted.
//!
//! While a pod has its address, its node leases the block. What is deleted too soon is only a hint: a pod that comes back then
//! gets another address.

use crate::cluster::{Kubernetes, Mirror, SeenPool, SeenReservation, ShownBlock, Written};
use crate::ipam::reservation::{Unused, is_leased};
use crate::ipam::{Block, Pool, PoolName, PoolSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Deletes reservations that nobody uses.
pub struct Kept<'a> {
    kubernetes: &'a Kubernetes,
    pools: &'a Mirror<SeenPool>,
    blocks: &'a Mirror<ShownBlock>,
    reservations: &'a Mirror<SeenReservation>,
    unused: Unused,
    /// A clock that only goes forward.
    start: Instant,
    looked: Duration,
}

/// What was unused that long ago may have been used since: another controller worked meanwhile.
const FORGET_AFTER: Duration = Duration::from_secs(600);

impl<'a> Kept<'a> {
    /// Of what is shown by the mirrors.
    pub fn new(
        kubernetes: &'a Kubernetes,
        (pools, blocks): (&'a Mirror<SeenPool>, &'a Mirror<ShownBlock>),
        reservations: &'a Mirror<SeenReservation>,
    ) -> Self {
        Kept {
            kubernetes,
            pools,
            blocks,
            reservations,
            unused: Unused::default(),
            start: Instant::now(),
            looked: Duration::ZERO,
        }
    }

    /// Looks once. The watch only tells where to look: before something is deleted, the blocks are listed.
    pub async fn look(&mut self) {
        let (Some(pools), Some(blocks), Some(all)) = (self.pools.all(), self.blocks.all(), self.reservations.all())
        else {
            return;
        };
        let mut leased: BTreeMap<&str, Vec<Block>> = BTreeMap::new();
        blocks.iter().for_each(|block| leased.entry(&block.pool).or_default().push(block.lease.block));
        let specs: BTreeMap<&str, &PoolSpec> =
            pools.iter().map(|pool| (pool.claimant.name.as_str(), &pool.claimant.spec)).collect();
        self.unused.keep_only(&all.iter().map(|one| one.version.0.as_str()).collect::<BTreeSet<_>>());
        let now = self.start.elapsed();
        if now.saturating_sub(self.looked) > FORGET_AFTER {
            self.unused = Unused::default();
        }
        self.looked = now;
        for one in &all {
            let own = leased.get(one.pool.as_str()).map(Vec::as_slice).unwrap_or_default();
            let is_leased = is_leased(&one.reservation.addresses, own);
            let terms = terms(one, specs.get(one.pool.as_str()).copied());
            if self.unused.judge(&one.version.0, is_leased, terms, now)
                && let Err(reason) = self.end(one, terms.0).await
            {
                tracing::warn!(name = one.name, reason, "addresses that nobody uses cannot be freed");
            }
        }
    }

    async fn end(&self, one: &SeenReservation, is_of_use: bool) -> Result<(), String> {
        let pool = PoolName::new(one.pool.clone()).map_err(|e| e.to_string())?;
        let blocks = self.kubernetes.all_blocks(&pool).await.map_err(|e| e.to_string())?;
        if is_of_use && is_leased(&one.reservation.addresses, &blocks) {
            return Ok(());
        }
        if self.kubernetes.delete_reservation(one).await? == Written::Done {
            let (addresses, whose) = (&one.reservation.addresses, &one.reservation.whose);
            tracing::info!(name = one.name, ?addresses, %whose, "addresses are not kept any more");
        }
        Ok(())
    }
}

/// Whether the reservation is of use, and for how long it is kept without a pod. One whose pool was deleted is kept for the time
/// that a pool has by default: the pool may be created again.
fn terms(one: &SeenReservation, spec: Option<&PoolSpec>) -> (bool, Duration) {
    let retain = spec.map_or_else(|| PoolSpec::default().retain_seconds, |spec| spec.retain_seconds);
    let pool = spec.and_then(|spec| Pool::new(spec).ok());
    (pool.is_none_or(|pool| one.reservation.judge(&pool).is_ok()), Duration::from_secs(retain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::pool::Range;
    use crate::ipam::reservation::{Reservation, Whose};

    #[test]
    fn what_became_of_the_pool_says_how_long_an_address_is_kept() {
        let (namespace, pod, interface) = ("ns".to_owned(), "web-0".to_owned(), "net1".to_owned());
        let addresses = vec!["10.0.0.9".parse().unwrap()];
        let reservation = Reservation { whose: Whose { namespace, pod, interface }, addresses, node: "n1".to_owned() };
        let version = ("u".to_owned(), "1".to_owned());
        let one = SeenReservation { name: "lan.x".to_owned(), version, pool: "lan".to_owned(), reservation };
        let spec = |reserved: &str, range: &str| PoolSpec {
            ranges: vec![Range { range: range.to_owned(), reserved: vec![reserved.to_owned()], ..Range::default() }],
            retain_seconds: 70,
            ..PoolSpec::default()
        };
        let of = |spec: Option<&PoolSpec>| terms(&one, spec);
        assert_eq!(of(Some(&spec("10.0.0.8/30", "10.0.0.0/24"))), (true, Duration::from_secs(70)));
        assert_eq!(of(Some(&spec("10.0.0.16/30", "10.0.0.0/24"))), (false, Duration::from_secs(70)));
        // A specification that is none says nothing, and a pool that was deleted may come back.
        assert_eq!(of(Some(&spec("10.0.0.8/30", "10.0.0.1/24"))), (true, Duration::from_secs(70)));
        assert_eq!(of(None), (true, Duration::from_secs(86_400)));
    }
}
