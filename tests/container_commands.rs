//! Every container of the manifests is started as the kubelet starts it: its command, its arguments and its variables,
//! on a machine that has its volumes and nothing else. `--help` cannot show what the variables of a container do to a
//! command: an uninstallation did not end because of two of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use support::programs;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Where the test's machine has what the image has at its root.
const IMAGE: &str = "/run/image";
/// The command line is wrong.
const USAGE: i32 = 2;

fn kubectl() -> Option<PathBuf> {
    let got = Command::new(format!("{ROOT}/e2e/assets/get")).arg("kubernetes").stdin(Stdio::null()).output().unwrap();
    if got.status.success() {
        return Some(Path::new(String::from_utf8(got.stdout).unwrap().trim()).join("kubectl"));
    }
    support::cannot_run(String::from_utf8_lossy(&got.stderr).lines().last().unwrap_or_default());
    None
}

/// The pod of the DaemonSet that `folder` renders to.
fn pod(kubectl: &Path, folder: &Path) -> Value {
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let set = documents.into_iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    set["spec"]["template"]["spec"].clone()
}

/// Every overlay, and the removal of each.
fn pods(kubectl: &Path) -> Vec<(String, Value)> {
    let conf = Path::new(ROOT).join("conf");
    let overlays = fs::read_dir(conf.join("overlays")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = overlays.chain([conf.join("base")]).collect();
    folders.sort();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    // kustomize takes relative paths only.
    let up = "../".repeat(folder.components().count() - 1);
    let mut pods = Vec::new();
    for overlay in folders {
        let name = overlay.strip_prefix(&conf).unwrap().display().to_string();
        let relative = format!("{up}{}", &overlay.to_str().unwrap()[1..]);
        for component in ["uninstall", "replace-multus"] {
            let text =
                format!("resources: [{relative}]\ncomponents: [{up}{}/conf/components/{component}]\n", &ROOT[1..]);
            fs::write(folder.join("kustomization.yaml"), text).unwrap();
            pods.push((format!("{name} with {component}"), pod(kubectl, &folder)));
        }
        pods.push((name, pod(kubectl, &overlay)));
    }
    pods
}

/// A machine of this thread's own that looks like the container: the image, and empty volumes where it mounts some.
fn become_container() -> Result<(), String> {
    let failed = |e: nix::Error| format!("no machine of its own: {e}");
    let plugin = programs::plugin()?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).map_err(failed)?;
    // A mount of another namespace cannot be bound, and below these folders they would be out of sight.
    let program = |path: &Path| File::open(path).map_err(|e| format!("{}: {e}", path.display()));
    let programs = [
        ("plexus", program(plugin)?),
        ("plexusctl", program(Path::new(env!("CARGO_BIN_EXE_plexusctl")))?),
        ("plexusd", program(Path::new(env!("CARGO_BIN_EXE_plexusd")))?),
    ];
    for folder in ["/etc", "/opt", "/run", "/var"] {
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).map_err(failed)?;
    }
    fs::create_dir(IMAGE).unwrap();
    for (name, file) in programs {
        let place = Path::new(IMAGE).join(name);
        File::create(&place).unwrap();
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(source.as_str()), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(failed)?;
    }
    Ok(())
}

/// The volumes of `container`: the node's folders, empty but for a cluster's network, and the settings.
fn furnish(container: &Value) {
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let path = Path::new(mount["mountPath"].as_str().unwrap());
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path).unwrap();
        match mount["name"].as_str().unwrap() {
            "cni-conf" => {
                fs::write(path.join("10-a.conflist"), r#"{"name":"a","plugins":[{"type":"bridge"}]}"#).unwrap()
            }
            "settings" => fs::write(path.join("settings.json"), "{}").unwrap(),
            _ => {}
        }
    }
}

fn start(container: &Value) -> Child {
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .flat_map(|key| container[*key].as_array().into_iter().flatten())
        .map(|word| word.as_str().unwrap())
        .collect();
    let mut command = Command::new(format!("{IMAGE}{}", words[0]));
    command.args(&words[1..]).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for variable in container["env"].as_array().into_iter().flatten() {
        // What a field or a map gives is some word.
        command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap_or("node1"));
    }
    command.spawn().unwrap_or_else(|e| panic!("{words:?}: {e}"))
}

/// How it ended, within `patience`.
fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        let status = child.try_wait().unwrap();
        if status.is_some() || Instant::now() >= deadline {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(mut child: Child) -> String {
    child.kill().unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
}

#[test]
fn every_container_does_what_its_manifest_wants() {
    if !plexus::sys::is_root() {
        return support::cannot_run("needs root");
    }
    let Some(kubectl) = kubectl() else { return };
    let pods = pods(&kubectl);
    if let Err(why) = become_container() {
        return support::cannot_run(&why);
    }
    for (name, pod) in pods {
        let of = |container: &Value| format!("{name}: {} {}", container["name"], container["command"]);
        for container in pod["initContainers"].as_array().unwrap() {
            furnish(container);
            let mut child = start(container);
            let status = ended(&mut child, Duration::from_secs(30));
            let said = end(child);
            assert!(status.is_some_and(|status| status.success()), "{}: {status:?}: {said}", of(container));
        }
        for container in pod["containers"].as_array().unwrap() {
            furnish(container);
            let mut child = start(container);
            let status = ended(&mut child, Duration::from_millis(700));
            let said = end(child);
            // The daemon has no cluster here; it has understood what it was told.
            let is_daemon = container["command"][0] == "/plexusd";
            let stays = status.is_none() || (is_daemon && status.and_then(|status| status.code()) != Some(USAGE));
            assert!(stays, "{}: {status:?}: {said}", of(container));
        }
    }
}
