//! An API server that knows our definition and our roles, and a node of it.

use super::apiserver::ApiServer;
use super::daemon::Daemon;
use super::{Node, Pod};
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// API group, resource and verbs.
pub type Rule<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Of networks everything that is needed is this.
pub const NETWORKS: Rule<'static> = ("k8s.cni.cncf.io", "network-attachment-definitions", &["get", "list", "watch"]);
/// What the daemon may do, and nothing else: as in `conf/base`.
pub const LEAST: [Rule<'static>; 3] =
    [NETWORKS, ("", "pods/status", &["patch"]), ("events.k8s.io", "events", &["create"])];

/// What the daemon may do besides, on a cluster with pools of addresses: as in `conf/components/ipam`.
pub const ADDRESSES: [Rule<'static>; 6] = [
    ("ipam.plexus.dev", "addresspools", &["get", "list"]),
    ("ipam.plexus.dev", "addressblocks", &["get", "list", "watch", "create", "update", "delete"]),
    ("ipam.plexus.dev", "addressshortages", &["list", "watch", "create", "update", "delete"]),
    ("ipam.plexus.dev", "addressreservations", &["get", "list", "create", "update"]),
    ("", "nodes", &["get"]),
    ("ipam.plexus.dev", "addressnodes", &["get", "list", "watch", "create", "update"]),
];
/// The definitions of such a cluster.
pub const ADDRESS_KINDS: [&str; 5] =
    ["addresspools", "addressblocks", "addressnodes", "addressshortages", "addressreservations"];

/// Starts a server with our definition and `roles` (see [`role`]); says why where there is none.
///
/// # Errors
/// The programs are missing or do not work.
pub fn try_server(roles: &[Value]) -> Result<ApiServer, String> {
    let server = ApiServer::start()?;
    server.kubectl(&["apply", "-f", "-"], Some(include_str!("../../crd/network-attachment-definitions.yaml")))?;
    let crd = "crd/network-attachment-definitions.k8s.cni.cncf.io";
    server.kubectl(&["wait", "--for=condition=Established", crd], None)?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": roles.iter().flat_map(|role| role.as_array().unwrap()).collect::<Vec<_>>() });
    server.kubectl(&["apply", "-f", "-"], Some(&list.to_string()))?;
    Ok(server)
}

/// As [`try_server`]; `None`, with a line, where this machine cannot do it.
pub fn server(roles: &[Value]) -> Option<ApiServer> {
    try_server(roles).map_err(|why| super::cannot_run(&why)).ok()
}

/// The role `name`, and what gives it to the group of that name.
pub fn role(name: &str, rules: &[Rule<'_>]) -> Value {
    let (api, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let rules: Vec<Value> = rules
        .iter()
        .map(|(group, resource, verbs)| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs }))
        .collect();
    json!([
        { "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules },
        { "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": name },
            "subjects": [{ "apiGroup": group, "kind": "Group", "name": name }] },
    ])
}

/// Makes or changes the network `namespace/name`.
#[track_caller]
pub fn put_network(server: &ApiServer, namespace: &str, name: &str, config: &str) {
    let manifest = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": { "namespace": namespace, "name": name }, "spec": { "config": config },
    });
    server.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).unwrap();
}

/// A CRD of whereabouts.
pub const WHEREABOUTS: &str = "ippools.whereabouts.cni.cncf.io";

/// Installs it, as whereabouts does.
#[track_caller]
pub fn put_whereabouts(server: &ApiServer) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": "v1alpha1", "served": true, "storage": true, "schema": schema});
    let names = json!({"plural": "ippools", "kind": "IPPool"});
    let spec =
        json!({"group": "whereabouts.cni.cncf.io", "scope": "Namespaced", "names": names, "versions": [version]});
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": WHEREABOUTS}, "spec": spec});
    server.kubectl(&["apply", "-f", "-"], Some(&crd.to_string())).unwrap();
    server.kubectl(&["wait", "--for=condition=Established", &format!("crd/{WHEREABOUTS}")], None).unwrap();
}

