//! The objects of a cluster that `plexusctl lint --cluster` judges, as JSON, with the credentials of a person.

use crate::cluster::error::reason;
use crate::cluster::kubernetes::inquiry::configuration;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
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
/// How long an answer may take.
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
    let mut config = configuration(access.kubeconfig, access.context).await?;
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
