//! Marks of pools that are scarce, at the API server: what nodes ask of each other.

use crate::cluster::addresses::{AddressShortage, AddressShortageSpec};
use crate::cluster::kubernetes::address_nodes::{Written, written};
use crate::cluster::kubernetes::blocks::Outcome;
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::watch::Watch;
use crate::ipam::scarcity::{Mark, Wanted};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What the watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenShortage {
    /// These are all.
    All(BTreeMap<Wanted, Mark>),
    /// It has this mark now.
    Marked(Wanted, Mark),
    /// It has none.
    Unmarked(Wanted),
}

impl Kubernetes {
    /// Whether the cluster has such marks: its definitions may be of a former release.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn has_shortages(&self) -> Result<bool, String> {
        self.has_resource::<AddressShortage>().await
    }

    /// Whether the cluster has a resource, and its objects may be listed.
    pub(super) async fn has_resource<K>(&self) -> Result<bool, String>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let list = |client: Client| {
            let api: Api<K> = Api::all(client);
            async move { api.list(&ListParams::default().limit(1)).await }
        };
        match self.within("list", list).await {
            Ok(_) => Ok(true),
            Err(Outcome::Absent(_)) => Ok(false),
            Err(Outcome::Conflict) => Err("409".to_owned()),
            Err(Outcome::Refused(why) | Outcome::Unanswered(why)) => Err(why),
        }
    }

    /// Tells every change of the marks, for ever. There are none most of the time.
    pub async fn follow_shortages(&self, tell: impl Fn(SeenShortage)) {
        let source = self.source("address_shortages");
        let mut watch = Watch::<AddressShortage>::new(&source, "AddressShortages", String::new());
        let mut listing = BTreeMap::new();
        loop {
            match watch.next().await {
                None => {}
                Some(Event::Init) => listing.clear(),
                Some(Event::InitApply(object)) => listing.extend(object.mark()),
                Some(Event::InitDone) => tell(SeenShortage::All(std::mem::take(&mut listing))),
                Some(Event::Apply(object)) => {
                    object.mark().into_iter().for_each(|(wanted, mark)| tell(SeenShortage::Marked(wanted, mark)));
                }
                Some(Event::Delete(object)) => {
                    object.mark().into_iter().for_each(|(wanted, _)| tell(SeenShortage::Unmarked(wanted)));
                }
            }
        }
    }

    /// Marks what is `wanted` with `word`; a mark that is there must have `version`.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn mark_shortage(&self, wanted: &Wanted, word: &str, version: Option<&str>) -> Result<Written, String> {
        let (name, node) = (&wanted.name(), self.node.clone());
        let mut object = AddressShortage::new(name, AddressShortageSpec { node, word: word.to_owned() });
        object.metadata.resource_version = version.map(str::to_owned);
        let object = &object;
        let (params, is_new) = (&PostParams::default(), version.is_none());
        let write = |client: Client| {
            let api: Api<AddressShortage> = Api::all(client);
            async move {
                match is_new {
                    true => api.create(params, object).await,
                    false => api.replace(name, params, object).await,
                }
            }
        };
        written(self.within(if is_new { "create" } else { "update" }, write).await)
    }

    /// Deletes the mark of what is `wanted`, if it has `version`.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn unmark_shortage(&self, wanted: &Wanted, version: &str) -> Result<Written, String> {
        let preconditions = Preconditions { resource_version: Some(version.to_owned()), uid: None };
        let (params, name) = (&DeleteParams::default().preconditions(preconditions), &wanted.name());
        let delete = |client: Client| {
            let api: Api<AddressShortage> = Api::all(client);
            async move { api.delete(name, params).await.map(drop) }
        };
        written(self.within("delete", delete).await)
    }
}
