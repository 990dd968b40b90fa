//! A machine of its own: a host namespace, a container namespace, and files nobody else sees.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use plexus::sys::netns::Netns;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};

/// The same in every world, so that answers can be compared as they are.
pub const ROOT: &str = "/tmp/plexus-contract";
/// The container.
pub const CONTAINER: &str = "/tmp/plexus-contract/container";
/// The address pools.
pub const POOLS: &str = "/tmp/plexus-contract/pools";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in namespaces of its own, in which jobs run one after the other.
pub struct World {
    jobs: Sender<Job>,
}

impl World {
    /// A world with `master0`, a link with a default route, and an empty container.
    pub fn new() -> Self {
        fs::create_dir_all(ROOT).unwrap();
        let (jobs, received) = channel::<Job>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some("tmpfs"), ROOT, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            received.into_iter().for_each(|job| job());
        });
        let world = World { jobs };
        world.run(|| {
            make_container();
            for line in [
                "link set lo up",
                "link add master0 type veth peer name master1",
                "link set master0 up",
                "link set master1 up",
                "addr add 192.0.2.1/24 dev master0",
                "route add default via 192.0.2.254",
            ] {
                ip(line);
            }
        });
        world
    }

    /// Runs `job` on the host of the world.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        self.jobs.send(Box::new(move || answer.send(job()).unwrap())).unwrap();
        answered.recv().expect("the job panicked: see above")
    }
}

/// A new container namespace at [`CONTAINER`].
pub fn make_container() {
    let netns = Netns::create().unwrap();
    fs::write(CONTAINER, "").unwrap();
    let source = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
    mount(Some(source.as_str()), CONTAINER, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

/// Gives the container the link `inner0` with a default route, to sit on.
pub fn make_inner_link() {
    for line in [
        "link add inner0 type veth peer name inner1",
        "link set inner0 up",
        "link set inner1 up",
        "addr add 198.51.100.1/24 dev inner0",
        "route add default via 198.51.100.254",
    ] {
        ip(line);
    }
}

/// The container and its file are gone.
pub fn remove_container() {
    umount2(CONTAINER, MntFlags::MNT_DETACH).unwrap();
    fs::remove_file(CONTAINER).unwrap();
}

/// Runs `work` in the container.
pub fn inside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    Netns::open(Path::new(CONTAINER)).unwrap().run(work).unwrap()
}

/// `ip <line>`, which must succeed.
pub fn ip(line: &str) {
    let status = Command::new("ip").args(line.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {line}");
}

/// What `ip -j <line>` prints.
pub fn ip_json(line: &str) -> Value {
    let output = Command::new("ip").arg("-j").args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip -j {line}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    if text.trim().is_empty() { Value::Array(Vec::new()) } else { serde_json::from_str(&text).unwrap() }
}

/// What `ip -d -j` prints for each of the `lines`.
pub fn ip_batch<const N: usize>(lines: &str) -> [Value; N] {
    let mut child = Command::new("ip")
        .args(["-d", "-j", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "ip -batch: {lines}");
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect();
    values.unwrap().try_into().unwrap()
}
