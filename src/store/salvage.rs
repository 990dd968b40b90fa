//! What a damaged record can still tell.

use super::record::{Attachment, Record};
use crate::cni::ContainerId;
use crate::cni::json;

/// Reads what stands before the attachments, and every attachment that is whole, from the first one on; an
/// attachment that is cut ends it.
pub fn read(id: &ContainerId, text: &str) -> Record {
    let empty = Record { incomplete: true, ..Record::empty(id) };
    // The record of another container tells nothing of this one.
    if !text.contains(&format!(r#""containerId":"{id}""#)) {
        return empty;
    }
    let Some((head, mut rest)) = text.split_once(r#""attachments":["#) else { return empty };
    // What comes before the attachments is whole, or nothing of it is believed.
    let read = json::parse::<Record>(&format!(r#"{head}"attachments":[]}}"#)).ok();
    let mut record = read.filter(|record| record.container_id == *id).unwrap_or(empty);
    record.incomplete = true;
    loop {
        let mut elements = serde_json::Deserializer::from_str(rest).into_iter::<Attachment>();
        let Some(Ok(attachment)) = elements.next() else { return record };
        record.attachments.push(attachment);
        rest = rest[elements.byte_offset()..].trim_start().trim_start_matches(',');
    }
}
