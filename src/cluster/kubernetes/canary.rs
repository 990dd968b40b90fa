//! A harmless test of the admission policy: the daemon asks for what the policy forbids.
//!
//! RBAC cannot say "only this annotation, only of this node's pods"; a ValidatingAdmissionPolicy does. Where it is
//! missing (an API server before 1.30, a deleted binding, another name), everything works, and the daemon's token can
//! change the labels of every pod of the cluster. Nobody would notice. So the daemon asks, as a dry run that changes
//! nothing, to change a label of its own pod, and the answer should be no. Where it is yes, the daemon asks whether it still
//! has the right by which the policy knows its token: without it the policy is there, and does not match.

use crate::cluster::Pauses;
use crate::cluster::error::reason;
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::object::PodHead;
use crate::nad::PodRef;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::json;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// The pause after an answer that was no; policies are deleted by people, not by accident. Who asks by hand does not wait.
const AFTER_NO: Duration = Duration::from_secs(3600);
/// The first pause after every other answer: a policy takes a second until it is in force.
const FIRST: Duration = Duration::from_secs(2);
/// Such pauses grow up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// So many times in a row the policy must be missing before it is.
const CONFIRMED: u32 = 3;
/// What the policy forbids.
const LABEL: &str = "plexus.dev/canary";
/// The right of the accounts that the policy is for: group, resource and verb.
const MARK: (&str, &str, &str) = ("plexus.dev", "nodes", "report");

/// Whether the policy guards the daemon's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not tested, for this reason.
    Untested(&'static str),
    /// There is no answer yet, for this reason.
    Unknown(String),
    /// It does.
    Guarded,
    /// It does not.
    Open,
    /// It cannot: it is for accounts with a right that the token does not have any more.
    Unmarked,
}

/// Tests the policy now and then.
#[derive(Debug)]
pub struct Canary {
    own: Option<PodRef>,
    required: bool,
    verdict: watch::Sender<Verdict>,
    /// Somebody asks for a test before its time.
    asked: Notify,
    /// How many tests have ended; one that has to be confirmed has not.
    ended: watch::Sender<u64>,
}

impl Default for Canary {
    /// There is no API server, and nothing to test.
    fn default() -> Self {
        Canary::with(None, false, Verdict::Untested(""))
    }
}

impl Verdict {
    /// Whether the API server would have done what the policy forbids.
    pub fn lets_through(&self) -> bool {
        matches!(self, Verdict::Open | Verdict::Unmarked)
    }

    /// What an operator has to know; empty when there is nothing.
    pub fn why(&self) -> String {
        match self {
            Verdict::Guarded => String::new(),
            Verdict::Untested(why) => (*why).to_owned(),
            Verdict::Unknown(why) => format!("whether the admission policy guards the daemon's token is not known: {why}"),
            Verdict::Open => "the API server lets the daemon's token change labels: the ValidatingAdmissionPolicy of conf/base/admission-policy.yaml is missing or does not match (Kubernetes before 1.30 has no such policies)".to_owned(),
            Verdict::Unmarked => "plexusd may not report nodes.plexus.dev, the right by which the admission policy knows its token: grant it (the ClusterRole plexus and its binding do)".to_owned(),
        }
    }
}

impl Canary {
    /// Tests on the pod `own`; where that is none, the policy is not tested, and that is told.
    pub fn new(own: Option<PodRef>, required: bool) -> Self {
        let verdict = match &own {
            Some(_) => Verdict::Unknown("it was not tested yet".to_owned()),
            None => {
                Verdict::Untested("the admission policy is not tested: plexusd does not know its own pod (--pod-name)")
            }
        };
        Canary::with(own, required, verdict)
    }

    fn with(own: Option<PodRef>, required: bool, verdict: Verdict) -> Self {
        let (verdict, ended) = (watch::Sender::new(verdict), watch::Sender::new(0));
        Canary { own, required, verdict, asked: Notify::new(), ended }
    }

    /// Lets the policy be tested now, and waits until that has ended, at most for `limit`.
    pub async fn test(&self, limit: Duration) {
        if self.own.is_none() {
            return;
        }
        let mut ended = self.ended.subscribe();
        let before = *ended.borrow_and_update();
        self.asked.notify_one();
        // What is known after `limit` is told all the same; the sender lives as long as this.
        let _ = timeout(limit, ended.wait_for(|ended| *ended > before)).await;
    }

    /// Whether nothing may be published without the policy.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Why nothing may be published now.
    pub fn objection(&self) -> Option<String> {
        let verdict = self.verdict.borrow();
        (self.required && *verdict != Verdict::Guarded).then(|| verdict.why())
    }

    /// Whether the policy guards; none while that is not known.
    pub fn guards(&self) -> Option<bool> {
        match *self.verdict.borrow() {
            Verdict::Guarded => Some(true),
            Verdict::Open | Verdict::Unmarked => Some(false),
            Verdict::Untested(_) | Verdict::Unknown(_) => None,
        }
    }

    /// What is known, and every change of it.
    pub fn verdicts(&self) -> watch::Receiver<Verdict> {
        self.verdict.subscribe()
    }

