//! A stub of an API server: HTTP without TLS, and answers of the test. Lists are empty and watches say nothing unless
//! the test has another answer.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub body: String,
    /// When it came.
    pub at: Instant,
}

/// Status and body; none for what the stub answers by itself.
pub type Answer = Option<(u16, Value)>;
type Answers = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A server; it ends when this is dropped.
pub struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    open: Arc<Mutex<(usize, usize)>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Stub {
    /// Starts one; each answer takes `delay`.
    pub fn start(delay: Duration, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((0, 0))));
        let (stop, stopped) = oneshot::channel();
        let serve = serve(listener, Arc::clone(&seen), Arc::clone(&open), Arc::new(answer), delay);
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
        });
        Stub { address, seen, open, stop: Some(stop), serving: Some(serving) }
    }

    /// A kubeconfig for it, in `folder`.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "c", "user": { "token": "t" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// What was asked by `method` of what has `part` in its path.
    pub fn asked(&self, method: &str, part: &str) -> Vec<Asked> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|asked| asked.method == method && asked.path.contains(part)).cloned().collect()
    }

    /// The most requests that were open at one time, watches not counted.
    pub fn most_at_once(&self) -> usize {
        self.open.lock().unwrap().1
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

/// A request that is open; one whose client went away ends, too.
struct Open(Arc<Mutex<(usize, usize)>>);

impl Open {
    fn count(open: &Arc<Mutex<(usize, usize)>>) -> Open {
        let mut counts = open.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Open(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

/// A refusal as the API server words it.
pub fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message });
    Some((code, body))
}

/// A pod as a patch answers it.
pub fn patched(asked: &Asked) -> Answer {
    let name = asked.path.split('/').nth(6).unwrap_or_default();
    let metadata = json!({ "name": name, "namespace": "default", "uid": "a-b", "resourceVersion": "2" });
    Some((200, json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata })))
}

async fn serve(
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Asked>>>,
    open: Arc<Mutex<(usize, usize)>>,
    answers: Answers,
    delay: Duration,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (seen, open, answers) = (Arc::clone(&seen), Arc::clone(&open), Arc::clone(&answers));
        let answer = service_fn(move |request| {
            let (seen, open, answers) = (Arc::clone(&seen), Arc::clone(&open), Arc::clone(&answers));
            async move {
                let asked = read(request).await;
                let is_watch = asked.path.contains("watch=");
                seen.lock().unwrap().push(asked.clone());
                let _open = (!is_watch).then(|| Open::count(&open));
                let given = answers(&asked);
                if given.is_none() && is_watch {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(delay).await;
                let (code, body) = given.unwrap_or_else(|| by_itself(&asked));
                let response = Response::builder().status(code).header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body.to_string())).unwrap())
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn read(request: Request<Incoming>) -> Asked {
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let body: Bytes = request.into_body().collect().await.unwrap().to_bytes();
    Asked { method, path, body: String::from_utf8_lossy(&body).into_owned(), at: Instant::now() }
}

/// An empty list for a list, absence for an object, success for what is created.
fn by_itself(asked: &Asked) -> (u16, Value) {
    let path = asked.path.split('?').next().unwrap_or_default();
    match asked.method.as_str() {
        "GET" if path.contains("/namespaces/") => status(404, "NotFound", "not found").unwrap(),
        "GET" => {
            (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] }))
        }
        "POST" => (201, serde_json::from_str(&asked.body).unwrap_or_default()),
        _ => status(404, "NotFound", "not found").unwrap(),
    }
}
