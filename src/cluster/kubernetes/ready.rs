//! A connection to the API server that is open when a network-status has to be written.
//!
//! Both ends forget a connection on which nothing was said for 90 seconds (hyper's pool; kube-apiserver's `IdleTimeout`).
//! On a quiet node each status would wait for the greetings of TCP and TLS, which cost more than the patch. A plugin asks
//! for networks before it attaches them. So that question opens a connection, while the plugin works.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A connection that was used so lately is still open.
const OPEN: Duration = Duration::from_secs(60);

/// When something was last asked of the API server.
#[derive(Debug)]
pub(in crate::cluster) struct LastUse(Mutex<Instant>);

impl LastUse {
    /// Now.
    pub(in crate::cluster) fn now() -> Self {
        LastUse(Mutex::new(Instant::now()))
    }

    /// Something is asked now. Whether every connection may be closed that was open before.
    pub(in crate::cluster) fn note(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut *last, now)) >= OPEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cache;
    use crate::cluster::kubernetes::access::Access;
    use crate::cluster::kubernetes::client::Kubernetes;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// An API server that tells the version, whatever it is asked; counts connections and requests.
    async fn server(counts: Arc<[AtomicUsize; 2]>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts[0].fetch_add(1, Ordering::Relaxed);
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        counts[1].fetch_add(1, Ordering::Relaxed);
                        let body = r#"{"major":"1","minor":"34","gitVersion":"","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
                        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
                        stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
                    }
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn a_quiet_daemon_opens_a_connection_before_the_status() {
        // P5
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let port = server(Arc::clone(&counts)).await;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{{"name":"c","cluster":{{"server":"http://127.0.0.1:{port}"}}}}],"users":[{{"name":"c","user":{{}}}}],"contexts":[{{"name":"c","context":{{"cluster":"c","user":"c"}}}}]}}"#
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let access = Access::open(Some(kubeconfig)).await.unwrap();
        let kubernetes =
            Kubernetes::new(access, "node1".to_owned(), 120, Arc::new(Cache::default()), Default::default());
        let seen = || [counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed)];
        kubernetes.expect_status();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(seen(), [0, 0], "it was used a moment ago");
        *kubernetes.last_use.0.lock().unwrap() -= OPEN;
        kubernetes.expect_status();
        kubernetes.expect_status();
        while seen()[1] == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(seen(), [1, 1]);
        // What follows uses the same connection.
        kubernetes.access.client().0.apiserver_version().await.unwrap();
        assert_eq!(seen(), [1, 2]);
    }
}
