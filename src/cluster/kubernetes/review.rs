//! Whether somebody else's token is good for something: the API server decides, as for every server of a cluster.

use crate::cluster::error::Error;
use crate::cluster::kubernetes::client::Kubernetes;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// What was asked.
    Granted,
    /// The API server knows the holder, who may not.
    Refused,
    /// The API server does not know the token.
    Unknown,
}

impl Kubernetes {
    /// Whether the holder of `token` may GET the path `path` (RBAC: `nonResourceURLs`).
    ///
    /// # Errors
    /// The API server did not answer, or does not let us ask.
    pub async fn may_get(&self, token: &str, path: &str) -> Result<Permission, Error> {
        let what = || "the token of a scraper".to_owned();
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let post = PostParams::default();
        let answer = self.ask::<TokenReview, _, _>("create", what(), |client| {
            let (api, post, review) = (Api::<TokenReview>::all(client), &post, &review);
            async move { api.create(post, review).await }
        });
        let status = answer.await?.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(Permission::Unknown);
        };
        let review = SubjectAccessReview { spec: access_of(user, path), ..SubjectAccessReview::default() };
        let answer = self.ask::<SubjectAccessReview, _, _>("create", what(), |client| {
            let (api, post, review) = (Api::<SubjectAccessReview>::all(client), &post, &review);
            async move { api.create(post, review).await }
        });
        let is_allowed = answer.await?.status.is_some_and(|status| status.allowed);
        Ok(if is_allowed { Permission::Granted } else { Permission::Refused })
    }
}

fn access_of(user: UserInfo, path: &str) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some(path.to_owned()),
            verb: Some("get".to_owned()),
        }),
        user: user.username,
        groups: user.groups,
        uid: user.uid,
        extra: user.extra,
        ..SubjectAccessReviewSpec::default()
    }
}
