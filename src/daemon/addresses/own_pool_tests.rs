//! What a pod that waits asks of the API server: here a server of the test's own, whose pools are as old as it says.

use super::*;
use crate::api::{RunDirectory, StateDirectory};
use crate::cluster::{Access, Cluster};
use crate::daemon::addresses::grants::Grants;
use crate::daemon::addresses::questions::Questions;
use crate::ipam::PoolName;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const OLD: &str = "2020-01-01T00:00:00Z";
const OLDER: &str = "2019-01-01T00:00:00Z";
const PATH: &str = "/apis/ipam.plexus.dev/v1alpha1/addresspools";

/// The pools of a server by name, and how often they were listed and read.
#[derive(Default)]
struct Stub {
    pools: Mutex<BTreeMap<String, Value>>,
    lists: Mutex<usize>,
    reads: Mutex<usize>,
}

impl Stub {
    fn put(&self, name: &str, created: &str, ranges: &[&str]) {
        let ranges: Vec<Value> = ranges.iter().map(|range| json!({ "range": range })).collect();
        let metadata = json!({"name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": created});
        let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": metadata, "spec": {"ranges": ranges}});
        self.pools.lock().unwrap().insert(name.to_owned(), pool);
    }

    /// The answer to a request for `path`.
    fn answer(&self, path: &str) -> (u16, Value) {
        let pools = self.pools.lock().unwrap();
        match path.strip_prefix(PATH) {
            Some("") => {
                *self.lists.lock().unwrap() += 1;
                let items: Vec<&Value> = pools.values().collect();
                let metadata = json!({"resourceVersion": "1"});
                (
                    200,
                    json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPoolList", "metadata": metadata, "items": items}),
                )
            }
            Some(name) if pools.contains_key(name.trim_start_matches('/')) => {
                *self.reads.lock().unwrap() += 1;
                (200, pools[name.trim_start_matches('/')].clone())
            }
            _ => (
                404,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": path}),
            ),
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut first, mut line) = (String::new(), String::new());
            stream.read_line(&mut first).await.unwrap();
            while stream.read_line(&mut line).await.unwrap() > 2 {
                line.clear();
            }
            let Some(path) = first.split(' ').nth(1) else { return };
            let (code, body) = self.answer(path.split('?').next().unwrap_or(path));
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    }
}

/// A node whose keeper of the pool `lan` has just listed all pools.
struct Waiting {
    stub: Arc<Stub>,
    keeper: Keeper,
    state: State,
    _folder: tempfile::TempDir,
}

impl Waiting {
    async fn new(created: &str) -> Self {
        let (folder, stub) = (tempfile::tempdir().unwrap(), Arc::new(Stub::default()));
        stub.put("lan", created, &["10.1.0.0/24"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&stub);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        let kubeconfig = folder.path().join("kubeconfig");
        let named = |key: &str, value: Value| json!([{"name": "x", key: value}]);
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": named("cluster", json!({"server": server})),
            "contexts": named("context", json!({"cluster": "x", "user": "x"})), "users": named("user", json!({}))});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let access = Access::open(Some(kubeconfig)).await.unwrap();
        let run = RunDirectory::new(folder.path().join("run"));
        let state = StateDirectory::new(folder.path().join("state"));
        let cluster = Arc::new(Cluster::in_kubernetes(access, "n1".to_owned(), 120, state, run.clone()));
        let (questions, pool) = (Arc::new(Questions::new(cluster)), PoolName::new("lan").unwrap());
        let keeper = Keeper::new(pool, "p".to_owned(), Arc::new(Grants::new(run)), questions, Default::default());
        let mut waiting = Waiting { stub, keeper, state: State::default(), _folder: folder };
        waiting.keeper.read_pool(&mut waiting.state, Instant::now()).await.unwrap();
        assert_eq!(waiting.asked(), (1, 0));
        waiting
    }

    /// A pod asks at `asked`.
    async fn lease(&mut self, asked: Instant) {
        self.keeper.read_own_pool(&mut self.state, asked).await.unwrap();
    }

    /// How often pools were listed and read.
    fn asked(&self) -> (usize, usize) {
        (*self.stub.lists.lock().unwrap(), *self.stub.reads.lock().unwrap())
    }

    fn ranges(&self) -> usize {
        self.state.spec.as_ref().unwrap().ranges.len()
    }
}

#[tokio::test]
async fn a_pod_that_waits_rests_on_a_list_of_others_that_is_half_a_minute_old() {
    let mut waiting = Waiting::new(OLD).await;
    waiting.lease(Instant::now()).await;
    waiting.lease(Instant::now()).await;
    assert_eq!((waiting.asked(), waiting.ranges(), &waiting.state.barred), ((1, 2), 1, &None));
    // Later the list is too old.
    waiting.lease(Instant::now() + OTHERS + Duration::from_secs(1)).await;
    assert_eq!((waiting.asked(), &waiting.state.barred), ((2, 3), &None));
}

#[tokio::test]
async fn what_has_changed_is_listed_again() {
    let mut waiting = Waiting::new(OLD).await;
    waiting.stub.put("lan", OLD, &["10.1.0.0/24", "10.2.0.0/24"]);
    waiting.lease(Instant::now()).await;
    assert_eq!((waiting.asked(), waiting.ranges()), ((2, 1), 2));
    waiting.stub.pools.lock().unwrap().clear();
    waiting.lease(Instant::now()).await;
    assert_eq!((waiting.asked(), waiting.ranges()), ((3, 1), 0), "a pool that was deleted gives nothing");
}

#[tokio::test]
async fn a_pool_that_is_younger_than_the_list_may_be_is_listed_with_the_others() {
    // The list may be older than the pool by so much, and clocks differ.
    let created = Timestamp::now() - SignedDuration::try_from(OTHERS + Duration::from_secs(5)).unwrap();
    let mut waiting = Waiting::new(&created.to_string()).await;
    waiting.stub.put("elder", OLD, &["10.1.0.128/25"]);
    waiting.lease(Instant::now()).await;
    assert_eq!(waiting.asked().0, 2);
    assert!(waiting.state.barred.as_ref().is_some_and(|why| why.contains("pool elder, which is older")));
}

#[tokio::test]
async fn a_pool_that_yields_is_refused_and_asked_for_again() {
    let mut waiting = Waiting::new(OLD).await;
    waiting.stub.put("elder", OLDER, &["10.1.0.128/25"]);
    // Another pool of the node has it listed meanwhile.
    waiting.keeper.questions.pools(Instant::now()).await.unwrap();
    waiting.lease(Instant::now()).await;
    assert_eq!(waiting.asked(), (3, 1));
    assert!(waiting.state.barred.as_ref().is_some_and(|why| why.contains("pool elder, which is older")));
    waiting.stub.pools.lock().unwrap().remove("elder");
    waiting.lease(Instant::now()).await;
    assert_eq!(
        (waiting.asked(), &waiting.state.barred),
        ((4, 2), &None),
        "it is free as soon as the other one is gone"
    );
}
