//! No answer of the API server is longer than what we have memory for, and none begins later than it may.
//!
//! A connection that died in silence is not told to be dead: what is sent over it is never answered. The client
//! keeps connections for the next request, so each request may be the first on a dead one. Its answer begins in time,
//! or the request is given up, and its connection with it; the next request takes another one.
//!
//! An object may have 1.5 MiB, a page of a list 250 of them. An answer that is longer than the limit is given up
//! while it is read; a list is then asked for in smaller pages. A watch has no end, and sends one object at a time.

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{Either, LengthLimitError, Limited};
use hyper::{Request, Response};
use kube::client::Body;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Layer, Service};

/// The longest answer: five objects of the longest kind. It is in memory twice while it is decoded.
pub(in crate::cluster) const LONGEST_ANSWER: usize = 8 << 20;

/// How long the API server may take until it begins to answer. It ends a request itself after 60 seconds
/// (kube-apiserver, `--request-timeout`).
const ANSWER_BEGINS_WITHIN: Duration = Duration::from_secs(65);
/// The same of a watch, which has nothing to gather first: the request waits in a queue for a quarter of that time
/// at most (kube-apiserver, API Priority and Fairness).
const WATCH_BEGINS_WITHIN: Duration = Duration::from_secs(15);

/// An answer that did not begin in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not begin to answer within {} seconds", .0.as_secs())]
struct Unanswered(Duration);

/// Bounds the answers of the service that it is laid around.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) struct Bound;

/// A service whose answers are bounded.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Bounded<S>(S);

impl<S> Layer<S> for Bound {
    type Service = Bounded<S>;

    fn layer(&self, service: S) -> Bounded<S> {
        Bounded(service)
    }
}

impl<S, B> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<Either<Limited<B>, B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let has_no_end = query.split('&').any(|pair| pair.starts_with("watch="));
        let limit = if has_no_end { WATCH_BEGINS_WITHIN } else { ANSWER_BEGINS_WITHIN };
        let bound =
            move |body| if has_no_end { Either::Right(body) } else { Either::Left(Limited::new(body, LONGEST_ANSWER)) };
        let answer = tokio::time::timeout(limit, self.0.call(request));
        async move { Ok(answer.await.map_err(|_| Unanswered(limit))??.map(bound)) }.boxed()
    }
}

/// Whether `error` is an answer that was given up for its length.
pub(in crate::cluster) fn is_too_long(error: &kube::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
