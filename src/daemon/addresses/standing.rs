//! Whether this node may grant addresses: asks for its AddressNode, makes it, and objects where it is revoked.

use crate::cluster::addresses::AddressNodeSpec;
use crate::cluster::{Cluster, Written};
use crate::ipam::epoch;
use std::sync::Arc;

/// Writes of one question: the controller may revoke again at once.
const TRIES: usize = 6;

/// What the API server says of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was not removed, in this epoch. Of a cluster whose definitions are of a former release the epoch is empty, and
    /// nobody frees its blocks.
    Live(String),
    /// It is revoked, and this daemon cannot take that away.
    Revoked(String),
    /// It was removed, and its blocks are being freed.
    Dead,
    /// There is no answer.
    Unknown(String),
}

impl Standing {
    /// The epoch.
    ///
    /// # Errors
    /// Why no address may be granted.
    pub fn epoch(&self) -> Result<&str, String> {
        match self {
            Standing::Live(epoch) => Ok(epoch),
            Standing::Revoked(why) => Err(format!("this node is taken for removed, and cannot object: {why}")),
            Standing::Dead => Err("this node was removed from the cluster, and its blocks are being freed".to_owned()),
            Standing::Unknown(why) => Err(why.clone()),
        }
    }
}

/// Asks, and objects where that is needed. [`Standing::Live`] is an answer to a question that was asked last.
pub async fn ask(cluster: &Arc<Cluster>) -> Standing {
    let Some(kubernetes) = cluster.kubernetes() else {
        return Standing::Unknown("plexusd has no API server: it reads manifests".to_owned());
    };
    let mut unmade = 0;
    for _ in 0..TRIES {
        let record = match kubernetes.address_node(kubernetes.node()).await {
            Ok(record) => record,
            Err(e) => return Standing::Unknown(e.to_string()),
        };
        match epoch::Standing::of(record) {
            epoch::Standing::Live(epoch) => return Standing::Live(epoch),
            epoch::Standing::Dead => return Standing::Dead,
            epoch::Standing::Begin => match kubernetes.create_address_node().await {
                Ok(Written::NoResource) => return Standing::Live(String::new()),
                Ok(Written::Done | Written::Other) => {}
                // It may have been done without an answer: the first write of a kind can take the server seconds.
                Err(_) if unmade == 0 => unmade += 1,
                Err(why) => return Standing::Unknown(format!("its AddressNode cannot be made: {why}")),
            },
            epoch::Standing::Object(record) => {
                tracing::warn!(
                    "this node is taken for removed: its Node is gone, or has the taint out-of-service; objecting"
                );
                let spec = AddressNodeSpec::default();
                if let Err(why) = kubernetes.write_address_node(kubernetes.node(), &record, spec).await {
                    return Standing::Revoked(why);
                }
            }
        }
    }
    Standing::Revoked("it is revoked again and again".to_owned())
}
