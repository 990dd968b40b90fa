//! What a damaged record can still tell.

use super::record::{Attachment, Record, VERSION};
use crate::cni::json;
use crate::cni::{ContainerId, RawObject};
use serde_json::value::RawValue;

/// Reads what the file of `id` still tells.
pub fn read(id: &ContainerId, text: &str) -> Record {
    match RawObject::parse(text) {
        Ok(members) => of_members(id, &members),
        Err(_) => of_beginning(id, text),
    }
}

/// The text is whole, and members lack or are wrong: each that can be read is. The file's name tells whose record it is,
/// unless the record says otherwise.
fn of_members(id: &ContainerId, members: &RawObject) -> Record {
    let empty = Record { incomplete: true, ..Record::empty(id) };
    let named = members.get("containerId").and_then(|named| json::parse::<ContainerId>(named.get()).ok());
    if named.is_some_and(|named| named != *id) {
        return empty;
    }
    let mut head = members.clone();
    head.set_value("version", &VERSION);
    head.set_value("containerId", id);
    head.set_value("attachments", &[(); 0]);
    let mut record = json::parse::<Record>(&head.to_json()).unwrap_or(empty);
    record.incomplete = true;
    let attachments = members.read::<Vec<Box<RawValue>>>("attachments").ok().flatten().unwrap_or_default();
    record.attachments = attachments.iter().filter_map(|one| json::parse(one.get()).ok()).collect();
    record
}

/// Reads what stands before the attachments, and every attachment that is whole, from the first one on; an
/// attachment that is cut ends it.
fn of_beginning(id: &ContainerId, text: &str) -> Record {
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

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"version":1,"containerId":"c1","netns":"/run/netns/x","created":7,"attachments":[
        {"call":"eth0","network":"cbr0","ifname":"eth0","state":"attached","config":{"name":"cbr0","type":"a"}},
        {"call":"eth0","network":"ns/b","ifname":"net1","state":"attached","config":{"name":"b","type":"b"}}]}"#;

    #[test]
    fn what_a_whole_text_tells_is_not_lost_with_a_member() {
        let id = ContainerId::new("c1").unwrap();
        let changed = |change: &dyn Fn(&mut RawObject)| {
            let mut members = RawObject::parse(WHOLE).unwrap();
            change(&mut members);
            let record = read(&id, &members.to_json());
            assert!(record.incomplete && record.container_id == id);
            (record.attachments.len(), record.netns.is_some())
        };
        for missing in ["version", "containerId", "created"] {
            assert_eq!(changed(&|members| members.remove(missing)), (2, true), "{missing}");
        }
        assert_eq!(changed(&|members| members.remove("attachments")), (0, true));
        assert_eq!(changed(&|members| members.set_value("netns", &7)), (2, false));
        assert_eq!(changed(&|members| members.set_value("containerId", "other")), (0, false));
        assert_eq!(
            read(&id, &WHOLE.replace(r#""config":{"name":"cbr0","type":"a"}"#, r#""x":1"#)).attachments.len(),
            1
        );
        // To read it as it is would tell that nothing is attached.
        let bare = r#"{"version":1,"containerId":"c1"}"#;
        assert!(json::parse::<Record>(bare).is_err());
    }
}
