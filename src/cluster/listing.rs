//! The objects of a cluster that `plexusctl lint --cluster` judges, as JSON, with the credentials of a person.

use crate::cluster::error::reason;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::path::Path;
use std::time::Duration;

/// What is listed: group, version, kind, plural.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions"),
    ("", "v1", "Pod", "pods"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
];
/// So many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// How long a connection, and an answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the cluster is reached, and what of it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The file with the credentials; none for the usual ones.
    pub kubeconfig: Option<&'a Path>,
    /// The context in it; none for the current one.
    pub context: Option<&'a str>,
    /// One namespace; none for all of them.
    pub namespace: Option<&'a str>,
}

/// What was listed.
#[derive(Debug, Default)]
pub struct Listed {
    /// The objects, as JSON.
    pub objects: Vec<String>,
    /// What the user may not list, and why.
    pub refused: Vec<(&'static str, String)>,
}

/// Lists the objects, page by page.
///
/// # Errors
/// The cluster cannot be reached, or its networks cannot be listed.
pub async fn list(access: &Access<'_>) -> Result<Listed, String> {
    let client = client(access).await?;
    let mut listed = Listed::default();
    for (group, version, kind, plural) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = match access.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        match all(&api, group, version, kind).await {
            Ok(objects) => listed.objects.extend(objects),
            Err(e) if plural == KINDS[0].3 => return Err(format!("{plural}: {}", reason(&e))),
            Err(e) => listed.refused.push((plural, reason(&e))),
        }
    }
    Ok(listed)
}

async fn client(access: &Access<'_>) -> Result<Client, String> {
    let options = KubeConfigOptions { context: access.context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| format!("kubeconfig: {e}"))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    let mut config = match config {
        Ok(config) => config,
        // As kubectl does it, in a pod of the cluster.
        Err(e) if access.kubeconfig.is_none() && access.context.is_none() => {
            Config::incluster().map_err(|_| format!("kubeconfig: {e}"))?
        }
        Err(e) => return Err(format!("kubeconfig: {e}")),
    };
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|e| reason(&e))
}

async fn all(api: &Api<DynamicObject>, group: &str, version: &str, kind: &str) -> Result<Vec<String>, kube::Error> {
    let mut objects = Vec::new();
    let mut wanted = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&wanted).await?;
        for mut object in page.items {
            // In a list they stand on the list alone.
            let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            object.types = Some(kube::api::TypeMeta { api_version, kind: kind.to_owned() });
            objects.extend(serde_json::to_string(&object));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => wanted = ListParams::default().limit(PAGE).continue_token(&token),
            None => return Ok(objects),
        }
    }
}
