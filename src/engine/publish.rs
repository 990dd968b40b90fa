//! Handing the network status to the daemon, which writes it to the pod.

use super::{Turn, device_info};
use crate::api::protocol::{Published, Reply, Request};
use crate::api::{Publication, RunDirectory};
use crate::cni::{ContainerId, RawObject};
use crate::facts::Client;
use crate::nad::{NetworkStatus, PodRef, status};
use crate::store::Attachment;
use crate::sys::files::{self, Durability};
use crate::sys::trusted::{self, Folder};
use std::io;
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
    let text = serde_json::to_vec(&publication).unwrap_or_default();
    if let Err(e) = leave(&turn.settings.run, id, &text) {
        let path = turn.settings.run.publication(id);
        turn.warn(format!("the network status cannot be left for plexusd in {}: {e}", path.display()));
        return;
    }
    let patience = if wait { turn.settings.publish_timeout } else { Duration::from_millis(100) };
    let request = Request::Publish(id.clone());
    let client = Client::connect(&turn.settings.run, Instant::now() + patience);
    let told =
        client.and_then(
            |mut client| if wait { client.ask(&request).map(Some) } else { client.tell(&request).map(|()| None) },
        );
    match told {
        Ok(None) => {}
        // The daemon only reads the folder. Nobody else writes this file: the sandbox is locked.
        Ok(Some(Reply::Published(Published::Written | Published::Gone))) => withdraw(turn, id),
        Ok(Some(reply)) => turn.warn(format!("the network status is not on the pod yet: {reply:?}")),
        Err(e) => turn.warn(format!("the network status is not on the pod yet: {e}")),
    }
}

/// Writes the file that the daemon reads: it may be of the daemon's group, but nobody else's.
fn leave(run: &RunDirectory, id: &ContainerId, text: &[u8]) -> io::Result<()> {
    let folder = Folder::make(&run.unpublished(), 0o750)?;
    let group = trusted::group_of_folder(&run.daemon());
    if let Some(group) = group {
        folder.share(group, 0o750)?;
    }
    let path = run.publication(id);
    folder.replace(path.file_name().unwrap_or_default(), text, 0o640, group, Durability::Cached)
}

/// Takes a status back: it is on its pod, or not wanted any more.
pub fn withdraw(turn: &Turn, id: &ContainerId) {
    if let Err(e) = trusted::remove(&turn.settings.run.publication(id)) {
        turn.warn(format!("a network status cannot be withdrawn: {e}"));
    }
}
