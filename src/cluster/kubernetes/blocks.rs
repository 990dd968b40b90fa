//! Pools of addresses and their blocks, at the API server: single requests, each with one of four outcomes.

use crate::cluster::addresses::{AddressBlock, AddressPool, NODE, OwnBlock, POOL, block_name, node_label};
use crate::cluster::error::{Error, reason};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::revisions::WentBack;
use crate::ipam::holder::Owned;
use crate::ipam::overlap::Claimant;
use crate::ipam::{Block, Event, PoolName};
use kube::api::{DeleteParams, ListParams, ObjectList, PostParams, Preconditions};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long the API server may take to answer: the plugin waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// What to do where a permission is missing.
pub(super) const GRANT: &str = "conf/components/ipam grants it";

/// What became of a request, and what there is to tell of it.
pub type Answer = (Event, Option<String>);

impl Kubernetes {
    /// `pool` as it is compared with others; none where there is no such pool. The answer is as new as the question.
    pub async fn address_pool(&self, pool: &PoolName) -> Result<Option<Claimant>, Error> {
        let (name, what) = (pool.as_str(), format!("address pool {pool}"));
        let found = self.ask::<AddressPool, _, _>("get", what, |client| {
            let api: Api<AddressPool> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        Ok(found.await.map_err(|e| e.mended_by(GRANT))?.and_then(|pool| pool.claimant()))
    }

    /// The blocks of this node in all pools. A plain list is as new as the question.
    pub async fn own_blocks(&self) -> Result<Vec<OwnBlock>, Error> {
        let list = self.blocks(&format!("{NODE}={}", node_label(&self.node)), "blocks of this node".to_owned()).await?;
        // The label is a number: names of two nodes may have the same one.
        let own = list.items.iter().filter(|block| block.spec.node == self.node);
        Ok(own.filter_map(OwnBlock::of).collect())
    }

    /// The first addresses of the blocks that other nodes hold, and the version of the list.
    pub async fn blocks_of_others(&self, pool: &PoolName) -> Result<(BTreeSet<IpAddr>, String), Error> {
        let list = self.blocks_of(pool).await?;
        let others = list.items.iter().filter(|block| block.spec.node != self.node);
        let firsts = others.filter_map(|block| block.owned("")).map(|owned| owned.block.first).collect();
        Ok((firsts, list.metadata.resource_version.unwrap_or_default()))
    }

    /// Every block of `pool`, of all nodes, as new as the question.
    pub async fn all_blocks(&self, pool: &PoolName) -> Result<Vec<Block>, Error> {
        let blocks = self.blocks_of(pool).await?;
        Ok(blocks.items.iter().filter_map(|block| block.owned("")).map(|owned| owned.block).collect())
    }

    async fn blocks_of(&self, pool: &PoolName) -> Result<ObjectList<AddressBlock>, Error> {
        self.blocks(&format!("{POOL}={pool}"), format!("blocks of address pool {pool}")).await
    }

    async fn blocks(&self, selector: &str, what: String) -> Result<ObjectList<AddressBlock>, Error> {
        self.list_blocks(&ListParams::default().labels(selector), what).await
    }

    async fn list_blocks(&self, params: &ListParams, what: String) -> Result<ObjectList<AddressBlock>, Error> {
        let list = |client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.list(params).await }
        };
        let before = self.revisions.newest();
        let list = self.ask::<AddressBlock, _, _>("list", what, list).await.map_err(|e| e.mended_by(GRANT))?;
        self.revisions.answered(before, list.metadata.resource_version.as_deref());
        Ok(list)
    }

    /// Asks for the version of all blocks, which shows whether etcd was restored from a backup.
    pub async fn look_at_version(&self) -> Result<(), Error> {
        self.list_blocks(&ListParams::default().limit(1), "the version of address blocks".to_owned()).await.map(drop)
    }

    /// When it was noticed last that etcd was restored from a backup.
    pub fn went_back(&self) -> Option<WentBack> {
        self.revisions.went_back()
    }

