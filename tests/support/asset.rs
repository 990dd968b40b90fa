//! Test dependencies: found, or built once, by `e2e/assets/get`.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The directory that holds a test dependency, made first where needed; says why where it cannot be.
pub fn asset(what: &str) -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/assets/get");
    let mut get = Command::new(script)
        .arg(what)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("run {script}: {error}"))?;

    let mut last_line = String::new();
    if let Some(stderr) = get.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Not by eprintln!, which shows a test's output only once the test has failed.
            let _ = writeln!(io::stderr(), "{line}");
            last_line = line;
        }
    }
    let output = get.wait_with_output().map_err(|error| format!("wait for {script}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{script} {what}: {}: {last_line}", output.status));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

/// The program `name` of the asset `what`; `None`, with a line that has the reason, where it cannot be built. With `CI` set
/// that is a failure.
pub fn program(what: &str, name: &str) -> Option<PathBuf> {
    match asset(what) {
        Ok(folder) => Some(folder.join(name)),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "cannot run here: {why}");
            let _ = writeln!(io::stderr(), "SKIP: {why}");
            None
        }
    }
}
