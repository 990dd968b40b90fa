//! What monitoring asks: /metrics, /healthz, /readyz.

mod answer;
mod authorization;
mod guard;
mod site;

pub(super) use guard::Guard;
pub(super) use site::Site;

use answer::{TEXT, response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Scrapers are few: of more connections at a time the oldest is closed, so that nobody who holds some keeps out
/// the others.
const MOST: usize = 16;
/// How often an address is tried again that somebody else has.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// The longest that a connection may last.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);
/// How long to wait when the process has no descriptor left for a connection.
const BREATHE: Duration = Duration::from_millis(100);

/// Serves whoever connects to `address`, for ever. Monitoring is not worth a node without a daemon: an address that
/// somebody else has is tried again, and said once.
pub(super) async fn serve(address: SocketAddr, guard: Option<Guard>, site: Arc<dyn Site>) {
    let mut is_told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if is_told => tracing::debug!(%address, %error, "cannot serve metrics yet"),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot serve metrics; retrying");
                is_told = true;
            }
        }
        sleep(TRY_EVERY).await;
    };
    if is_told {
        tracing::info!(%address, "serving metrics");
    }
    accept(&listener, guard, site).await;
}

async fn accept(listener: &TcpListener, guard: Option<Guard>, site: Arc<dyn Site>) {
    let guard = guard.map(Arc::new);
    let (mut running, mut oldest) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(BREATHE).await;
            continue;
        };
        while running.try_join_next().is_some() {}
        oldest.retain(|connection| !connection.is_finished());
        while oldest.len() >= MOST
            && let Some(connection) = oldest.pop_front()
        {
            connection.abort();
        }
        oldest.push_back(running.spawn(converse(stream, guard.clone(), Arc::clone(&site))));
    }
}

async fn converse(stream: TcpStream, guard: Option<Arc<Guard>>, site: Arc<dyn Site>) {
    // A peer that breaks TLS or HTTP, or goes away, is its own loss.
    let _ = timeout(CONNECTION_LIMIT, async {
        let Some(guard) = &guard else { return talk(TokioIo::new(stream), None, &*site).await };
        if let Some(stream) = guard.greet(stream).await {
            talk(TokioIo::new(stream), Some(guard), &*site).await;
        }
    })
    .await;
}

async fn talk(stream: impl Read + Write + Unpin, guard: Option<&Arc<Guard>>, site: &dyn Site) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
    let service = service_fn(|request| async move { Ok::<_, Infallible>(respond(&request, guard, site).await) });
    let _ = http.serve_connection(stream, service).await;
}

async fn respond(request: &Request<Incoming>, guard: Option<&Arc<Guard>>, site: &dyn Site) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    // Whether the daemon lives is no secret.
    if let Some(guard) = guard.filter(|_| path != "/healthz")
        && let Err(refusal) = guard.admit(request.headers(), site.kubernetes()).await
    {
        return refusal.response();
    }
    let (status, text) = match (request.method(), path) {
        (&Method::GET, "/metrics") => (StatusCode::OK, site.metrics()),
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/readyz") => readiness(site),
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let kind = match path {
        "/metrics" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        _ => TEXT,
    };
    response(status, kind, text)
}

fn readiness(site: &dyn Site) -> (StatusCode, String) {
    let (is_ready, checks) = site.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    for (guard, awaited) in checks {
        let awaited = if awaited.is_empty() { "ok" } else { &awaited };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{guard}: {awaited}");
    }
    (status, text)
}
