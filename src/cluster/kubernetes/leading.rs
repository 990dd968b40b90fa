//! Which of several controllers works: the holder of a Lease. For economy only: two that work at once do no harm.

use crate::cluster::error::Error;
use crate::cluster::kubernetes::address_nodes::{Written, written};
use crate::cluster::kubernetes::client::Kubernetes;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::Instant;

/// The Lease of the controllers of addresses.
const NAME: &str = "plexus-address-controller";
/// Another one takes a Lease over that was not renewed for so long.
const LASTS: Duration = Duration::from_secs(30);

/// The Lease of one namespace, as this process sees it.
#[derive(Debug)]
pub struct Leading {
    namespace: String,
    /// Version of the Lease of another holder, and since when it is seen, by the clock of this machine.
    seen: Option<(String, Instant)>,
    leads: bool,
}

impl Leading {
    /// In `namespace`.
    pub fn new(namespace: String) -> Self {
        Leading { namespace, seen: None, leads: false }
    }

    /// Renews the Lease, or takes it where nobody renews it. Whether this process leads.
    pub async fn renew(&mut self, kubernetes: &Kubernetes) -> bool {
        let leads = match self.try_to(kubernetes).await {
            Ok(leads) => leads,
            Err(reason) => {
                tracing::warn!(reason, "the Lease of the address controllers cannot be renewed");
                false
            }
        };
        if leads != std::mem::replace(&mut self.leads, leads) {
            let what = if leads { "this address controller works now" } else { "another address controller works now" };
            tracing::info!(namespace = self.namespace, "{what}");
        }
        leads
    }

    async fn try_to(&mut self, kubernetes: &Kubernetes) -> Result<bool, String> {
        let found = kubernetes.get::<Lease>(&self.namespace, NAME, format!("Lease {NAME}")).await;
        let Some(mut lease) = found.map_err(|e: Error| e.to_string())? else {
            let mut lease = Lease::default();
            lease.metadata.name = Some(NAME.to_owned());
            return self.write(kubernetes, lease).await;
        };
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        if !holder.is_empty() && holder != kubernetes.node() {
            let seen = self.seen.take().filter(|(known, _)| *known == version);
            let (_, since) = self.seen.insert(seen.unwrap_or_else(|| (version, Instant::now())));
            if since.elapsed() < LASTS {
                return Ok(false);
            }
        }
        lease.metadata.managed_fields = None;
        self.write(kubernetes, lease).await
    }

    async fn write(&self, kubernetes: &Kubernetes, mut lease: Lease) -> Result<bool, String> {
        let seconds = i32::try_from(LASTS.as_secs()).unwrap_or(i32::MAX);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(kubernetes.node().to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        });
        let (lease, namespace) = (&lease, &self.namespace);
        let write = |client: Client| {
            let api: Api<Lease> = Api::namespaced(client, namespace);
            async move {
                match lease.metadata.resource_version {
                    None => api.create(&PostParams::default(), lease).await,
                    Some(_) => api.replace(NAME, &PostParams::default(), lease).await,
                }
            }
        };
        let verb = if lease.metadata.resource_version.is_none() { "create" } else { "update" };
        Ok(written(kubernetes.within(verb, write).await)? == Written::Done)
    }
}
