use super::*;
use crate::store::Record;
use std::time::SystemTime;

fn record(network: &str, default: bool) -> Record {
    let attachment = format!(
        r#"{{"call":"eth0","network":"{network}","ifname":"net1","default":{default},"state":"attached","config":{{}}}}"#
    );
    serde_json::from_str(&format!(r#"{{"version":1,"containerId":"c","attachments":[{attachment}]}}"#)).unwrap()
}

fn arguments(path: impl Fn(&str) -> PathBuf) -> Arguments {
    Arguments {
        runtime: RuntimeDirectories { cni_conf_dir: path("conf"), cni_bin_dir: path("bin") },
        state_directory: Some(path("state")),
        run_directory: Some(path("run")),
        wait: false,
        yes: true,
        cancel: false,
        stay: false,
    }
}

#[test]
fn a_pod_that_needs_the_plugin_keeps_it() {
    let node = tempfile::tempdir().unwrap();
    let path = |name: &str| node.path().join(name);
    for folder in ["conf", "bin", "run", "state/sandboxes"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    fs::write(path("conf/00-plexus.conflist"), r#"{"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"plexus"}]}"#)
        .unwrap();
    fs::write(path("state/sandboxes/c.json"), serde_json::to_string(&record("default/macvlan", false)).unwrap())
        .unwrap();
    let run = || super::run(&arguments(path), &mut Output::of_process()).unwrap();
    assert_eq!(run(), Verdict::NotWell);
    assert!(path("conf/00-plexus.conflist").exists() && path("state/draining").exists());
    let cancelled = Arguments { cancel: true, ..arguments(path) };
    super::run(&cancelled, &mut Output::of_process()).unwrap();
    assert!(path("conf/00-plexus.conflist").exists() && !path("state/draining").exists());
    fs::remove_file(path("state/sandboxes/c.json")).unwrap();
    assert_eq!(run(), Verdict::Well);
    assert!(!path("conf/00-plexus.conflist").exists() && !path("state").exists());
}

#[test]
fn what_a_daemon_left_that_cannot_be_removed_stays_and_the_rest_goes() {
    let node = tempfile::tempdir().unwrap();
    let path = |name: &str| node.path().join(name);
    for folder in ["run/daemon/networks/full", "run/locks", "run/daemon/busy"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    fs::write(path("run/daemon/plexusd.sock"), "").unwrap();
    if !crate::sys::is_root() {
        return;
    }
    // Not even root with all its capabilities removes a mount point.
    let none: Option<&str> = None;
    if nix::mount::mount(Some("tmpfs"), &path("run/daemon/busy"), Some("tmpfs"), nix::mount::MsFlags::empty(), none)
        .is_err()
    {
        return;
    }
    let daemon = path("run/daemon");
    empty_of_daemon(&daemon, &Output::of_process());
    let ours = |name: &str| name != "daemon";
    let emptied = empty(&path("run"), ours, &Output::of_process());
    // A directory of somebody else stays, too; one of ours is an error.
    let busy = path("run/daemon/busy");
    let of_ours = empty(&daemon, ours, &Output::of_process()).is_err();
    std::os::unix::fs::chown(&busy, Some(7), None).unwrap();
    let of_another = empty(&daemon, ours, &Output::of_process()).is_ok();
    let left: Vec<_> = fs::read_dir(&daemon).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    nix::mount::umount(&path("run/daemon/busy")).unwrap();
    emptied.unwrap();
    assert!(of_ours && of_another);
    assert_eq!(left, ["busy"]);
    assert!(!path("run/locks").exists());
}

#[test]
fn a_directory_that_was_named_by_mistake_keeps_its_files() {
    let node = tempfile::tempdir().unwrap();
    let path = |name: &str| node.path().join(name);
    for folder in ["conf", "bin", "run/daemon", "run/locks", "run/photos", "state/sandboxes", "state/networks"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    for file in ["run/swept", "run/sweep.log", "run/mail", "state/default-network.json", "state/notes", "state/.x-1-2"]
    {
        fs::write(path(file), "").unwrap();
    }
    assert_eq!(super::run(&arguments(path), &mut Output::of_process()).unwrap(), Verdict::Well);
    let left = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(left("run"), ["mail", "photos"]);
    assert_eq!(left("state"), ["notes"]);
}

#[test]
fn what_is_mounted_in_a_directory_of_ours_is_not_removed() {
    let node = tempfile::tempdir().unwrap();
    let path = |name: &str| node.path().join(name);
    fs::create_dir_all(path("run/locks/inner")).unwrap();
    fs::create_dir(path("elsewhere")).unwrap();
    fs::write(path("elsewhere/file"), "").unwrap();
    let (none, bind) = (None::<&str>, nix::mount::MsFlags::MS_BIND);
    if nix::mount::mount(Some(&path("elsewhere")), &path("run/locks/inner"), none, bind, none).is_err() {
        return;
    }
    let emptied = empty(&path("run"), RunDirectory::is_own, &Output::of_process());
    nix::mount::umount(&path("run/locks/inner")).unwrap();
    assert!(emptied.unwrap_err().to_string().contains("mount point"));
    assert!(path("elsewhere/file").exists());
}

#[test]
fn a_runtime_that_watches_its_folder_hears_that_an_element_went() {
    let conf = tempfile::tempdir().unwrap();
    let path = |name: &str| conf.path().join(name);
    fs::create_dir(path("cbr0")).unwrap();
    for file in ["cbr0/50-others.conf", "cbr0/90-plexus.conf"] {
        fs::write(path(file), "{}").unwrap();
    }
    let itself = fs::File::open(conf.path()).unwrap();
    itself.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(remove_configuration(conf.path(), &Output::of_process()).unwrap());
    assert_ne!(itself.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    assert!(path("cbr0/50-others.conf").exists() && !path("cbr0/90-plexus.conf").exists());
    assert_eq!(fs::read_dir(conf.path()).unwrap().count(), 1);
    assert!(!remove_configuration(conf.path(), &Output::of_process()).unwrap());
}
