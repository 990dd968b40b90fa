//! The documentation is complete and true as far as a program can tell: links, commands, paths, keys, the reference pages,
//! and the output that it shows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod cluster_samples;
mod commands;
mod keys;
mod links;
mod pages;
mod paths;
mod reference;
mod runs;
mod samples;
#[path = "../support/mod.rs"]
mod support;
mod yaml;
