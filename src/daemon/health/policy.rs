//! Whether the admission policy guards the daemon's token, as readiness and as a remark.

use crate::cluster::{Cluster, Verdict};
use crate::daemon::health::readiness::Readiness;
use std::sync::Arc;

/// The name of the readiness check, and of the remark.
const CHECK: &str = "policy";

/// Tells every verdict, for ever; nothing where no policy is tested.
pub async fn follow(cluster: Arc<Cluster>, readiness: Readiness) {
    let canary = cluster.canary();
    let mut verdicts = canary.verdicts();
    loop {
        let verdict = verdicts.borrow_and_update().clone();
        let why = verdict.why();
        if canary.is_required() {
            readiness.set(CHECK, why.clone());
        }
        readiness.remark(CHECK, if canary.is_required() { "" } else { &why });
        match &verdict {
            Verdict::Open => {
                tracing::error!(reason = why, "the daemon's token is not guarded");
                cluster.announce_on_node("TokenNotGuarded", &why);
            }
            Verdict::Guarded => tracing::info!("the admission policy guards the daemon's token"),
            Verdict::Unknown(_) | Verdict::Untested(_) => {}
        }
        if verdicts.changed().await.is_err() {
            return;
        }
    }
}
