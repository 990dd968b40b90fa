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
/// Where they are when the configuration does not say.
pub const DEFAULT_POOLS: &str = "/var/lib/cni";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in namespaces of its own, in which jobs run one after the other.
pub struct World {
    jobs: Sender<Job>,
    is_quick: bool,
}

impl World {
    /// A world with `master0`, a link with a default route, and an empty container.
    pub fn new() -> Self {
        Self::make(false)
    }

    /// As [`World::new`], where IPv6 does not ask a second or two whether somebody else has an address.
    pub fn quick() -> Self {
        Self::make(true)
    }

    fn make(is_quick: bool) -> Self {
        for folder in [ROOT, DEFAULT_POOLS] {
            fs::create_dir_all(folder).unwrap();
        }
        let (jobs, received) = channel::<Job>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            for folder in [ROOT, DEFAULT_POOLS] {
                mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            }
            received.into_iter().for_each(|job| job());
        });
        let world = World { jobs, is_quick };
        world.make_container();
        world.run(move || {
            // A new namespace has what the machine's has, which may forward already.
            fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
            if is_quick {
                ask_nobody();
            }
            let [] = ip_batch(
                "link set lo up
                link add master0 type veth peer name master1
                link set master0 up
                link set master1 up
                addr add 192.0.2.1/24 dev master0
                route add default via 192.0.2.254",
            );
        });
        world
    }

    /// Runs `job` on the host of the world.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        self.jobs.send(Box::new(move || answer.send(job()).unwrap())).unwrap();
        answered.recv().expect("the job panicked: see above")
    }

    /// A new container namespace at [`CONTAINER`].
    pub fn make_container(&self) {
        let is_quick = self.is_quick;
        self.run(move || {
            let netns = Netns::create().unwrap();
            fs::write(CONTAINER, "").unwrap();
            let source = format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd());
            mount(Some(source.as_str()), CONTAINER, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            if is_quick {
                inside(ask_nobody);
            }
        });
    }
}

/// Links that are made from now on have their IPv6 addresses at once.
fn ask_nobody() {
    // Both: the delay comes before the first question, also where none is asked.
    for setting in ["dad_transmits", "router_solicitation_delay"] {
        fs::write(format!("/proc/sys/net/ipv6/conf/default/{setting}"), "0").unwrap();
    }
}

/// Gives the container the link `inner0` with a default route, to sit on.
pub fn make_inner_link() {
    let [] = ip_batch(
        "link add inner0 type veth peer name inner1
        link set inner0 up
        link set inner1 up
        addr add 198.51.100.1/24 dev inner0
        route add default via 198.51.100.254",
    );
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

/// What `ip -d -j` prints for each of the `lines` that print something.
pub fn ip_batch<const N: usize>(lines: &str) -> [Value; N] {
    batch("ip", lines).try_into().unwrap()
}

/// What `program -d -j` (`ip` or `bridge`) prints for each of the `lines`, in one process: where the
/// kernel test emulates a processor, each start costs.
pub fn batch(program: &str, lines: &str) -> Vec<Value> {
    let mut child = Command::new(program)
        .args(["-d", "-j", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} -batch: {lines}");
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect();
    values.unwrap()
}
