//! A machine of the test's own.

use super::programs;
use super::recorder::{Recorded, Recorder};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use plexus::api::{RunDirectory, StateDirectory};
use plexus::nad::{Definition, NadRef};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `PATH` of everything that is started.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a test makes lies here, on a file system of its own.
pub const FOLDER: &str = "/run/node";

/// A machine that only this test's thread, and what it starts, is on: no links but `lo`, empty
/// `/run` and `/var/lib`. The plugin and the reference plugins are in [`Node::bin`].
#[derive(Debug)]
pub struct Node {
    /// The configuration of Plexus; a [`super::Pod`] takes a copy.
    pub config: Value,
}

impl Node {
    /// Enters the machine with the calling thread, for good. `None`, with a line that says why, where
    /// this machine cannot do it; with `CI` set that is a failure.
    pub fn new() -> Option<Node> {
        Node::enter().map_err(|why| super::cannot_run(&why)).ok()
    }

    fn enter() -> Result<Node, String> {
        if !plexus::sys::is_root() {
            return Err("needs root".to_owned());
        }
        if let Some(missing) =
            ["ip", "sh", "date", "env", "sed"].into_iter().find(|program| !programs::is_installed(program))
        {
            return Err(format!("{missing} is missing"));
        }
        let (plugin, reference) = (programs::plugin()?, programs::reference_plugins()?);
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|e| format!("no namespaces: {e}"))?;
        furnish(plugin, reference).map_err(|e| format!("no machine of its own: {e}"))?;
        let node = Node { config: config() };
        node.ip("link set lo up");
        node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
        node.recorder("primary");
        Ok(node)
    }

    /// The plugins' folder, `CNI_PATH`.
    pub fn bin(&self) -> PathBuf {
        Path::new(FOLDER).join("bin")
    }

    /// Where the runtime and the primary keep their configurations.
    pub fn net_d(&self) -> PathBuf {
        Path::new(FOLDER).join("net.d")
    }

    /// The default network's configuration file.
    pub fn primary_file(&self) -> PathBuf {
        self.net_d().join("10-primary.conflist")
    }

    /// The state directory.
    pub fn state(&self) -> StateDirectory {
        StateDirectory::default()
    }

    /// The run directory.
    pub fn run(&self) -> RunDirectory {
        RunDirectory::default()
    }

    /// From now on no call of the plugin, and no program it starts, gets more memory than this.
    pub fn limit_memory(&self, mebibytes: u32) {
        let (plugin, itself, limited) = (self.bin().join("plexus"), in_folder("plexus"), in_folder("limited"));
        let limit = in_folder("limit");
        let is_limited = limit.exists();
        write(&limit, &(u64::from(mebibytes) << 10).to_string());
        if is_limited {
            return;
        }
        let none = None::<&str>;
        let over = |source: &Path, target: &Path| mount(Some(source), target, none, MsFlags::MS_BIND, none).unwrap();
        write(&itself, "");
        over(&plugin, &itself);
        write_program(
            &limited,
            &format!("#!/bin/sh\nread limit <{}\nulimit -v $limit\nexec {}\n", limit.display(), itself.display()),
        );
        over(&limited, &plugin);
    }

    /// Makes `config` the default network.
    pub fn primary(&self, config: &Value) {
        write(&self.primary_file(), &config.to_string());
    }

    /// Installs a recorder as the plugin `name`.
    pub fn recorder(&self, name: &str) -> Recorder {
        Recorder::install(&self.bin(), name)
    }

    /// Every recorded call of every recorder, in the order in which they began.
    pub fn calls(&self) -> Vec<Recorded> {
        Recorded::all()
    }

    /// The recorded calls as `VERB plugin interface`.
    pub fn call_names(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {} {}", call.verb(), call.plugin, call.env("CNI_IFNAME"))).collect()
    }

    /// Forgets what was recorded.
    pub fn forget_calls(&self) {
        fs::remove_dir_all(super::recorder::LOG).unwrap();
        fs::create_dir(super::recorder::LOG).unwrap();
    }

    /// Leaves a last-known copy of the network `nad` (`namespace/name`), as an ADD would that asked the daemon.
    pub fn network(&self, nad: &str, config: &Value) -> PathBuf {
        self.network_text(nad, &config.to_string())
    }

    /// As [`Node::network`], with any text as `spec.config`.
    pub fn network_text(&self, nad: &str, config: &str) -> PathBuf {
        let (namespace, name) = nad.split_once('/').unwrap();
        let nad = NadRef::new(namespace, name).unwrap();
        let path = self.state().network(&nad);
        let definition = Definition::new(nad, Some(config.to_owned()), |_| None);
        write(&path, &serde_json::to_string(&definition).unwrap());
        path
    }

    /// A recorder `plugin` and a network `default/<plugin>` of it.
    pub fn recorded_network(&self, plugin: &str) -> Recorder {
        self.network(&format!("default/{plugin}"), &json!({"cniVersion": "1.0.0", "type": plugin}));
        self.recorder(plugin)
    }

    /// Runs ip(8) with `-json` on the machine.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> Value {
        super::kernel::ip(arguments)
    }

    /// Waits until no call works any more. The kernel closes the files of a process that ends after it has taken its namespaces
    /// from it: the process is not found any more, and its locks are still held.
    pub fn quiet(&self) {
        super::eventually("every process to end", || self.processes().is_empty());
        self.unlocked();
    }

    /// Waits until nobody holds the lock of a sandbox.
    pub fn unlocked(&self) {
        for lock in fs::read_dir(self.run().locks()).into_iter().flatten().flatten() {
            let Ok(file) = fs::File::open(lock.path()) else { continue };
            super::eventually("a lock to be released", || file.try_lock_shared().is_ok());
            // A process that another test forks at this moment has a copy of the file. By that it would hold the lock until it
            // becomes a program, and GC and a sweep would pass over the sandbox.
            file.unlock().unwrap();
        }
    }

    /// Nothing runs here. The kernel needs a moment to end a process that was killed. What nobody kills runs for longer in these
    /// tests, or leaves a link that the test finds.
    #[track_caller]
    pub fn runs_nothing(&self) {
        let moment = Duration::from_secs(3);
        super::wait_within(moment, || self.processes().is_empty(), || format!("still there: {:?}", self.processes()));
    }

    /// What runs on the machine: process IDs and command lines.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let own = fs::read_link("/proc/thread-self/ns/mnt").unwrap();
        let this = i32::try_from(std::process::id()).unwrap();
        let read = |entry: fs::DirEntry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let here = pid != this && fs::read_link(entry.path().join("ns/mnt")).ok()? == own;
            let command = fs::read_to_string(entry.path().join("cmdline")).ok()?.replace('\0', " ");
            here.then_some((pid, command))
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
    }
}

