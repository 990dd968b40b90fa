//! The picture of a node: what the plugin has recorded.

use crate::api::StateDirectory;
use crate::cli::directories::{self, RecordDirectories};
use crate::cli::older::{OLDER, is_older};
use crate::cli::topology::model::{Leaf, UNKNOWN_LINK, link_of};
use crate::cli::{Error, networks_now};
use crate::cni::NetworkConfig;
use crate::nad::Definition;
use crate::store::{Attachment, Record, Store};

/// The interfaces of the pods of `namespace`, or of all; without the default network unless it is wanted.
///
/// # Errors
/// The records cannot be read, or another user could have written the configuration.
pub fn leaves(
    places: &RecordDirectories,
    state: &StateDirectory,
    namespace: Option<&str>,
    with_default: bool,
) -> Result<Vec<Leaf>, Error> {
    let unreadable = |source| Error::Records { folder: state.sandboxes(), source };
    let (records, _) = Store::new(state).survey().map_err(unreadable)?;
    let run = directories::run(None, places.cni_conf_dir())?;
    // Without them no pod is marked.
    let now = networks_now::definitions(state, &run).unwrap_or_default();
    let is_wanted = |record: &&Record| {
        namespace.is_none_or(|wanted| record.pod.as_ref().is_some_and(|pod| pod.namespace() == wanted))
    };
    let leaves = |record| of_record(record, &now, with_default);
    Ok(records.iter().filter(is_wanted).flat_map(leaves).collect())
}

fn of_record(record: &Record, now: &[Definition], with_default: bool) -> Vec<Leaf> {
    let pod = record.pod.as_ref();
    let leaf = |one: &Attachment| {
        let config = NetworkConfig::parse(one.config.get(), None).ok();
        let result = one.add_result().unwrap_or_default();
        Leaf {
            node: String::new(),
            link: config.as_ref().map_or_else(|| UNKNOWN_LINK.to_owned(), link_of),
            network: one.network.clone(),
            pod: pod
                .map_or_else(|| record.container_id.to_string(), |pod| format!("{}/{}", pod.namespace(), pod.name())),
            interface: one.ifname.to_string(),
            addresses: result.ips.iter().map(|ip| ip.address.to_string()).collect(),
            note: if is_older(one, now) { OLDER.to_owned() } else { String::new() },
            is_unread: false,
        }
    };
    record.attachments.iter().filter(|one| with_default || !one.default).map(leaf).collect()
}
