//! The way to the API server: the client, and its credentials, which are read again when they are refused.
//!
//! Credentials are rotated in files: a kubeconfig that somebody writes again, a certificate or a token beside it, the
//! service account's token. A client has read them once. Every request that is refused for its credentials ends
//! here: the files are read again, and where they changed the next request has the new ones.

use crate::cluster::error::{ConfigurationError, reason};
use crate::cluster::kubernetes::bounded::Bound;
use crate::sys::files;
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the API server keeps a watch open. A connection that died in silence is noticed a little after it.
pub const WATCH_SECONDS: u32 = 120;
/// A connection on which nothing comes for so long is dead.
pub(in crate::cluster) const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Credentials that did not change are tried with a new client so often: a program may have made them.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(10);
/// A longer file is no credential.
const MAX_FILE: usize = 4 << 20;

/// A client for the API server.
pub struct Access {
    kubeconfig: Option<PathBuf>,
    current: Mutex<Current>,
    /// Held while they are read again; whether it was said that they cannot be.
    renewing: tokio::sync::Mutex<bool>,
}

/// A client, and what it was made of.
#[derive(Clone)]
struct Current {
    client: Client,
    watching: Client,
    number: u64,
    mark: u64,
    made: Instant,
    /// A request was given up before its answer began: the connections may be dead.
    doubted: bool,
}

/// A request that waits for its answer. Where it is given up, the connections of its client are doubted.
#[derive(Debug)]
pub struct Awaited<'a> {
    access: &'a Access,
    number: u64,
    answered: bool,
}

impl Awaited<'_> {
    /// The number of the client.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The answer came, or an error.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut current = self.access.current();
        current.doubted |= !self.answered && current.number == self.number;
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

/// How the cluster is reached: by the file at `kubeconfig`, else by $KUBECONFIG, else as a pod of it.
///
/// # Errors
/// There is no such file, it is wrong, or this is no pod.
pub async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ConfigurationError> {
    let options = KubeConfigOptions::default();
    let mut config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if std::env::var_os("KUBECONFIG").is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::incluster()?,
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    // For lists; watches notice silence themselves, everything else has a deadline of ours.
    config.read_timeout = Some(SILENCE);
    // A request that fails is answered or repeated by us, who know how long there is.
    config.default_retry = false;
    Ok(config)
}

impl Access {
    /// The way that `kubeconfig` tells; see [`configuration`].
    ///
    /// # Errors
    /// There is none, or its credentials or certificates cannot be used.
    pub async fn open(kubeconfig: Option<PathBuf>) -> Result<Self, ConfigurationError> {
        let current = Mutex::new(read(kubeconfig.clone(), 0).await?);
        Ok(Access { kubeconfig, current, renewing: tokio::sync::Mutex::default() })
    }

    /// The client of now, and its number.
    pub fn client(&self) -> (Client, u64) {
        let current = self.current();
        (current.client.clone(), current.number)
    }

    /// The client of now for one request, and what waits for its answer. After a request that nobody answered it is a
    /// new one: a connection that died in silence is not told to be dead, and those beside it died with it.
    pub async fn request(&self) -> (Client, Awaited<'_>) {
        let before = self.current().clone();
        if before.doubted && before.made.elapsed() >= TRY_AGAIN_EVERY {
            self.reconnect(&before).await;
        }
        let (client, number) = self.client();
        (client, Awaited { access: self, number, answered: false })
    }

    /// A new client with what the files contain now, in the place of `before`.
    async fn reconnect(&self, before: &Current) {
        // Whoever waits for a lock here is served by the one who holds it.
        let Ok(_alone) = self.renewing.try_lock() else { return };
        match read(self.kubeconfig.clone(), before.number + 1).await {
            Ok(after) if self.current().number == before.number => {
                tracing::debug!("the API server left a request without an answer; using new connections");
                let watching = before.watching.clone();
                *self.current() = Current { watching, ..after };
            }
            Ok(_) => {}
            // The next request that is refused for its credentials tells it.
            Err(e) => tracing::debug!(error = %e, "new connections cannot be made"),
        }
    }

