# src/engine/sandbox/attach.rs: a result that cannot be kept does not stop the next program.
s/if is_plain { Ok(()) } else { kept }/{ let _ = (is_plain, kept); Ok(()) }/
