//! `plexusctl lint`: every rule finds its bad example and not its good one, and the page of the rules is made of them.
//!
//! `UPDATE=1 cargo test --test lint` writes `docs/reference/lint.md` again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "lint/cluster.rs"]
mod cluster;
#[path = "lint/command.rs"]
mod command;
#[path = "lint/page.rs"]
mod page;
#[path = "lint/pools.rs"]
mod pools;
#[path = "lint/robust.rs"]
mod robust;
#[path = "lint/rules.rs"]
mod rules;
#[path = "lint/services.rs"]
mod services;
mod support;
