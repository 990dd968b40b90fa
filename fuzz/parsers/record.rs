//! The node's record, and what can be salvaged of a damaged one.

use super::text;
use plexus::cni::ContainerId;
use plexus::store::{Record, salvage};

/// A record is written as it was read; what is salvaged of a part of it is its beginning.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(record) = serde_json::from_str::<Record>(text) else {
        let salvaged = salvage::read(&ContainerId::new("c1").unwrap(), text);
        assert_eq!(salvaged.container_id.as_str(), "c1");
        return stable(&salvaged);
    };
    stable(&record);
    let whole = serde_json::to_string(&record).unwrap();
    let attachments: Vec<String> = record.attachments.iter().map(|a| serde_json::to_string(a).unwrap()).collect();
    assert_eq!(salvaged(&record.container_id, &whole), attachments);
    // One place to cut it, anywhere.
    let mut cut =
        data.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())) % whole.len();
    while !whole.is_char_boundary(cut) {
        cut -= 1;
    }
    let part = salvaged(&record.container_id, &whole[..cut]);
    assert_eq!(part, attachments[..part.len()]);
}

fn salvaged(id: &ContainerId, text: &str) -> Vec<String> {
    salvage::read(id, text).attachments.iter().map(|a| serde_json::to_string(a).unwrap()).collect()
}

fn stable(record: &Record) {
    let written = serde_json::to_string(record).unwrap();
    let read: Record = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), written);
    for attachment in &record.attachments {
        attachment.add_result();
    }
}
