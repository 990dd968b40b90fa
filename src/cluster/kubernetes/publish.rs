//! Publishing: one patch of one annotation, without reading the pod.

use crate::api::Publication;
use crate::cluster::error::reason;
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::event;
use crate::cluster::kubernetes::object::PodHead;
use crate::cluster::pod::MIRROR;
use crate::cluster::{Attempt, Notice, Outcome, Progress};
use crate::nad::NETWORK_STATUS;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use serde::Serialize;
use serde_json::json;
use std::fmt::Debug;
use std::time::Duration;

/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// All annotations of an object together are at most so long.
const LONGEST_STATUS: usize = 256 << 10;
/// How long a static pod may lack its API object. It is made by the kubelet, which may have to wait
/// for the API server, which may be a static pod.
const MIRROR_WAIT: Duration = Duration::from_secs(3600);

/// Why a patch was not taken.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// There is no pod of that name.
    NoPod,
    /// The pod of that name is another one.
    OtherUid,
    /// A policy or a rule says no.
    Policy(String),
    /// Somebody else wrote at the same time.
    Conflict(String),
    /// Anything else: it may pass.
    Passing(String),
}

impl Kubernetes {
    /// Tries once to put `publication` on its pod. What there is to tell of it is told by the caller, after whoever
    /// waits has its answer.
    pub async fn publish(&self, publication: &Publication, progress: &Progress) -> Attempt {
        let length = publication.network_status.len();
        if length > LONGEST_STATUS {
            let reason = format!("it has {length} bytes, and an annotation at most {LONGEST_STATUS}");
            let uid = publication.pod.uid().unwrap_or_default();
            let notice = Some(Notice::new(event::refused(&self.node, publication, uid, &reason)));
            return Attempt { outcome: Outcome::Refused(format!("the network status is too long: {reason}")), notice };
        }
        let (uid, sent) = match publication.pod.uid() {
            Some(hash) if is_hash(hash) => (hash.to_owned(), self.patch_mirror(publication, hash).await),
            Some(uid) => (uid.to_owned(), self.patch(publication, uid).await),
            // An older runtime: whichever pod has the name now.
            None => match self.pod(&publication.pod).await {
                Ok(Some(pod)) => {
                    let uid = pod.uid().unwrap_or_default().to_owned();
                    let sent = self.patch(publication, &uid).await;
                    (uid, sent)
                }
                Ok(None) => return Outcome::Gone.into(),
                Err(e) => return Outcome::Later(e.to_string()).into(),
            },
        };
        match sent {
            Ok(uid) => {
                let (node, publication) = (self.node.clone(), publication.clone());
                let event = move || {
                    event::added(&node, &publication, &uid).or_else(|| event::left_out(&node, &publication, &uid))
                };
                Attempt { outcome: Outcome::Written, notice: Some(Notice::later(event)) }
            }
            // The kubelet makes, or replaces, the object when it gets to it.
            Err(Refusal::NoPod | Refusal::OtherUid) if is_hash(&uid) && may_get_mirror(progress) => {
                Outcome::Later("the static pod has no API object yet".to_owned()).into()
            }
            Err(Refusal::Policy(reason)) => {
                let notice = Some(Notice::new(event::refused(&self.node, publication, &uid, &reason)));
                Attempt { outcome: Outcome::Denied(reason), notice }
            }
            Err(Refusal::NoPod | Refusal::OtherUid) => Outcome::Gone.into(),
            Err(Refusal::Conflict(reason)) => Outcome::Conflict(reason).into(),
            Err(Refusal::Passing(reason)) => Outcome::Later(reason).into(),
        }
    }

    async fn patch(&self, publication: &Publication, uid: &str) -> Result<String, Refusal> {
        let annotations = json!({ NETWORK_STATUS: publication.network_status });
        self.send_patch(
            publication,
            uid,
            &Patch::Merge(json!({ "metadata": { "uid": uid, "annotations": annotations } })),
        )
        .await
    }

