//! The objects of a cluster that `plexusctl lint --cluster` judges, as JSON, with the credentials of a person.

use crate::cluster::error::reason;
use crate::cluster::kubernetes::inquiry::configuration;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};
use std::path::Path;
use std::time::Duration;

/// A kind: group, version, kind, plural.
type Listing = (&'static str, &'static str, &'static str, &'static str);
/// What is listed.
const KINDS: [Listing; 7] = [
    ("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions"),
    ("", "v1", "Pod", "pods"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
];
/// Also listed, but of the whole cluster: a pool is in no namespace.
const POOLS: Listing = ("ipam.plexus.dev", "v1alpha1", "AddressPool", "addresspools");
/// So many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// How long the API server may take for one answer, the last byte included.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How the cluster is reached, and what of it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The file with the credentials; none for the usual ones.
    pub kubeconfig: Option<&'a Path>,
    /// The context in it; none for the current one.
    pub context: Option<&'a str>,
    /// One namespace; none for all of them.
    pub namespace: Option<&'a str>,
    /// How long one answer may take, see [`PATIENCE`].
    pub patience: Duration,
}

/// Why a page of a list did not come.
enum Failure {
    /// The API server refused.
    Refused(String),
    /// It does not know the kind.
    NoKind(String),
    /// Its answer was not complete in time. Nor would the others be.
    Late(String),
}

/// What was listed.
#[derive(Debug, Default)]
pub struct Listed {
    /// The objects, as JSON.
    pub objects: Vec<String>,
    /// What the user may not list, and why.
    pub refused: Vec<(&'static str, String)>,
    /// The AddressPools could not be listed. A cluster without that kind has none.
    pub pools_are_unknown: bool,
}

/// Lists the objects, page by page.
///
/// # Errors
/// The cluster cannot be reached, or its networks cannot be listed.
pub async fn list(access: &Access<'_>) -> Result<Listed, String> {
    let client = client(access).await?;
    let mut listed = Listed::default();
    for (group, version, kind, plural) in KINDS {
        let resource = resource((group, version, kind, plural));
        let api: Api<DynamicObject> = match access.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        match all(&api, access.patience, group, version, kind).await {
            Ok(objects) => listed.objects.extend(objects),
            Err(Failure::Late(why)) => return Err(format!("{plural}: {why}")),
            Err(Failure::Refused(why) | Failure::NoKind(why)) if plural == KINDS[0].3 => {
                return Err(format!("{plural}: {why}"));
            }
            Err(Failure::Refused(why) | Failure::NoKind(why)) => listed.refused.push((plural, why)),
        }
    }
    add_pools(&client, access, &mut listed).await?;
    Ok(listed)
}

async fn add_pools(client: &Client, access: &Access<'_>, listed: &mut Listed) -> Result<(), String> {
    let (group, version, kind, plural) = POOLS;
    let api = Api::all_with(client.clone(), &resource(POOLS));
    match all(&api, access.patience, group, version, kind).await {
        Ok(objects) => listed.objects.extend(objects),
        Err(Failure::NoKind(_)) => {}
        Err(Failure::Late(why)) => return Err(format!("{plural}: {why}")),
        Err(Failure::Refused(why)) => {
            listed.pools_are_unknown = true;
            // Who judges one namespace need not know the pools.
            if access.namespace.is_none() {
                listed.refused.push((plural, why));
            }
        }
    }
    Ok(())
}

fn resource((group, version, kind, plural): Listing) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

async fn client(access: &Access<'_>) -> Result<Client, String> {
    let mut config = configuration(access.kubeconfig, access.context).await?;
    config.read_timeout = Some(access.patience);
    Client::try_from(config).map_err(|e| reason(&e))
}

async fn all(
    api: &Api<DynamicObject>,
    patience: Duration,
    group: &str,
    version: &str,
    kind: &str,
) -> Result<Vec<String>, Failure> {
    let mut objects = Vec::new();
    let mut wanted = ListParams::default().limit(PAGE);
    loop {
        // A server that sends a byte now and then is never silent.
        let answer = tokio::time::timeout(patience, api.list(&wanted)).await;
        let late = |_| Failure::Late(format!("the API server's answer was not complete within {patience:?}"));
        let refused = |e: kube::Error| {
            let is_unknown = matches!(&e, kube::Error::Api(status) if status.code == 404);
            if is_unknown { Failure::NoKind(reason(&e)) } else { Failure::Refused(reason(&e)) }
        };
        let page = answer.map_err(late)?.map_err(refused)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    /// An API server that sends a byte of its answer now and then, and never ends.
    fn trickling() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
                    let mut sent = stream.write_all(head);
                    while sent.is_ok() {
                        thread::sleep(Duration::from_millis(50));
                        sent = stream.write_all(b" ");
                    }
                });
            }
        });
        format!("http://{address}")
    }

    #[test]
    fn an_answer_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{{"name":"c","context":{{"cluster":"c","user":"u"}}}}],"clusters":[{{"name":"c","cluster":{{"server":"{}"}}}}],"users":[{{"name":"u","user":{{}}}}]}}"#,
            trickling()
        );
        std::fs::write(&path, text).unwrap();
        let access =
            Access { kubeconfig: Some(&path), context: None, namespace: None, patience: Duration::from_millis(500) };
        let begun = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let why = runtime.block_on(list(&access)).unwrap_err();
        assert!(why.contains("network-attachment-definitions") && why.contains("500ms"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