    /// Creates the object of `block`, which must not exist.
    pub async fn create_block(&self, pool: &PoolName, block: &Block, epoch: &str, lease: &str) -> Answer {
        let object = &AddressBlock::of(pool, block, (&self.node, epoch), lease);
        let create = |client: Client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.create(&PostParams::default(), object).await }
        };
        // Another write may leave the object as it is, with its version.
        let before = self.revisions.newest();
        let answer = self.write("create", block.first, create).await;
        if let (Event::Written(_, version), _) = &answer {
            self.revisions.answered(before, Some(version));
        }
        answer
    }

    /// Writes `epoch` and `lease` to the object of `block`, which must have the version in `owned`.
    pub async fn renew_block(&self, pool: &PoolName, owned: &Owned, epoch: &str) -> Answer {
        let Owned { block, lease, version, .. } = owned;
        let mut object = AddressBlock::of(pool, block, (&self.node, epoch), lease);
        object.metadata.resource_version = Some(version.clone());
        let (object, name) = (&object, &block_name(pool, block));
        let replace = |client: Client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.replace(name, &PostParams::default(), object).await }
        };
        self.write("update", block.first, replace).await
    }

    async fn write<F>(&self, verb: &'static str, first: IpAddr, request: impl Fn(Client) -> F) -> Answer
    where
        F: Future<Output = kube::Result<AddressBlock>>,
    {
        let answer = self.within(verb, request).await;
        match answer {
            Ok(object) => (Event::Written(first, object.metadata.resource_version.unwrap_or_default()), None),
            Err(outcome) => outcome.told(first, verb),
        }
    }

    /// Deletes the object of `block`, which must have `version`.
    pub async fn delete_block(&self, pool: &PoolName, block: &Block, version: &str) -> Answer {
        let preconditions = Preconditions { resource_version: Some(version.to_owned()), uid: None };
        let params = &DeleteParams::default().preconditions(preconditions);
        let name = &block_name(pool, block);
        let delete = |client: Client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.delete(name, params).await.map(drop) }
        };
        match self.within("delete", delete).await {
            Ok(()) | Err(Outcome::Absent(_)) => (Event::Absent(block.first), None),
            Err(outcome) => outcome.told(block.first, "delete"),
        }
    }

    /// Reads the object of `block`; this node is in `epoch`.
    pub async fn look_at_block(&self, pool: &PoolName, block: &Block, epoch: &str) -> Result<Event, Error> {
        let name = &block_name(pool, block);
        let found = self.ask::<AddressBlock, _, _>("get", format!("address block {name}"), |client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        let found = found.await.map_err(|e| e.mended_by(GRANT))?;
        Ok(match found {
            None => Event::Absent(block.first),
            Some(object) => match object.owned(epoch).filter(|_| object.spec.node == self.node) {
                Some(owned) => Event::Seen(owned),
                None => Event::Others(block.first),
            },
        })
    }

    pub(super) async fn within<T, F>(&self, verb: &'static str, request: impl Fn(Client) -> F) -> Result<T, Outcome>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.send(request)).await;
        self.requests.made(verb, matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err(Outcome::Unanswered(format!("no answer from the API server within {ANSWER_LIMIT:?}"))),
            Ok(Err(e)) => Err(Outcome::of(&e)),
        }
    }
}

/// How a request failed.
pub(super) enum Outcome {
    /// Somebody was first.
    Conflict,
    /// There is no such object, or no such resource.
    Absent(String),
    /// It was judged and not done.
    Refused(String),
    /// It may be done, or be done later.
    Unanswered(String),
}

impl Outcome {
    fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Outcome::Unanswered(reason(error)) };
        match status.code {
            409 => Outcome::Conflict,
            404 => Outcome::Absent(reason(error)),
            400..=407 | 410..=499 => Outcome::Refused(reason(error)),
            _ => Outcome::Unanswered(reason(error)),
        }
    }

    fn told(self, first: IpAddr, verb: &str) -> Answer {
        match self {
            Outcome::Conflict => (Event::Conflict(first), None),
            // A block that is to be renewed may be gone; one that is to be created needs its resource.
            Outcome::Absent(_) if verb != "create" => (Event::Absent(first), None),
            Outcome::Absent(why) | Outcome::Refused(why) => (Event::Refused(first), Some(why)),
            Outcome::Unanswered(why) => (Event::Unanswered(first), Some(why)),
        }
    }
}
