//! The container runtimes of the node and their versions, asked as the kubelet asks: by CRI, over their own sockets.

use crate::cli::diagnosis::Check;
use crate::grpc;
use crate::sys::is_root;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Where runtimes listen, and how they are called.
const SOCKETS: [(&str, &str); 5] = [
    ("containerd", "/run/containerd/containerd.sock"),
    ("CRI-O", "/run/crio/crio.sock"),
    ("k3s or RKE2 (containerd)", "/run/k3s/containerd/containerd.sock"),
    ("k0s (containerd)", "/run/k0s/containerd.sock"),
    ("MicroK8s (containerd)", "/var/snap/microk8s/common/run/containerd.sock"),
];
/// The method that every runtime of Kubernetes has.
const VERSION: &str = "/runtime.v1.RuntimeService/Version";
/// How long a runtime may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The check of a runtime.
const RUNTIME: &str = "runtime";

/// A container runtime whose socket exists.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Its name, or the names of the distributions with that socket.
    pub name: &'static str,
    /// Its socket.
    pub socket: &'static str,
    /// Its version; null if it did not answer.
    #[serde(serialize_with = "known")]
    #[schemars(with = "Option<String>")]
    pub version: Result<String, String>,
}

fn known<S: serde::Serializer>(version: &Result<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    version.as_ref().ok().serialize(serializer)
}

/// Asks every runtime that has a socket here.
pub fn look() -> Vec<Runtime> {
    let here = SOCKETS.into_iter().filter(|(_, socket)| Path::new(socket).exists());
    here.map(|(name, socket)| Runtime { name, socket, version: version(Path::new(socket)) }).collect()
}

/// A line for each of `runtimes`.
pub fn checks(runtimes: &[Runtime]) -> Vec<Check> {
    if runtimes.is_empty() {
        let finding = "no socket of a known runtime can be seen here: a container does not have it; `plexusctl status` shows the runtime of each node";
        return vec![Check::unseen(RUNTIME, finding)];
    }
    let check = |Runtime { name, socket, version }: &Runtime| match version {
        Ok(version) => Check::good(RUNTIME, format!("{name} {version} listens on {socket}")),
        Err(why) => Check::unseen(RUNTIME, format!("the version of {name} on {socket} cannot be known: {why}")),
    };
    runtimes.iter().map(check).collect()
}

/// The version of whoever listens on `socket`, as `kubectl get nodes -o wide` has it.
fn version(socket: &Path) -> Result<String, String> {
    if !is_root() {
        return Err("only root may ask it".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    // The version of the kubelet's question, which runtimes ignore.
    let question = VersionRequest { version: "v1".to_owned() };
    let asked = async {
        let call = grpc::call::<VersionResponse>(socket, VERSION, &question, ANSWER_LIMIT);
        tokio::time::timeout(ANSWER_LIMIT, call).await
    };
    let answer = match runtime.block_on(asked) {
        Ok(answer) => answer.map_err(|e| e.to_string())?,
        Err(_) => return Err(format!("it did not answer within {} s", ANSWER_LIMIT.as_secs())),
    };
    let version = answer.runtime_version.trim();
    if version.is_empty() {
        Err("it reports no version".to_owned())
    } else {
        Ok(version.trim_start_matches('v').to_owned())
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionRequest {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionResponse {
    #[prost(string, tag = "3")]
    runtime_version: String,
}
