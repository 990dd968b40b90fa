//! The tool and the daemon are killed before every system call that changes something, and started again: nothing is lost,
//! nothing is there twice, and the node's configuration is whole at each moment.
//!
//! As `tests/crash_everywhere` for the plugin. With `PLEXUS_PROVE` set no change of the daemon is left out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/mod.rs"]
mod support;

mod controller;
mod daemon;
mod keeper;
mod kills;
mod tool;
mod tree;
