//! No answer of the API server is longer than what we have memory for.
//!
//! An object may have 1.5 MiB, a page of a list 250 of them. An answer that is longer than the limit is given up
//! while it is read; a list is then asked for in smaller pages. A watch has no end, and sends one object at a time.

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{Either, LengthLimitError, Limited};
use hyper::{Request, Response};
use kube::client::Body;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The longest answer: five objects of the longest kind. It is in memory twice while it is decoded.
pub(in crate::cluster) const LONGEST_ANSWER: usize = 8 << 20;

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
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<Either<Limited<B>, B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let has_no_end = query.split('&').any(|pair| pair.starts_with("watch="));
        let bound =
            move |body| if has_no_end { Either::Right(body) } else { Either::Left(Limited::new(body, LONGEST_ANSWER)) };
        self.0.call(request).map(move |answer| answer.map(|answer| answer.map(bound))).boxed()
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
