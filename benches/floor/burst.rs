//! The burst without any plugin: the kernel makes the links of each pod, and the API server takes its status.

use crate::floor::{Bridges, Prepared};
use crate::support::Pod;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{Api, Patch, PatchParams};
use plexus::nad::NETWORK_STATUS;
use serde_json::json;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long `pods` take, `at_once` at one time, each with a connection of its own that is open before.
pub fn burst(bridges: Bridges, kubeconfig: &Path, pods: &[Pod], at_once: usize) -> Duration {
    let prepared: Vec<_> = (0..).zip(pods).map(|(number, pod)| bridges.prepare(pod, number)).collect();
    let (next, begin) = (AtomicUsize::new(0), Barrier::new(at_once + 1));
    let entry = |name: &str, ifname: &str| json!({"name": name, "interface": ifname, "ips": ["10.1.2.3"], "dns": {}});
    let status = json!([entry("cbr0", "eth0"), entry("default/br", "net1"), entry("default/mv", "net2")]).to_string();
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let access = runtime.block_on(plexus::cluster::Access::open(Some(kubeconfig.to_owned()))).unwrap();
        let api: Api<PodObject> = Api::namespaced(access.client().0, "default");
        runtime.block_on(access.client().0.apiserver_version()).unwrap();
        begin.wait();
        let take = || next.fetch_add(1, Ordering::Relaxed);
        while let Some((pod, links)) = Some(take()).and_then(|number| pods.get(number).zip(prepared.get(number))) {
            links.add();
            let patch = Patch::Merge(json!({"metadata": {"annotations": {NETWORK_STATUS: status}}}));
            runtime.block_on(api.patch_status(&pod.name, &PatchParams::default(), &patch)).unwrap();
        }
        begin.wait();
    };
    let taken = std::thread::scope(|scope| {
        (0..at_once).for_each(|_| _ = scope.spawn(work));
        begin.wait();
        let begun = Instant::now();
        begin.wait();
        begun.elapsed()
    });
    prepared.iter().for_each(Prepared::del);
    pods.iter().for_each(Pod::end_sandbox);
    taken
}
