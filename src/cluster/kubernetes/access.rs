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
    number: u64,
    mark: u64,
    made: Instant,
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
        let (client, mark) = read(kubeconfig.clone()).await?;
        let current = Mutex::new(Current { client, number: 0, mark, made: Instant::now() });
        Ok(Access { kubeconfig, current, renewing: tokio::sync::Mutex::default() })
    }

    /// The client of now, and its number.
    pub fn client(&self) -> (Client, u64) {
        let current = self.current();
        (current.client.clone(), current.number)
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
        let (client, mark) = match read(self.kubeconfig.clone()).await {
            Ok(read) => read,
            Err(e) => {
                if !std::mem::replace(&mut *is_told, true) {
                    tracing::warn!(reason = reason(error), error = %e, "the API server refused the credentials, and new ones cannot be read");
                }
                return false;
            }
        };
        *is_told = false;
        if mark == before.mark && before.made.elapsed() < TRY_AGAIN_EVERY {
            return false;
        }
        if mark == before.mark {
            tracing::debug!(reason = reason(error), "the API server refused the credentials; trying a new client");
        } else {
            tracing::info!(reason = reason(error), "read the rotated credentials");
        }
        *self.current() = Current { client, number: number + 1, mark, made: Instant::now() };
        true
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of what the files say now, and what tells whether they changed.
async fn read(kubeconfig: Option<PathBuf>) -> Result<(Client, u64), ConfigurationError> {
    let runtime = tokio::runtime::Handle::current();
    // Off the loop: all of it reads files.
    let read = move || {
        let config = runtime.block_on(configuration(kubeconfig.as_deref()))?;
        let mark = mark(kubeconfig.as_deref(), &config);
        let builder = ClientBuilder::try_from(config).map_err(|e| ConfigurationError::Credentials(reason(&e)))?;
        // Requests are made on the loop.
        let _in_runtime = runtime.enter();
        Ok((builder.with_layer(&Bound).build(), mark))
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
