//! A release of the programs of the tests, in a directory of its own.

use super::{ARCHITECTURES, ROOT};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub struct Release(TempDir);

impl Release {
    /// `None`, with a line that has the reason, where jq is missing. With `CI` set that is a failure.
    pub fn pack() -> Option<Release> {
        if !Path::new("/usr/bin/jq").exists() {
            assert!(std::env::var_os("CI").is_none(), "cannot run here: jq is missing");
            eprintln!("SKIP: jq is missing: e2e/release/get packages");
            return None;
        }
        let release = Release(tempfile::tempdir().unwrap());
        for architecture in ARCHITECTURES {
            let programs = release.0.path().join("programs").join(architecture);
            fs::create_dir_all(&programs).unwrap();
            // The program itself is large without optimisation.
            let text = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_plexusctl"));
            fs::write(programs.join("plexusctl"), text).unwrap();
            fs::set_permissions(programs.join("plexusctl"), fs::Permissions::from_mode(0o755)).unwrap();
            for name in ["plexus", "plexusd"] {
                fs::copy("/bin/true", programs.join(name)).unwrap();
            }
        }
        let mut pack = Command::new(format!("{ROOT}/e2e/release/pack"));
        pack.arg(release.0.path().join("programs")).arg(release.folder()).env("SOURCE_DATE_EPOCH", "1700000000");
        let output = pack.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(release)
    }

    pub fn folder(&self) -> PathBuf {
        self.0.path().join("release")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// The names in an archive. Nothing of this machine is in it.
    pub fn names(&self, archive: &str) -> Vec<String> {
        let listing = output(Command::new("tar").args(["--utc", "--full-time", "-tvf"]).arg(self.file(archive)));
        for line in listing.lines() {
            assert!(line.contains(" 0/0 ") && line.contains(" 2023-11-14 22:13:20 "), "{archive}: {line}");
        }
        output(Command::new("tar").arg("-tf").arg(self.file(archive))).lines().map(str::to_owned).collect()
    }

    /// The contents of an archive.
    pub fn unpacked(&self, archive: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        output(Command::new("tar").arg("-xf").arg(self.file(archive)).arg("-C").arg(folder.path()));
        folder
    }
}

pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
