//! Who may change what lies under a path.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether `path`, every folder above it and every link on the way belong to root and can be written by nobody else.
///
/// # Errors
/// A part of it cannot be looked at, or is not there.
pub fn is_roots_alone(path: &Path) -> io::Result<bool> {
    // The parts as they are written: who owns a link decides where it leads. Then the folders they lead to.
    Ok(is_roots_chain(path)? && is_roots_chain(&fs::canonicalize(path)?)?)
}

fn is_roots_chain(path: &Path) -> io::Result<bool> {
    for part in path.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        let part = fs::symlink_metadata(part)?;
        // A link has no mode of its own.
        let writable = !part.is_symlink() && part.mode() & 0o022 != 0;
        if part.uid() != 0 || writable {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_part_that_others_may_write_is_enough() {
        // D7
        assert!(is_roots_alone(Path::new("/proc")).unwrap());
        assert!(is_roots_alone(Path::new("/nowhere")).is_err());
        // Everybody may write there, and everything below is under them.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_roots_alone(folder.path()).unwrap());
    }
}
