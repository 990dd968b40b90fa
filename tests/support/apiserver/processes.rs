//! The programs that a server consists of: start, signal, end.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

pub(super) fn spawn_logged(command: &mut Command, log: &Path) -> Result<Child, String> {
    let open = || -> io::Result<(File, File)> {
        let file = File::options().create(true).append(true).open(log)?;
        Ok((file.try_clone()?, file))
    };
    let (stdout, stderr) = open().map_err(|error| format!("open {}: {error}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("run {}: {error}", command.get_program().display()))
}

pub(super) fn exit_status(child: &mut Child) -> Result<Option<ExitStatus>, String> {
    child.try_wait().map_err(|error| format!("wait for process {}: {error}", child.id()))
}

/// The standard library can only kill, and every shell has the rest.
pub(super) fn signal(child: &Child, name: &str) -> Result<(), String> {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} {}", child.id())])
        .status()
        .map_err(|error| format!("run sh: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("signal {name} to process {}: {status}", child.id())) }
}

pub(super) fn tail(path: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
