# src/engine/sandbox/trust.rs: plugins are looked for only where they were at the time of ADD.
/folders.extend(today.into_iter()/d
