//! Whether the admission policy guards the daemon's token, as readiness and as a remark.

use crate::cluster::{Canary, Cluster, Verdict};
use crate::daemon::health::readiness::Readiness;
use std::sync::Arc;
use std::time::Duration;

/// The name of the readiness check, and of the remark.
const CHECK: &str = "policy";

/// Who asks by hand gets an answer after so long, certain or not.
const TEST_LIMIT: Duration = Duration::from_secs(6);

/// Tests now, and tells what was found: a policy may have been deleted since the last test.
pub async fn test(cluster: &Cluster, readiness: &Readiness) {
    let canary = cluster.canary();
    canary.test(TEST_LIMIT).await;
    let verdict = canary.verdicts().borrow().clone();
    tell(canary, &verdict.why(), readiness);
}

fn tell(canary: &Canary, why: &str, readiness: &Readiness) {
    if canary.is_required() {
        readiness.set(CHECK, why.to_owned());
    }
    readiness.remark(CHECK, if canary.is_required() { "" } else { why });
}

/// Tells every verdict, for ever; nothing where no policy is tested.
pub async fn follow(cluster: Arc<Cluster>, readiness: Readiness) {
    let canary = cluster.canary();
    let mut verdicts = canary.verdicts();
    loop {
        let verdict = verdicts.borrow_and_update().clone();
        let why = verdict.why();
        tell(canary, &why, &readiness);
        match &verdict {
            Verdict::Open | Verdict::Unmarked => {
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
