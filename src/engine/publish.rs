//! Handing the network status to the daemon, which writes it to the pod.

use super::{Turn, device_info};
use crate::api::Publication;
use crate::api::protocol::{Published, Reply, Request};
use crate::cni::{ContainerId, RawObject};
use crate::facts::Client;
use crate::nad::{NetworkStatus, PodRef, status};
use crate::store::Attachment;
use crate::sys::files::{self, Durability};
use std::time::{Duration, Instant};

/// The entries of `attachments`, in their order.
pub fn entries(turn: &Turn, attachments: &[Attachment]) -> Vec<NetworkStatus> {
    attachments.iter().flat_map(|attachment| entries_of(turn, attachment)).collect()
}

fn entries_of(turn: &Turn, attachment: &Attachment) -> Vec<NetworkStatus> {
    // What the delegates printed was read once already, when it was attached.
    let result = attachment.add_result().unwrap_or_default();
    let device_info: Option<RawObject> = attachment.device_info_file.as_deref().and_then(|file| {
        let text = files::read_bounded(file, device_info::MAX_SIZE).ok()??;
        // A status of which a part is not what readers expect is one they cannot read at all.
        RawObject::parse(&text).inspect_err(|e| turn.warn(format!("{}: {e}", file.display()))).ok()
    });
    status::entries(&status::Attached {
        name: &attachment.network,
        ifname: attachment.ifname.as_str(),
        default: attachment.default,
        result: &result,
        gateways: attachment.gateways.as_deref(),
        device_info: device_info.as_ref(),
    })
}

/// Puts the status on the daemon's to-do list and tells it. With `wait`, until it is on the pod or the
/// configured time is over, so that an init container can read it.
///
/// Nothing here fails a pod: the daemon finds the file when it comes back.
pub fn publish(turn: &Turn, id: &ContainerId, pod: PodRef, entries: &[NetworkStatus], wait: bool) {
    let publication = Publication { container_id: id.clone(), pod, network_status: status::annotation(entries) };
    let path = turn.settings.run.publication(id);
    let text = serde_json::to_vec(&publication).unwrap_or_default();
    if let Err(e) = files::replace(&path, &text, 0o600, Durability::Cached) {
        turn.warn(format!("the network status cannot be left for plexusd in {}: {e}", path.display()));
        return;
    }
    let patience = if wait { turn.settings.publish_timeout } else { Duration::from_millis(100) };
    let request = Request::Publish(id.clone());
    let client = Client::connect(&turn.settings.run.socket(), Instant::now() + patience);
    let told =
        client.and_then(
            |mut client| if wait { client.ask(&request).map(Some) } else { client.tell(&request).map(|()| None) },
        );
    match told {
        Ok(None | Some(Reply::Published(Published::Written | Published::Gone))) => {}
        Ok(Some(reply)) => turn.warn(format!("the network status is not on the pod yet: {reply:?}")),
        Err(e) => turn.warn(format!("the network status is not on the pod yet: {e}")),
    }
}

/// Takes back a status that was not published yet.
pub fn withdraw(turn: &Turn, id: &ContainerId) {
    if let Err(e) = files::remove(&turn.settings.run.publication(id)) {
        turn.warn(format!("a network status cannot be withdrawn: {e}"));
    }
}
