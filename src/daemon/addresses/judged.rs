//! Whether pods of this node get new addresses of a pool, for a person who asks: nothing is leased, and nothing is written.

use super::Addresses;
use super::own_pool::why_barred;
use crate::cluster::whereabouts_runs;
use crate::ipam::{Pool, PoolName};
use std::collections::BTreeMap;

impl Addresses {
    /// Why this node gets no new address of the pools `wanted`, by their names; a pool that gives some is left out.
    ///
    /// # Errors
    /// It cannot be told, in one line.
    pub async fn judge(&self, wanted: &[PoolName]) -> Result<BTreeMap<String, String>, String> {
        let kubernetes = self.cluster.kubernetes().ok_or("plexusd reads manifests, and has no pools of addresses")?;
        let (implied, wanted): (Vec<&PoolName>, Vec<&PoolName>) = wanted.iter().partition(|name| name.is_implied());
        let mut found = BTreeMap::new();
        if !implied.is_empty() && kubernetes.has_whereabouts().await? {
            found.extend(implied.iter().map(|name| (name.to_string(), whereabouts_runs())));
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        let pools = kubernetes.address_pools().await.map_err(|e| e.to_string())?;
        for name in wanted {
            let why = match pools.iter().find(|pool| pool.name == name.as_str()) {
                None => Some("it does not exist".to_owned()),
                Some(own) if own.spec.ranges.is_empty() => Some("it has no range".to_owned()),
                Some(own) => match Pool::new(&own.spec) {
                    Err(e) => Some(e.to_string()),
                    Ok(_) => why_barred(kubernetes, own, &pools).await?,
                },
            };
            found.extend(why.map(|why| (name.to_string(), why)));
        }
        Ok(found)
    }
}
