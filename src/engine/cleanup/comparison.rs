//! What differs between a sandbox and its record, asked for from a container: there the namespaces of the node cannot be
//! entered. The wish is a file in `due`; the node's own plugin compares in its next sweep, and leaves the answer.

use crate::api::RunDirectory;
use crate::cni::{ContainerId, json};
use crate::engine::Turn;
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::wish::Wishes;
use crate::engine::sandbox::{drift, namespace};
use crate::store::{Attachment, Record, State};
use crate::sys::files::{self, Durability};
use crate::sys::trusted::{self, Folder};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of the wish is this and the container's ID.
const PREFIX: &str = "compare-";
/// Some lines for each network of a pod.
const MAX_ANSWER: usize = 1 << 20;

/// What the plugin found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The text of the wish that this answers.
    pub asked: String,
    /// The differences of each attachment.
    pub attachments: Vec<Difference>,
    /// Why the kernel was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// What differs of one attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its interface.
    pub interface: String,
    /// One line for each; empty for none.
    pub drift: Vec<String>,
}

/// Compares the attachments of `record` with the kernel.
///
/// # Errors
/// Why it cannot be looked at, in a line.
pub fn compare(record: &Record) -> Result<Vec<Difference>, String> {
    let path = record.netns.as_deref().ok_or("the record has no network namespace")?;
    let netns = namespace::open(path).map_err(|e| e.msg)?;
    // A planned one may have anything; what is owed is told as a debt.
    let attached: Vec<&Attachment> = record.attachments.iter().filter(|one| one.state == State::Attached).collect();
    let drift = drift::compare(&netns, &attached).map_err(|e| e.msg)?;
    let of = |(one, drift): (&&Attachment, _)| Difference { interface: one.ifname.to_string(), drift };
    Ok(attached.iter().zip(drift).map(of).collect())
}

/// Asks the node's plugin to compare the sandbox `id`; answers with what the answer will name.
///
/// # Errors
/// The wish cannot be written.
pub fn request(run: &RunDirectory, id: &ContainerId) -> io::Result<String> {
    // Each wish has a text of its own, so that an answer to the one before is not taken for this one's.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!("{} {now}", std::process::id());
    trusted::replace(&run.due().join(format!("{PREFIX}{id}")), text.as_bytes(), 0o600, Durability::Cached)?;
    Ok(text)
}

/// The newest answer about the sandbox `id`, to whatever wish, and its age. It stays until a sweep finds it too old, so that
/// who asks again where the runtime seldom calls the plugin gets the answer to the wish of before.
pub fn newest(run: &RunDirectory, id: &ContainerId) -> Option<(Answer, Duration)> {
    let path = run.compared(id);
    let folder = Folder::open(path.parent()?).ok()?;
    let (text, time) = folder.read_dated(path.file_name()?, MAX_ANSWER).ok()??;
    Some((json::parse(&text).ok()?, time.elapsed().unwrap_or_default()))
}

/// Answers what `wishes` ask to be compared.
pub(super) fn answer(turn: &Turn, survey: &Survey, wishes: &Wishes) {
    for (name, asked) in wishes.beginning_with(PREFIX) {
        let Ok(id) = ContainerId::new(name) else { continue };
        let compared = match survey.records.get(id.as_str()) {
            Some(record) => compare(record),
            None => Err("the sandbox has no record any more".to_owned()),
        };
        let (attachments, unseen) = match compared {
            Ok(attachments) => (attachments, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let answer = Answer { asked: asked.to_owned(), attachments, unseen };
        let written = serde_json::to_vec(&answer)
            .map_err(io::Error::from)
            .and_then(|text| trusted::replace(&turn.settings.run.compared(&id), &text, 0o600, Durability::Cached));
        if let Err(e) = written {
            turn.warn(files::told(&turn.settings.run.compared(&id), e));
        }
    }
}
