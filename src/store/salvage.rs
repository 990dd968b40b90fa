//! What a damaged record can still tell.

use super::record::{self, Attachment, Record};
use crate::cni::ContainerId;

/// Reads every attachment that is whole, from the first one on; an attachment that is cut ends it.
pub(super) fn read(id: &ContainerId, text: &str) -> Record {
    let mut record = Record {
        version: record::VERSION,
        container_id: id.clone(),
        pod: None,
        netns: None,
        created: 0,
        attachments: Vec::new(),
    };
    // The record of another container tells nothing of this one.
    if !text.contains(&format!(r#""containerId":"{id}""#)) {
        return record;
    }
    let Some((_, mut rest)) = text.split_once(r#""attachments":["#) else { return record };
    loop {
        let mut elements = serde_json::Deserializer::from_str(rest).into_iter::<Attachment>();
        let Some(Ok(attachment)) = elements.next() else { return record };
        record.attachments.push(attachment);
        rest = rest[elements.byte_offset()..].trim_start().trim_start_matches(',');
    }
}
