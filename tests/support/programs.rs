//! The programs under test and beside it: found, or built once.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the plugin that is shipped is built for; the second where the first is not installed.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"];

/// The plugin: `$PLEXUS_PLUGIN`, else the release build of this checkout. Cargo is always asked, so
/// that an old build is never tested; with nothing to do it answers at once.
pub fn plugin() -> Result<&'static Path, String> {
    static PLUGIN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || match std::env::var_os("PLEXUS_PLUGIN") {
        Some(path) => Ok(path.into()),
        None => build(TARGETS[0]).or_else(|why| {
            eprintln!("the plugin cannot be built for {}: {why}", TARGETS[0]);
            build(TARGETS[1])
        }),
    };
    PLUGIN.get_or_init(find).as_deref().map_err(Clone::clone)
}

/// The daemon: `$PLEXUSD`, else the build of this checkout for this machine.
pub fn daemon() -> PathBuf {
    std::env::var_os("PLEXUSD").unwrap_or_else(|| env!("CARGO_BIN_EXE_plexusd").into()).into()
}

fn build(target: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--quiet",
        "--release",
        "--no-default-features",
        "--bin",
        "plexus",
        "--message-format",
        "json",
    ]);
    build.args(["--target", target, "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    let output = build.stdin(Stdio::null()).stderr(Stdio::piped()).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let executable = |line: &str| serde_json::from_str::<Value>(line).ok()?["executable"].as_str().map(PathBuf::from);
    text.lines().filter_map(executable).next_back().ok_or_else(|| "cargo built no executable".to_owned())
}

/// The folder of the reference plugins and cnitool: `$PLEXUS_CNI_PLUGINS`, else built at the first use, which takes a while.
pub fn reference_plugins() -> Result<&'static Path, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let given = || std::env::var_os("PLEXUS_CNI_PLUGINS").map(PathBuf::from);
    FOLDER.get_or_init(|| given().map_or_else(|| asset("plugins"), Ok)).as_deref().map_err(Clone::clone)
}

/// Flannel's plugin, built at the first use.
pub fn flannel() -> Result<PathBuf, String> {
    asset("flannel").map(|folder| folder.join("flannel"))
}

/// The folder that `e2e/assets/get` has for `what`.
fn asset(what: &str) -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/assets/get");
    let output = Command::new(script).arg(what).stdin(Stdio::null()).output().map_err(|e| format!("{script}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(PathBuf::from(folder)) } else { Err(said) }
}

/// Whether `program` is in a usual folder.
pub fn is_installed(program: &str) -> bool {
    super::node::PATH.split(':').any(|folder| Path::new(folder).join(program).exists())
}

/// The folder of Multus' programs, where `MULTUS_BIN_DIR` names one. Comparing with them is asked for, never expected.
pub fn multus() -> Option<PathBuf> {
    let folder = std::env::var_os("MULTUS_BIN_DIR").map(PathBuf::from);
    if folder.is_none() {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let _ = writeln!(std::io::stderr(), "SKIP {test}: MULTUS_BIN_DIR names no folder with the programs of Multus");
    }
    folder
}