/// A pod of the node.
fn manifest(name: &str, networks: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"k8s.v1.cni.cncf.io/networks": networks}},
        "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "x"}]},
    })
}

/// A cluster of one API server, with the node's thread on a machine of its own.
pub struct Cluster {
    pub api: ApiServer,
    home: Netns,
    pub node: Node,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts the server and enters the node; `None` where this machine cannot do it.
    pub fn new() -> Option<Cluster> {
        // The server listens where this thread is before it enters its machine.
        let home = Netns::own().unwrap();
        let api = server(&[role("plexus", &LEAST)])?;
        let kubeconfig = api.kubeconfig_for("plexusd", &["plexus"]).unwrap();
        api.kubectl(&["create", "namespace", "other"], None).unwrap();
        Some(Cluster { api, home, node: Node::new()?, kubeconfig })
    }

    /// kubectl as the administrator; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> String {
        self.home.run(|| self.api.kubectl(arguments, stdin)).unwrap().unwrap()
    }

    /// Makes or changes a network.
    pub fn network(&self, namespace: &str, name: &str, config: &Value) {
        self.home.run(|| put_network(&self.api, namespace, name, &config.to_string())).unwrap();
    }

    /// Runs `work` where the server is, and not the node.
    pub fn at_home<T: Send>(&mut self, work: impl FnOnce(&mut ApiServer) -> T + Send) -> T {
        let api = &mut self.api;
        self.home.run(|| work(api)).unwrap()
    }

    /// Creates the pod in the API server and its sandbox on the node.
    pub fn pod(&self, name: &str, networks: &str) -> Pod {
        self.kubectl(&["apply", "-f", "-"], Some(&manifest(name, networks).to_string()));
        let mut pod = Pod::new(&self.node, name).selecting(networks);
        pod.uid = self.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None);
        pod
    }

    /// As [`Cluster::pod`] for pods that are new, by one request of kubectl for all.
    pub fn new_pods(&self, names: &[String], networks: &str) -> Vec<Pod> {
        let items: Vec<Value> = names.iter().map(|name| manifest(name, networks)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let uids = self.kubectl(&["create", "-f", "-", "-o", r#"jsonpath={.metadata.uid}{"\n"}"#], Some(&list));
        let pods: Vec<Pod> = names
            .iter()
            .zip(uids.lines())
            .map(|(name, uid)| {
                let mut pod = Pod::new(&self.node, name).selecting(networks);
                uid.clone_into(&mut pod.uid);
                pod
            })
            .collect();
        assert_eq!(pods.len(), names.len(), "{uids}");
        pods
    }

    /// The daemon of the node, which may not know the cluster yet.
    pub fn starting_daemon(&self) -> Daemon {
        let kubeconfig = self.kubeconfig.to_string_lossy();
        Daemon::on_node(&self.node, Some(&self.home), &["--kubeconfig", &kubeconfig, "--node-name", "node1"])
    }

    /// The daemon of another release, which may not listen yet.
    pub fn daemon_of(&self, program: &Path) -> Daemon {
        let kubeconfig = self.kubeconfig.to_string_lossy();
        let arguments = ["--kubeconfig", &kubeconfig, "--node-name", "node1"];
        Daemon::of_program(program, &self.node, Some(&self.home), &arguments)
    }

    /// The daemon of the node.
    pub fn daemon(&self) -> Daemon {
        let daemon = self.starting_daemon();
        super::eventually("the daemon to know the cluster", || daemon.health().ready);
        daemon
    }

    /// The network status of the pod.
    pub fn status(&self, pod: &str) -> Value {
        let text = self.kubectl(
            &["get", "pod", pod, "-o", r"jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}"],
            None,
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// What the daemon asked of the API server since `before` requests; a watch is listed when it ends.
    pub fn requests_since(&self, before: usize) -> Vec<String> {
        self.home.run(|| self.api.requests("plexusd")).unwrap().unwrap().split_off(before)
    }
}