    /// Tests, for ever.
    pub(in crate::cluster) async fn follow(&self, kubernetes: &Kubernetes) {
        let Some(own) = &self.own else { return };
        let (mut pauses, mut open) = (Pauses::new(FIRST, LONGEST), 0);
        loop {
            let verdict = kubernetes.try_forbidden(own).await;
            open = if verdict.lets_through() { open + 1 } else { 0 };
            let pause = if verdict == Verdict::Guarded {
                pauses = Pauses::new(FIRST, LONGEST);
                AFTER_NO
            } else if (1..CONFIRMED).contains(&open) {
                FIRST
            } else {
                pauses.next().unwrap_or(LONGEST)
            };
            self.learn(verdict, open);
            if (1..CONFIRMED).contains(&open) {
                sleep(pause).await;
                continue;
            }
            self.ended.send_modify(|ended| *ended += 1);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// Takes `verdict` for true, unless it says nothing new or is not certain yet.
    fn learn(&self, verdict: Verdict, open: u32) {
        let is_certain = match verdict {
            Verdict::Open | Verdict::Unmarked => open >= CONFIRMED,
            // What was known stays true while the server is away.
            Verdict::Unknown(_) => self.guards().is_none(),
            Verdict::Guarded | Verdict::Untested(_) => true,
        };
        if is_certain {
            self.verdict.send_if_modified(|before| std::mem::replace(before, verdict.clone()) != verdict);
        }
    }
}

impl Kubernetes {
    /// Asks, as a dry run, for what the policy forbids.
    async fn try_forbidden(&self, own: &PodRef) -> Verdict {
        let dry = PatchParams { dry_run: true, field_manager: Some("plexus".to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL: "forbidden" } } }));
        let (dry, patch) = (&dry, &patch);
        let ask = |client| {
            let api: Api<PodHead> = Api::namespaced(client, own.namespace());
            async move { api.patch_status(own.name(), dry, patch).await }
        };
        let answer = timeout(TRY_LIMIT, self.send(ask)).await;
        self.requests.made("patch", matches!(answer, Ok(Ok(_) | Err(kube::Error::Api(_)))));
        match answer {
            Ok(Ok(_)) if self.is_marked().await => Verdict::Open,
            Ok(Ok(_)) => Verdict::Unmarked,
            Ok(Err(kube::Error::Api(status))) => verdict(&status),
            Ok(Err(e)) => Verdict::Unknown(reason(&e)),
            Err(_) => Verdict::Unknown(format!("no answer from the API server within {TRY_LIMIT:?}")),
        }
    }

    /// Whether the token has the right by which the policy knows it; so it is where that cannot be asked.
    async fn is_marked(&self) -> bool {
        let (group, resource, verb) = MARK;
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let post = PostParams::default();
        let what = "the daemon's own rights".to_owned();
        let answer = self.ask::<SelfSubjectAccessReview, _, _>("create", what, |client| {
            let (api, post, review) = (Api::<SelfSubjectAccessReview>::all(client), &post, &review);
            async move { api.create(post, review).await }
        });
        answer.await.ok().and_then(|review| review.status).is_none_or(|status| status.allowed)
    }
}

/// What a refusal means. Only the refusal of a policy shows that there is one: a missing permission may be granted later.
fn verdict(status: &Status) -> Verdict {
    if matches!(status.code, 403 | 422) && status.message.contains("ValidatingAdmissionPolicy") {
        Verdict::Guarded
    } else {
        Verdict::Unknown(status.message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_policy_that_says_no_is_one() {
        let status = |code: u16, message: &str| Status { code, message: message.to_owned(), ..Status::failure("", "") };
        let denied =
            "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'plexus' with binding 'plexus' denied request: no";
        assert_eq!(verdict(&status(422, denied)), Verdict::Guarded);
        assert_eq!(verdict(&status(403, denied)), Verdict::Guarded);
        for (code, message) in
            [(403, "cannot patch resource \"pods/status\""), (404, "pods \"p\" not found"), (500, "etcd")]
        {
            assert!(matches!(verdict(&status(code, message)), Verdict::Unknown(why) if why == message));
        }
    }

    #[test]
    fn nothing_is_published_before_the_policy_is_seen_where_it_is_required() {
        let own = PodRef::new("a", "b", None).unwrap();
        let canary = Canary::new(Some(own), true);
        assert!(canary.objection().is_some_and(|why| why.contains("not tested yet")));
        for open in 1..=CONFIRMED {
            canary.learn(Verdict::Open, open);
            assert_eq!(canary.guards().is_none(), open < CONFIRMED, "a policy that is in force in a moment");
        }
        assert!(canary.objection().is_some_and(|why| why.contains("labels")));
        canary.learn(Verdict::Unmarked, CONFIRMED);
        assert!(canary.objection().is_some_and(|why| why.contains("plexusd may not report nodes.plexus.dev")));
        assert_eq!(canary.guards(), Some(false));
        canary.learn(Verdict::Guarded, 0);
        canary.learn(Verdict::Unknown("away".to_owned()), 0);
        assert_eq!((canary.objection(), canary.guards()), (None, Some(true)));
        assert_eq!(Canary::new(None, false).objection(), None);
    }
}
