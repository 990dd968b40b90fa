//! Handing the network status to the daemon, which writes it to the pod.

use crate::api::protocol::{Published, Reply, Request};
use crate::api::{Publication, RunDirectory};
use crate::cni::{ContainerId, RawObject};
use crate::engine::Turn;
use crate::engine::cleanup::wish;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::withdraw::withdraw;
use crate::engine::sandbox::{attach, device_info};
use crate::nad::{NetworkStatus, PodRef, status};
use crate::store::{Attachment, Found};
use crate::sys::files::{self, Durability};
use crate::sys::netlink::Socket;
use crate::sys::netns::Netns;
use crate::sys::trusted::{self, Folder, NewFile};
use std::io;
use std::time::{Duration, Instant};

/// What telling the daemon may take where nobody waits for the status.
const SHORT: Duration = Duration::from_millis(100);

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
    let mac = if result.interfaces.is_empty() { hardware_address(turn, attachment) } else { None };
    status::entries(&status::Attached {
        name: &attachment.network,
        ifname: attachment.ifname.as_str(),
        default: attachment.default,
        result: &result,
        gateways: attachment.gateways.as_deref(),
        device_info: device_info.as_ref(),
        mac: mac.as_deref(),
    })
}

/// What the kernel says of an interface that the result, of CNI 0.2.0 or empty, does not tell of.
fn hardware_address(turn: &Turn, attachment: &Attachment) -> Option<String> {
    let netns = Netns::open(turn.target().ok()?.netns.as_deref()?).ok()?;
    let link = Socket::in_netns(&netns).ok()?.link_by_name(attachment.ifname.as_str()).ok()??;
    Some(link.mac.to_string()).filter(|mac| !mac.is_empty())
}

/// What a status is about.
pub struct About<'a> {
    /// The sandbox.
    pub id: &'a ContainerId,
    /// Its pod.
    pub pod: PodRef,
    /// Networks that the pod does not get.
    pub left_out: Vec<String>,
}

/// Puts the status on the daemon's to-do list and tells it. With `wait`, until it is on the pod or the
/// configured time is over, so that an init container can read it; `meanwhile` runs while the daemon works.
///
/// Nothing here fails a pod: the daemon finds the file when it comes back.
///
/// # Errors
/// The annotation, which cannot be left for the daemon now, as where `/run` is full: the record has to keep it.
pub fn publish(
    turn: &Turn,
    About { id, pod, left_out }: About<'_>,
    entries: &[NetworkStatus],
    wait: bool,
    meanwhile: impl FnMut(),
) -> Result<(), String> {
    let (network_status, cut) = status::bounded_annotation(entries.to_vec());
    if let Some(what) = cut {
        turn.warn(format!("the network-status of pod {pod} is too long for an annotation: {what}"));
    }
    let publication = Publication { container_id: id.clone(), pod, network_status, left_out };
    if !leave(turn, &publication) {
        return Err(publication.network_status);
    }
    let patience = if wait { turn.settings.publish_timeout } else { SHORT };
    announce(turn, id, wait.then_some(patience.min(turn.left(attach::ADD))), meanwhile);
    Ok(())
}

/// Writes the file that the daemon reads; whether that could be done.
fn leave(turn: &Turn, publication: &Publication) -> bool {
    let (run, id) = (&turn.settings.run, &publication.container_id);
    let text = serde_json::to_vec(publication).unwrap_or_default();
    write(run, id, &text)
        .inspect_err(|e| {
            let path = run.publication(id);
            turn.warn(format!("cannot queue the network-status in {}: {e}", path.display()));
        })
        .is_ok()
}

/// The file may be of the daemon's group, but nobody else's.
fn write(run: &RunDirectory, id: &ContainerId, text: &[u8]) -> io::Result<()> {
    let folder = Folder::make(&run.unpublished(), 0o750)?;
    let group = trusted::group_of_folder(&run.daemon());
    if let Some(group) = group {
        folder.share(group, 0o750)?;
    }
    let path = run.publication(id);
    let new = NewFile { content: text, mode: 0o640, group, durability: Durability::Cached };
    folder.replace(path.file_name().unwrap_or_default(), new)
}

/// Tells the daemon of the file, and waits for its answer for as long as `wait` says.
fn announce(turn: &Turn, id: &ContainerId, wait: Option<Duration>, meanwhile: impl FnMut()) {
    let request = Request::Publish(id.clone());
    let (run, deadline) = (&turn.settings.run, Instant::now() + wait.unwrap_or(SHORT));
    let told = match wait {
        Some(_) => turn.daemon.ask_while(run, deadline, &request, meanwhile).map(Some),
        None => turn.daemon.tell(run, deadline, &request).map(|()| None),
    };
    match told {
        Ok(None) => {}
        // The daemon only reads the folder. Nobody else writes this file: the sandbox is locked.
        Ok(Some(Reply::Published(Published::Written | Published::Gone))) => withdraw(turn, id),
        Ok(Some(reply)) => turn.warn(format!("the network-status is not on the pod yet: {}", in_words(reply))),
        Err(e) => turn.warn(format!("the network-status is not on the pod yet: {e}")),
    }
}

/// What the daemon answered instead of having published.
fn in_words(reply: Reply) -> String {
    match reply {
        Reply::Published(Published::Retrying(why)) => format!("plexusd tries again: {why}"),
        Reply::Published(Published::Refused(why)) => format!("the API server refuses it for good: {why}"),
        Reply::Unavailable(why) | Reply::Unsupported(why) => format!("plexusd answered: {why}"),
        other => format!("plexusd answered another question ({})", other.kind()),
    }
}

/// Leaves for the daemon what an ADD could not leave: see [`Record::unpublished`](crate::store::Record).
pub fn publish_late(turn: &Turn) {
    // What cannot be listed or read now is published by a later sweep.
    for id in turn.store.list().unwrap_or_default() {
        let waits = |found: &Found| matches!(found, Found::Record(record) if record.unpublished.is_some());
        if !turn.store.look(&id).is_ok_and(|found| waits(&found)) {
            continue;
        }
        let Ok(Some(_sandbox)) = Sandbox::try_lock(turn, &id) else { continue };
        let Ok(Found::Record(mut record)) = turn.store.look(&id) else { continue };
        let (Some(network_status), Some(pod)) = (record.unpublished.take(), record.pod.clone()) else { continue };
        if leave(turn, &Publication { container_id: id.clone(), pod, network_status, left_out: Vec::new() }) {
            announce(turn, &id, None, || ());
            if let Err(e) = turn.store.write(&record, Durability::Cached) {
                turn.warn(format!("the record of {id} cannot be updated: {e}"));
            }
        } else {
            wish::soon(turn, "unpublished");
        }
    }
}
