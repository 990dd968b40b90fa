//! The contract of delegates: one list of assertions for natives and reference plugins alike.
//!
//! Every case runs in two worlds that are alike, once with the native and once with the program;
//! answers, links, addresses, routes, settings and the address pool are then compared. What may
//! differ (random names and addresses, numbers, timers) is evened out in `normal.rs`.
//!
//! Needs root and the reference plugins v1.9.1: `PLEXUS_CNI_PLUGINS`, or what `e2e/assets/get plugins` prints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test does not expect ends it")]

mod cases;
mod differences;
mod intended;
mod look;
mod matrix;
mod normal;
mod optional;
mod plugin;
mod pools;
mod random;
mod settings;
mod world;

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// The folder of the reference plugins; `None`, with the reason, where the test cannot run.
///
/// Without them it would prove nothing, so with `CI` set it fails.
fn plugins() -> Option<PathBuf> {
    static FOUND: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| if plexus::sys::is_root() { find_plugins() } else { Err("it needs root".to_owned()) });
    match &*FOUND {
        Ok(folder) => Some(folder.clone()),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "the contract test cannot run: {why}");
            eprintln!("SKIP contract: {why}");
            None
        }
    }
}

fn find_plugins() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("PLEXUS_CNI_PLUGINS") {
        return Ok(folder.into());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/assets/get");
    let output = Command::new(script).arg("plugins").output().map_err(|e| format!("{script}: {e}"))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.join("bridge").exists() {
        return Ok(folder);
    }
    Err(format!(
        "there are no reference plugins: set PLEXUS_CNI_PLUGINS ({script}: {})",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
