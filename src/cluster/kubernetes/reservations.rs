//! Addresses that are kept for pods, at the API server. They are hints: a node that cannot read them gives what it has.

use crate::cluster::addresses::{AddressReservation, NODE, POOL, node_label};
use crate::cluster::error::Error;
use crate::cluster::kubernetes::address_nodes::{Written, written};
use crate::cluster::kubernetes::blocks::{GRANT, Outcome};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::mirror::Mirror;
use crate::ipam::PoolName;
use crate::ipam::reservation::{Reservation, Whose};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use std::time::Duration;

/// How often it is asked whether the cluster has such objects by now.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// A reservation and the version of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenReservation {
    /// The name of the object.
    pub name: String,
    /// Its UID and version.
    pub version: (String, String),
    /// The pool.
    pub pool: String,
    /// What it says.
    pub reservation: Reservation,
}

impl SeenReservation {
    pub(in crate::cluster) fn of(object: AddressReservation) -> Option<Self> {
        let reservation = object.reservation()?;
        let metadata = object.metadata;
        let version = (metadata.uid?, metadata.resource_version?);
        Some(SeenReservation { name: metadata.name?, version, pool: object.spec.pool, reservation })
    }
}

impl Kubernetes {
    /// What the object of `whose` in `pool` says, which may be about another pod; none where there is none.
    pub async fn reservation(&self, pool: &PoolName, whose: &Whose) -> Result<Option<SeenReservation>, Error> {
        let name = &whose.object(pool);
        let found = self.ask::<AddressReservation, _, _>("get", format!("AddressReservation {name}"), |client| {
            let api: Api<AddressReservation> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        Ok(found.await.map_err(|e| e.mended_by(GRANT))?.and_then(SeenReservation::of))
    }

    /// Everything that is kept in `pool`; or only for pods that were on this node last.
    pub async fn reservations(&self, pool: &PoolName, only_own: bool) -> Result<Vec<Reservation>, Error> {
        let own = if only_own { format!(",{NODE}={}", node_label(&self.node)) } else { String::new() };
        let params = &ListParams::default().labels(&format!("{POOL}={pool}{own}"));
        let list = |client| {
            let api: Api<AddressReservation> = Api::all(client);
            async move { api.list(params).await }
        };
        let what = format!("AddressReservations of pool {pool}");
        let found = self.ask::<AddressReservation, _, _>("list", what, list).await.map_err(|e| e.mended_by(GRANT))?;
        let all = found.items.iter().filter(|object| object.spec.pool == pool.as_str());
        let all = all.filter_map(AddressReservation::reservation);
        Ok(all.filter(|one| !only_own || one.node == self.node).collect())
    }

    /// Creates `one`, which must not exist.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn create_reservation(&self, pool: &PoolName, one: &Reservation) -> Result<Written, String> {
        let object = &AddressReservation::of(pool, one);
        let create = |client: Client| {
            let api: Api<AddressReservation> = Api::all(client);
            async move { api.create(&PostParams::default(), object).await }
        };
        match self.within("create", create).await {
            Err(Outcome::Absent(_)) => Ok(Written::NoResource),
            answer => written(answer),
        }
    }

    /// The pod of `seen` is on this node now.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn move_reservation(&self, pool: &PoolName, seen: &SeenReservation) -> Result<Written, String> {
        let here = Reservation { node: self.node.clone(), ..seen.reservation.clone() };
        let mut object = AddressReservation::of(pool, &here);
        object.metadata.uid = Some(seen.version.0.clone());
        object.metadata.resource_version = Some(seen.version.1.clone());
        let (object, name) = (&object, seen.name.as_str());
        let replace = |client: Client| {
            let api: Api<AddressReservation> = Api::all(client);
            async move { api.replace(name, &PostParams::default(), object).await }
        };
        written(self.within("update", replace).await)
    }

    /// Deletes `seen`, if it is as it was seen.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn delete_reservation(&self, seen: &SeenReservation) -> Result<Written, String> {
        self.delete_exactly::<AddressReservation>(&seen.name, &seen.version).await
    }

    /// Keeps `mirror` as the reservations are, for ever. The definitions of the cluster may be of a former release.
    pub async fn follow_reservations(&self, mirror: &Mirror<SeenReservation>) {
        while !self.has_resource::<AddressReservation>().await.unwrap_or_default() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        let names = ("address_reservations", "AddressReservations");
        self.follow_all::<AddressReservation, _>(names, mirror, SeenReservation::of).await;
    }
}
