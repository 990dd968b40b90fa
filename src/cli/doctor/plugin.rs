//! The installed plugin: whether it is ours, and runs.

use crate::api::build;
use crate::cli::trust;
use crate::sys::{executable, files};
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A plugin is a few megabytes; built for development, some more.
const MAX_PROGRAM: usize = 512 << 20;
/// More than the lines that it prints.
const MAX_LINES: u64 = 4096;
/// How long it may take to print them.
const LIMIT: Duration = Duration::from_secs(10);

/// The release that the program prints of itself. It is root's own program: the runtime starts it, too.
///
/// # Errors
/// It is missing, is another program, or does not run.
pub fn release(plugin: &Path) -> Result<String, String> {
    let program = files::read_bytes_bounded(plugin, MAX_PROGRAM).map_err(|e| e.to_string())?;
    let program = program.ok_or_else(|| "it does not exist".to_owned())?;
    if !build::is_plugin(&program) {
        return Err("it is not the plugin of Plexus".to_owned());
    }
    if !executable::is_whole(&program) {
        return Err("the end of the file is missing".to_owned());
    }
    trust::check(plugin).map_err(|e| e.to_string())?;
    let (status, text) = run(plugin)?;
    let release = text.strip_prefix("plexus ").and_then(|rest| rest.split(':').next()).map(str::to_owned);
    match release {
        Some(release) if status.success() => Ok(release),
        _ if status.success() => Err("it does not print its release".to_owned()),
        _ => Err(format!("it does not run: --version ends with {status}")),
    }
}

/// How it ended, and what it printed.
fn run(plugin: &Path) -> Result<(ExitStatus, String), String> {
    let failed = |e: std::io::Error| format!("it does not run: {e}");
    let mut command = Command::new(plugin);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let until = Instant::now() + LIMIT;
    // Its lines fit into the pipe.
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= until {
            // It may end just now.
            let _ = child.kill().and_then(|()| child.wait().map(drop));
            return Err(format!("it does not run: --version does not end within {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut text = Vec::new();
    let printed = child.stderr.take().map(|stderr| stderr.take(MAX_LINES).read_to_end(&mut text));
    printed.transpose().map_err(failed)?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}
