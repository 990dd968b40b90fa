//! Addresses that are kept for a pod, on whatever node it comes back. Blocks are the lock, as ever: what is kept is a hint
//! which block this node asks for.

use super::claiming::{TRIES, Trouble};
use super::keeper::{Keeper, State};
use crate::cluster::{SeenReservation, Written};
use crate::ipam::reservation::{Known, Reservation, Whose, choose, name_of};
use crate::ipam::{Block, Holder, Pool, PoolSpec};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Keeper {
    /// Learns what is kept in blocks of this node: the plugin asks nobody then. What cannot be read stays as it is known.
    pub(super) async fn learn_kept(&self, state: &mut State) {
        let pool = state.spec.as_ref().and_then(|spec| Pool::new(spec).ok());
        let held = state.holder.as_ref().map(Holder::held).unwrap_or_default();
        let has = |pool: Pool| held.iter().any(|granted| !pool.reserved_in(&granted.block()).is_empty());
        let Ok(kubernetes) = self.kubernetes() else { return };
        if self.pool.is_implied() || !pool.is_some_and(has) {
            state.notes.kept.clear();
            return;
        }
        match kubernetes.reservations(&self.pool, true).await {
            Ok(own) => {
                let kept =
                    own.iter().flat_map(|one| one.addresses.iter().map(|address| (*address, one.whose.number())));
                state.notes.kept = kept.collect();
            }
            Err(reason) => {
                tracing::warn!(pool = %self.pool, %reason, "it cannot be seen which addresses are kept for pods");
            }
        }
    }

    /// Leases the blocks of the addresses that are kept for `whose`, and keeps some where none are. Answers them. Pods of
    /// this node have `taken`.
    pub(super) async fn lease_kept(
        &self,
        state: &mut State,
        (spec, pool): (&PoolSpec, &Pool),
        whose: &Whose,
        taken: &BTreeSet<IpAddr>,
    ) -> Result<Vec<IpAddr>, Trouble> {
        judge(spec, pool, whose)?;
        let kubernetes = self.kubernetes()?;
        for _ in 0..TRIES {
            let found = kubernetes.reservation(&self.pool, whose).await.map_err(|e| e.to_string())?;
            let kept = match found {
                Some(seen) => {
                    self.have(state, pool, whose, &seen).await?;
                    let is_here = seen.reservation.node == kubernetes.node();
                    if !is_here && kubernetes.move_reservation(&self.pool, &seen).await? != Written::Done {
                        continue;
                    }
                    Some(seen.reservation.addresses)
                }
                None => self.begin(state, pool, whose, taken).await?,
            };
            if let Some(kept) = kept {
                state.notes.kept.extend(kept.iter().map(|address| (*address, whose.number())));
                return Ok(kept);
            }
        }
        Err(Trouble::Other(format!("AddressReservation {} changes while it is read", whose.object(&self.pool))))
    }

    /// Leases the blocks of what `seen` keeps.
    async fn have(&self, state: &mut State, pool: &Pool, whose: &Whose, seen: &SeenReservation) -> Result<(), Trouble> {
        let (name, Reservation { whose: other, addresses, .. }) = (&seen.name, &seen.reservation);
        if other != whose {
            return Err(Trouble::Other(format!("AddressReservation {name} is for {other}; delete one of both pods")));
        }
        seen.reservation
            .judge(pool)
            .map_err(|why| format!("{why}; AddressReservation {name} is deleted in a moment"))?;
        for address in addresses {
            self.lease_with(state, pool, *address).await.map_err(|trouble| match trouble {
                Trouble::Elsewhere(block, why) => {
                    let still = still_there(&block, whose);
                    Trouble::Elsewhere(block, format!("{why}, where {still}; it is kept for {whose}"))
                }
                other => other,
            })?;
        }
        Ok(())
    }

    /// Chooses addresses for `whose`, leases their blocks, and keeps them; nothing where something was kept meanwhile.
    async fn begin(
        &self,
        state: &mut State,
        pool: &Pool,
        whose: &Whose,
        taken: &BTreeSet<IpAddr>,
    ) -> Result<Option<Vec<IpAddr>>, Trouble> {
        let mut addresses = Vec::new();
        for is_v4 in pool.families() {
            addresses.push(self.choose(state, pool, (whose, is_v4), taken).await?);
        }
        let kubernetes = self.kubernetes()?;
        let one = Reservation { whose: whose.clone(), addresses, node: kubernetes.node().to_owned() };
        match kubernetes.create_reservation(&self.pool, &one).await? {
            Written::Done => {
                tracing::info!(pool = %self.pool, %whose, addresses = ?one.addresses, "keeping addresses for a pod");
                Ok(Some(one.addresses))
            }
            Written::Other => Ok(None),
            Written::NoResource => {
                Err(Trouble::Other("the cluster has no AddressReservations: apply crd/addresses again".to_owned()))
            }
        }
    }

    /// Leases the block of a reserved address that is kept for nobody, and answers the address.
    async fn choose(
        &self,
        state: &mut State,
        pool: &Pool,
        (whose, is_v4): (&Whose, bool),
        taken: &BTreeSet<IpAddr>,
    ) -> Result<IpAddr, Trouble> {
        self.list_others(state).await?;
        let others = state.holder.as_ref().map(Holder::others).unwrap_or_default();
        let mut known = Known { kept: self.kept().await?, others, taken: taken.clone() };
        // The first one; whoever is not the first to lease it looks at another place than the others.
        let mut seed = 0;
        for _ in 0..TRIES {
            let Some(address) = choose(pool, is_v4, &known, seed) else {
                return Err(Trouble::Other(full(pool, is_v4, &known)));
            };
            let block = pool.block_of(address);
            if state.holder.as_ref().is_some_and(|holder| holder.holds(block.first)) {
                return Ok(address);
            }
            if self.want_soon(state, block).await? {
                // What was kept in this block before it was ours is in the list that is asked for now.
                known.kept = self.kept().await?;
                if !known.kept.contains(&address) {
                    return Ok(address);
                }
            } else {
                known.others.insert(block.first);
            }
            seed = whose.number();
        }
        Err(Trouble::Other("other nodes lease reserved addresses at the same time".to_owned()))
    }

    async fn kept(&self) -> Result<BTreeSet<IpAddr>, String> {
        let all = self.kubernetes()?.reservations(&self.pool, false).await.map_err(|e| e.to_string())?;
        Ok(all.into_iter().flat_map(|one| one.addresses).collect())
    }
}

