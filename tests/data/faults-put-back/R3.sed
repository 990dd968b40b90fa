# src/engine/sandbox/attach.rs: results of a chain that is interrupted are not kept.
s/record.attachments\[before + index\].result = Some(result.to_owned());/let _ = result;/