impl Drop for Node {
    /// Ends what still runs on the machine, and was therefore started by this test.
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for (pid, _) in left {
                // It may have ended meanwhile.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn in_folder(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes a program.
pub fn write_program(path: &Path, text: &str) {
    uncover(path);
    write(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Takes the program that is bound to `path` away, which all tests share; what is left is an empty file of this test.
pub fn uncover(path: &Path) {
    // Nothing may be bound there. Not at once: a process that another test starts may just hold it.
    let _ = umount2(path, MntFlags::MNT_DETACH);
}

/// Mounts a tmpfs over `folder`.
pub fn tmpfs(folder: &Path, options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options))
}

fn furnish(plugin: &Path, reference: &Path) -> std::io::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let daemon = programs::daemon();
    // Whatever the checkout or the cache lies under: what is needed is at hand before folders are covered.
    let programs: Vec<PathBuf> = fs::read_dir(reference)?.flatten().map(|entry| entry.path()).collect();
    let open = |path: &Path| fs::File::open(path);
    // There is no daemon where only the plugin was built; a test that starts it fails then.
    let (plugin, daemon) = (open(plugin)?, open(&daemon).ok());
    let programs: Vec<(PathBuf, fs::File)> =
        programs.into_iter().map(|path| Ok((path.clone(), open(&path)?))).collect::<std::io::Result<_>>()?;
    tmpfs(Path::new("/run"), "mode=755")?;
    tmpfs(Path::new("/var/lib"), "mode=755")?;
    for folder in ["bin", "net.d", "log", "manifests", "daemon"] {
        fs::create_dir_all(Path::new(FOLDER).join(folder))?;
    }
    for folder in ["/run/netns", "/run/plexus"] {
        fs::create_dir_all(folder)?;
    }
    // Just swept: a sweep that starts in the middle of a test would make it depend on the time.
    fs::write("/run/plexus/swept", "")?;
    let bin = Path::new(FOLDER).join("bin");
    bind(&plugin, &bin.join("plexus"))?;
    if let Some(daemon) = daemon {
        bind(&daemon, &Path::new(FOLDER).join("daemon/plexusd"))?;
    }
    for (path, file) in &programs {
        bind(file, &bin.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Makes an open file appear at `path`, not to be written to: it is not the test's own.
pub fn bind(file: &fs::File, path: &Path) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    fs::write(path, "")?;
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let none = None::<&str>;
    mount(Some(source.as_str()), path, none, MsFlags::MS_BIND, none)?;
    mount(none, path, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none)?;
    Ok(())
}

/// The configuration as an operator installs it.
fn config() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "cbr0",
        "type": "plexus",
        "capabilities": {"portMappings": true, "io.kubernetes.cri.pod-annotations": true},
        "clusterNetwork": format!("{FOLDER}/net.d/10-primary.conflist"),
    })
}