/// Whether addresses of `pool` are kept for `whose` at all.
fn judge(spec: &PoolSpec, pool: &Pool, whose: &Whose) -> Result<(), Trouble> {
    let namespace = &whose.namespace;
    if !spec.namespaces.is_empty() && !spec.namespaces.contains(namespace) {
        let text =
            format!("it gives no address to pods of namespace {namespace}: it is for {}", spec.namespaces.join(", "));
        return Err(Trouble::Never(text));
    }
    match pool.families().find(|is_v4| pool.reserved(*is_v4).is_empty()) {
        Some(is_v4) => Err(Trouble::Never(format!(
            "with \"sticky\" pods get reserved addresses only, and it has no \"reserved\" {} addresses",
            name_of(is_v4)
        ))),
        None => Ok(()),
    }
}

fn still_there(block: &Block, whose: &Whose) -> String {
    match block.size {
        1 => format!("pod {}/{} still has it", whose.namespace, whose.pod),
        size => format!("pods still have some of its {size} addresses"),
    }
}

fn full(pool: &Pool, is_v4: bool, known: &Known) -> String {
    let kept = known.kept.iter().filter(|address| address.is_ipv4() == is_v4).count();
    let all = pool.reserved(is_v4).count();
    format!("all {all} reserved {} addresses are in use or kept: {kept} are kept for pods", name_of(is_v4))
}
