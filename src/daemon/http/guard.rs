//! TLS and tokens for scrapers outside of the node.

use super::authorization::{Authorization, Refusal};
use crate::cluster::Kubernetes;
use anyhow::Context;
use hyper::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

/// How long the begin of an encrypted connection may take.
const GREETING: Duration = Duration::from_secs(5);

/// Lets in those whose token may get `/metrics`.
pub struct Guard {
    acceptor: TlsAcceptor,
    authorization: Authorization,
}

impl Guard {
    /// One with a certificate of its own, which nobody has signed: it keeps tokens from being read on the way. A scraper
    /// cannot verify it, as with other programs of nodes that make their certificate at each start.
    ///
    /// # Errors
    /// There is no API server that knows tokens; the system has no random numbers.
    pub fn new(kubernetes: Option<&Kubernetes>) -> anyhow::Result<Self> {
        anyhow::ensure!(
            kubernetes.is_some(),
            "--metrics-authorization needs an API server, and --source-directory has none"
        );
        let certified = rcgen::generate_simple_self_signed(["plexusd".to_owned()]).context("make a certificate")?;
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key.into())
            })
            .context("use the certificate")?;
        Ok(Guard { acceptor: TlsAcceptor::from(Arc::new(config)), authorization: Authorization::default() })
    }

    /// The connection, encrypted; nothing where the peer does not do its part in time.
    pub(super) async fn greet(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        timeout(GREETING, self.acceptor.accept(stream)).await.ok()?.ok()
    }

    /// Whether a request with these headers is answered.
    pub(super) async fn admit(&self, headers: &HeaderMap, kubernetes: Option<&Kubernetes>) -> Result<(), Refusal> {
        self.authorization.admit(headers, kubernetes).await
    }
}
