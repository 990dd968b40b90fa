//! What ends a server whose test ends in any way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that kills the servers and removes their directory as soon as its standard input ends,
/// which the kernel sees to however the test process ends. A parent-death signal would come too
/// early: it is sent when the *thread* ends that started the process, and every test has its own.
pub(super) struct Janitor(Child);

impl Janitor {
    pub(super) fn start(directory: &Path) -> Result<Self, String> {
        const SCRIPT: &str = r#"
            read -r group
            while read -r _; do :; done
            [ -z "$group" ] || kill -s KILL -- "-$group"
            rm -rf -- "$0"
        "#;
        Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C and a runner that kills the test's group leave it alone
            .spawn()
            .map(Self)
            .map_err(|error| format!("run sh: {error}"))
    }

    /// Names the process group to kill.
    pub(super) fn watch(&mut self, group: u32) -> Result<(), String> {
        let stdin = self.0.stdin.as_mut().ok_or("the janitor has gone home")?;
        writeln!(stdin, "{group}").map_err(|error| format!("tell the janitor: {error}"))
    }

    pub(super) fn finish(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.finish();
    }
}