    /// The UID by which a runtime knows a static pod is the hash of its file, not that of its API
    /// object. The patch itself tests for the annotation that the kubelet makes of the hash, so
    /// nothing has to be read.
    async fn patch_mirror(&self, publication: &Publication, hash: &str) -> Result<String, Refusal> {
        let path =
            |annotation: &str| format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"));
        let operations = json!([
            { "op": "test", "path": path(MIRROR), "value": hash },
            { "op": "add", "path": path(NETWORK_STATUS), "value": publication.network_status },
        ]);
        // Two operations on texts always are a JSON patch.
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap_or_default();
        self.send_patch(publication, hash, &Patch::Json::<()>(patch)).await
    }

    /// The UID of the pod that has the status now.
    async fn send_patch<P: Serialize + Debug>(
        &self,
        publication: &Publication,
        uid: &str,
        patch: &Patch<P>,
    ) -> Result<String, Refusal> {
        let pod = &publication.pod;
        let parameters = &PatchParams { field_manager: Some("plexus".to_owned()), ..PatchParams::default() };
        let send = |client| {
            let api: Api<PodHead> = Api::namespaced(client, pod.namespace());
            async move { api.patch_status(pod.name(), parameters, patch).await }
        };
        let answer = tokio::time::timeout(TRY_LIMIT, self.send(send)).await;
        self.requests.made("patch", matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(patched)) => Ok(patched.metadata_uid().unwrap_or(uid).to_owned()),
            Ok(Err(kube::Error::Api(status))) => Err(refusal(&status)),
            Ok(Err(e)) => Err(Refusal::Passing(reason(&e))),
            Err(_) => Err(Refusal::Passing(format!("no answer from the API server within {TRY_LIMIT:?}"))),
        }
    }
}

/// What the API server means by `status`.
fn refusal(status: &Status) -> Refusal {
    let names_uid = || {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.field == "metadata.uid")
            || status.message.contains("metadata.uid")
            || status.message.contains("UID")
    };
    match status.code {
        404 => Refusal::NoPod,
        409 | 422 if names_uid() => Refusal::OtherUid,
        // A JSON patch whose test fails: the pod of that name is none, or another, static pod.
        422 if status.message.contains("unable to be applied") || status.message.contains("testing") => {
            Refusal::OtherUid
        }
        422 => Refusal::Policy(status.message.clone()),
        409 => Refusal::Conflict(status.message.clone()),
        // A missing permission is granted sooner or later.
        403 if !status.message.contains("cannot patch resource") => Refusal::Policy(status.message.clone()),
        _ => Refusal::Passing(status.message.clone()),
    }
}

/// Whether `uid` is the hash of a static pod's file: the API server's UIDs have hyphens.
fn is_hash(uid: &str) -> bool {
    !uid.contains('-')
}

/// Whether the API object of a static pod may still be made.
fn may_get_mirror(progress: &Progress) -> bool {
    progress.begun.elapsed().is_ok_and(|waited| waited < MIRROR_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let status = |code: u16, message: &str| Status { code, message: message.to_owned(), ..Status::failure("", "") };
        let conflict = "Operation cannot be fulfilled on pods \"p\": Precondition failed: UID in precondition: a, UID in object meta: b";
        assert_eq!(refusal(&status(404, "pods \"p\" not found")), Refusal::NoPod);
        assert_eq!(refusal(&status(409, conflict)), Refusal::OtherUid);
        assert_eq!(refusal(&status(422, "metadata.uid: Invalid value: field is immutable")), Refusal::OtherUid);
        assert!(matches!(refusal(&status(409, "the object has been modified")), Refusal::Conflict(_)));
        assert!(matches!(refusal(&status(422, "denied by policy x")), Refusal::Policy(_)));
        assert!(matches!(refusal(&status(403, "denied by policy x")), Refusal::Policy(_)));
        let rbac = "pods \"p\" is forbidden: User \"x\" cannot patch resource \"pods/status\" in API group \"\"";
        assert!(matches!(refusal(&status(403, rbac)), Refusal::Passing(_)));
        assert!(matches!(refusal(&status(500, "etcd")), Refusal::Passing(_)));
    }
}