    /// The client of now for watches and their lists, and its number. It has connections of its own: when the network
    /// falls silent, a watch that begins again would else try each connection that other requests left behind.
    pub fn watching(&self) -> (Client, u64) {
        let current = self.current();
        (current.watching.clone(), current.number)
    }

    /// After `error` of the client `number`: reads the credentials again where it is for them. Whether there is
    /// another client now.
    pub async fn renew(&self, number: u64, error: &kube::Error) -> bool {
        if !is_for_credentials(error) {
            return false;
        }
        let mut is_told = self.renewing.lock().await;
        let before = self.current().clone();
        if before.number != number {
            return true;
        }
        let after = match read(self.kubeconfig.clone(), number + 1).await {
            Ok(after) => after,
            Err(e) => {
                if !std::mem::replace(&mut *is_told, true) {
                    tracing::warn!(reason = reason(error), error = %e, "the API server refused the credentials, and new ones cannot be read");
                }
                return false;
            }
        };
        *is_told = false;
        if after.mark == before.mark && before.made.elapsed() < TRY_AGAIN_EVERY {
            return false;
        }
        if after.mark == before.mark {
            tracing::debug!(reason = reason(error), "the API server refused the credentials; trying a new client");
        } else {
            tracing::info!(reason = reason(error), "read the rotated credentials");
        }
        *self.current() = after;
        true
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clients `number` of what the files say now, and what tells whether they changed.
async fn read(kubeconfig: Option<PathBuf>, number: u64) -> Result<Current, ConfigurationError> {
    let runtime = tokio::runtime::Handle::current();
    // Off the loop: all of it reads files.
    let read = move || {
        let config = runtime.block_on(configuration(kubeconfig.as_deref()))?;
        let mark = mark(kubeconfig.as_deref(), &config);
        let client = |config: Config| -> Result<Client, ConfigurationError> {
            let builder = ClientBuilder::try_from(config).map_err(|e| ConfigurationError::Credentials(reason(&e)))?;
            // Requests are made on the loop.
            let _in_runtime = runtime.enter();
            Ok(builder.with_layer(&Bound).build())
        };
        let (client, watching) = (client(config.clone())?, client(config)?);
        Ok(Current { client, watching, number, mark, made: Instant::now(), doubted: false })
    };
    let stopped = |e: tokio::task::JoinError| ConfigurationError::Credentials(e.to_string());
    tokio::task::spawn_blocking(read).await.map_err(stopped)?
}

/// A number that changes when a file changes that the credentials come from.
fn mark(kubeconfig: Option<&Path>, config: &Config) -> u64 {
    let of_environment = || std::env::var_os("KUBECONFIG").map(|paths| std::env::split_paths(&paths).collect());
    let mut files: Vec<PathBuf> =
        kubeconfig.map(|path| vec![path.to_owned()]).or_else(of_environment).unwrap_or_default();
    let login = &config.auth_info;
    files.extend(
        [&login.token_file, &login.client_certificate, &login.client_key].into_iter().flatten().map(Into::into),
    );
    files.extend(config.root_cert_file.clone());
    let mut hasher = DefaultHasher::new();
    config.root_cert.hash(&mut hasher);
    for file in files {
        // One that cannot be read is like none: the client says why it cannot be used.
        files::read_bytes_bounded(&file, MAX_FILE).ok().flatten().hash(&mut hasher);
    }
    hasher.finish()
}

/// Whether other credentials, or another certificate authority, would help.
fn is_for_credentials(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 401,
        // What TLS says of certificates is told by text alone.
        other => {
            let reason = reason(other).to_lowercase();
            reason.contains("certificate") || reason.contains("unknownca") || reason.contains("unknown ca")
        }
    }
}
