//! Whether whereabouts is in the cluster. Its objects are not read.

use crate::cluster::kubernetes::blocks::Outcome;
use crate::cluster::kubernetes::client::Kubernetes;
use kube::Client;

/// Its API.
const API: &str = "whereabouts.cni.cncf.io/v1alpha1";

/// Why a node gives no address of its sections while it is there.
pub fn whereabouts_runs() -> String {
    format!("the cluster has {API}: whereabouts gives these addresses until its CRDs are deleted")
}

/// Whether the API server has its API: somebody has installed its CRDs.
///
/// # Errors
/// It cannot be told.
pub(super) async fn is_there(client: Client) -> kube::Result<bool> {
    match client.list_api_group_resources(API).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(e) => Err(e),
    }
}

impl Kubernetes {
    /// Whether the cluster has whereabouts.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn has_whereabouts(&self) -> Result<bool, String> {
        let why = match self.within("get", is_there).await {
            Ok(found) => return Ok(found),
            Err(Outcome::Conflict) => "409".to_owned(),
            Err(Outcome::Absent(why) | Outcome::Refused(why) | Outcome::Unanswered(why)) => why,
        };
        Err(format!("it is not known whether the cluster has {API}: {why}"))
    }
}
