# src/engine/sandbox/undo.rs: what hung is tried first again, and takes the time of the others.
/waiting.sort_by_key/d
