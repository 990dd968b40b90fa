//! Whether this node may grant addresses: asks for its AddressNode, makes it, and objects where it is revoked.

use crate::cluster::addresses::AddressNodeSpec;
use crate::cluster::{Kubernetes, Written};
use crate::ipam::question::{Ask, Created, Question};

pub use crate::ipam::question::Standing;

/// Asks, and objects where that is needed. [`Standing::Live`] is an answer to a question that was asked last.
pub async fn ask(kubernetes: &Kubernetes) -> Standing {
    let mut question = Question::default();
    let mut next = question.begin();
    loop {
        next = match next {
            Ask::Read => {
                let record = kubernetes.address_node(kubernetes.node()).await;
                question.read(record.map_err(|e| e.to_string()))
            }
            Ask::Create => question.created(match kubernetes.create_address_node().await {
                Ok(Written::NoResource) => Created::NoResource,
                Ok(Written::Done | Written::Other) => Created::There,
                Err(why) => Created::Failed(why),
            }),
            Ask::Object(record) => {
                tracing::warn!(
                    "this node is taken for removed: its Node is gone, or has the taint out-of-service; objecting"
                );
                let spec = AddressNodeSpec::default();
                let written = kubernetes.write_address_node(kubernetes.node(), &record, spec).await;
                question.objected(written.map(drop))
            }
            Ask::Nothing(standing) => return standing,
        };
    }
}
