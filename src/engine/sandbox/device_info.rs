//! Device-info files: what a device plugin knows of a device, handed on to the plugins that attach it and
//! from them to the network status.
//!
//! The file promised to a network's plugins is laid out before its chain is called, read into the status
//! after it (`publish`) and removed on DEL (`undo`). None of that fails a pod: a network that needs
//! to know its device finds it in its configuration.

use crate::cni::RawObject;
use crate::engine::Turn;
use crate::engine::planning::naming::PROMISED;
use crate::engine::planning::plan::Planned;
use crate::sys::files::{self, Durability};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where device plugins leave what they know of a device (DEVINFO-06).
const DEVICE_PLUGINS: &str = "/var/run/k8s.cni.cncf.io/devinfo/dp";
/// Such a file is a few lines.
pub const MAX_SIZE: usize = 64 << 10;

/// Makes the file promised to the plugins of `planned` say what the device plugin says, or nothing (DEVINFO-10).
pub fn lay_out(turn: &Turn, planned: &Planned) {
    let Some(promised) = &planned.device_info_file else { return };
    let from = planned
        .device
        .as_ref()
        .map(|(resource, device)| left_by_device_plugin(Path::new(DEVICE_PLUGINS), resource, device));
    if let Err(e) = replace(promised, from.as_deref()) {
        turn.warn(format!(
            "network {} ({}): device-info file {}: {e}",
            planned.network,
            planned.ifname,
            promised.display()
        ));
    }
}

/// Removes what was promised as `path`. A record that names another file, whoever wrote it, removes none.
///
/// # Errors
/// It is there and cannot be removed, or is none of ours.
pub fn remove(path: &Path) -> io::Result<()> {
    if path.parent() != Some(Path::new(PROMISED)) || path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is not in {PROMISED} and stays")));
    }
    files::remove(path)
}

fn left_by_device_plugin(folder: &Path, resource: &str, device: &str) -> PathBuf {
    folder.join(format!("{resource}-{device}-device.json").replace('/', "-"))
}

/// What an earlier attachment left at `promised` would be taken for the truth: it is replaced, or it goes.
fn replace(promised: &Path, from: Option<&Path>) -> io::Result<()> {
    let content = match from {
        Some(from) => read(from).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", from.display()))),
        None => Ok(None),
    };
    let Ok(Some(content)) = content else {
        files::remove(promised)?;
        return content.map(drop);
    };
    if let Some(folder) = promised.parent() {
        // Others write and read there too (DEVINFO-15).
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    files::replace(promised, content.as_bytes(), 0o640, Durability::Cached)
}

/// What a device plugin left. Its container writes that folder, and is not root on the node: a link would make us
/// hand on any file, and what is no JSON object is none of a device plugin's.
fn read(from: &Path) -> io::Result<Option<String>> {
    let text = files::read_no_link_bounded(from, MAX_SIZE)?;
    if let Some(text) = &text {
        RawObject::parse(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not a JSON object"))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_named_as_the_standard_has_it() {
        // DEVINFO-06
        let named = |resource: &str, device: &str| left_by_device_plugin(Path::new("/dp"), resource, device);
        assert_eq!(named("intel.com/sriov", "0000:18:02.5"), Path::new("/dp/intel.com-sriov-0000:18:02.5-device.json"));
        assert_eq!(named("x.com/../r", "../../d"), Path::new("/dp/x.com-..-r-..-..-d-device.json"));
    }

    #[test]
    fn what_the_device_plugin_says_is_handed_on() {
        // DEVINFO-10, DEVINFO-15
        let root = tempfile::tempdir().unwrap();
        let (promised, from) = (root.path().join("a/cni/x"), root.path().join("dp.json"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        // A device plugin that says nothing is fine.
        replace(&promised, Some(&from)).unwrap();
        assert!(!promised.exists() && !root.path().join("a").exists());

        fs::write(&from, r#"{"type":"pci"}"#).unwrap();
        replace(&promised, Some(&from)).unwrap();
        assert_eq!(fs::read_to_string(&promised).unwrap(), r#"{"type":"pci"}"#);
        assert_eq!((mode(&promised), mode(promised.parent().unwrap())), (0o640, 0o755));

        // As the reference library leaves them: not to be written by anybody.
        fs::write(&from, "{}").unwrap();
        fs::set_permissions(&promised, fs::Permissions::from_mode(0o444)).unwrap();
        replace(&promised, Some(&from)).unwrap();
        assert_eq!(fs::read_to_string(&promised).unwrap(), "{}");
        fs::remove_file(&from).unwrap();
        replace(&promised, Some(&from)).unwrap();
        assert!(!promised.exists());
    }

    #[test]
    fn only_what_a_device_plugin_wrote_is_handed_on() {
        // L8
        let root = tempfile::tempdir().unwrap();
        let (promised, secret) = (root.path().join("x"), root.path().join("secret"));
        fs::write(&secret, r#"{"root":"only"}"#).unwrap();
        let link = root.path().join("link.json");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let text = root.path().join("text.json");
        fs::write(&text, "root:x:0:0:").unwrap();
        for from in [link, text] {
            assert!(replace(&promised, Some(&from)).is_err(), "{}", from.display());
            assert!(!promised.exists());
        }
    }

    #[test]
    fn what_is_stale_goes_even_when_the_new_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        let (promised, from) = (root.path().join("x"), root.path().join("dp.json"));
        for (stale, large) in [("old", MAX_SIZE + 1), ("older", 0)] {
            fs::write(&promised, stale).unwrap();
            fs::write(&from, vec![b' '; large]).unwrap();
            let outcome = replace(&promised, (large > 0).then_some(from.as_path()));
            assert_eq!(outcome.is_err(), large > 0);
            assert!(!promised.exists());
        }
    }
}
