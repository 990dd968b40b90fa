//! What one request takes, by a client as the daemon has it.

use kube::api::{Api, DeleteParams, PostParams};
use plexus::cluster::addresses::{AddressPool, PoolContent};
use plexus::cluster::configuration;
use std::path::Path;
use std::time::{Duration, Instant};

/// Creates so many pools without a range, one after another; answers how long each took.
pub fn create(kubeconfig: &Path, count: usize) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = kube::Client::try_from(configuration(Some(kubeconfig)).await?)?;
        let api: Api<AddressPool> = Api::all(client);
        let mut times = Vec::new();
        for turn in 0..count {
            let pool = AddressPool::new(&format!("bare-{turn}"), PoolContent { spec: Default::default() });
            let begun = Instant::now();
            api.create(&PostParams::default(), &pool).await?;
            times.push(begun.elapsed());
        }
        for turn in 0..count {
            api.delete(&format!("bare-{turn}"), &DeleteParams::default()).await?;
        }
        Ok(times)
    })
}
