//! Multus on a node, with a cluster of two pods.

use super::found::Left;
use super::support::changes::{Change, Changes};
use super::support::{Answer, Call, Pod, eventually, kernel};
use super::thick::Thick;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The pod with additional networks, and the one without.
pub const NETWORKS: &str = "networks";
pub const PLAIN: &str = "plain";
/// Multus waits 250 ms for the API server, and the machine may be busy.
const TRIES: usize = 10;

/// Multus, and the pods of which it attaches one sandbox after the other.
pub struct Multus {
    pub thick: Thick,
    /// `thin` or `thick`.
    pub side: &'static str,
    uids: [(&'static str, String); 2],
    made: Cell<usize>,
    /// After so many more changes the daemon is killed; 0: it is not.
    fuse: Arc<AtomicUsize>,
    changes: Option<Changes>,
}

pub fn pool(subnet: &str) -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]})
}

pub fn bridge(name: &str, subnet: &str) -> Value {
    json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": pool(subnet)})
}

/// The default network. It is no list: of lists in `clusterNetwork` Multus loses most keys at DEL, see
/// `docs/evidence/multus-differences.md`, and each pod would leave an address without any fault.
pub fn default_network(name: &str, subnet: &str) -> Value {
    let mut network = bridge(name, subnet);
    network["cniVersion"] = json!("1.1.0");
    network["name"] = json!(name);
    network
}

impl Multus {
    /// As `tests/crash_everywhere` has Plexus, with programs: `bridge`, a list of `bridge` and `tuning`, and `macvlan`.
    pub fn start(programs: &Path) -> Option<Multus> {
        let thick = Thick::start_without_list(programs, &default_network("br0", "10.1.0.0/24"))?;
        super::support::keep_the_kernel_quiet();
        thick.node.ip("link add master0 type veth peer name master1");
        thick.node.ip("link set master0 up");
        thick.node.ip("link set master1 up");
        let tuning = json!({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}});
        let more = json!({"cniVersion": "1.0.0", "name": "more", "plugins": [bridge("more", "10.2.0.0/24"), tuning]});
        thick.network("more", &more);
        let macvlan = json!({"type": "macvlan", "master": "master0", "ipam": pool("10.3.0.0/24")});
        thick.network("mv", &json!({"cniVersion": "1.0.0", "name": "mv", "plugins": [macvlan]}));
        let uids = [(NETWORKS, "more,mv"), (PLAIN, "")].map(|(name, networks)| {
            let pod = thick.pod(name, networks);
            pod.end_sandbox();
            (name, pod.uid)
        });
        Some(Multus { thick, side: "thick", uids, made: Cell::new(0), fuse: Arc::default(), changes: None })
    }

    pub fn is_thick(&self) -> bool {
        self.side == "thick"
    }

    /// Has the node installed anew, without a daemon.
    pub fn become_thin(&mut self) {
        self.end_daemon();
        self.thick.become_thin();
        self.side = "thin";
    }

    /// A new sandbox of a pod; each has its own container, as when the kubelet makes one anew.
    pub fn pod(&self, name: &'static str) -> Pod {
        let number = self.made.replace(self.made.get() + 1);
        let mut pod = Pod::new(&self.thick.node, &format!("{name}{number}"));
        super::support::keep_the_sandbox_quiet(&pod);
        self.uids.iter().find(|(known, _)| *known == name).unwrap().1.clone_into(&mut pod.uid);
        name.clone_into(&mut pod.name);
        pod
    }

    pub fn call(&self, pod: &Pod, verb: &str) -> Call {
        if self.is_thick() { self.thick.call(pod, verb) } else { self.thick.thin_call(pod, verb) }
    }

    pub fn del(&self, pod: &Pod) -> Answer {
        self.call(pod, "DEL").make()
    }

    /// A sandbox that is attached.
    pub fn attached(&self) -> Pod {
        self.attached_with_result().0
    }

    /// The same, and the result of ADD.
    pub fn attached_with_result(&self) -> (Pod, Value) {
        for _ in 0..TRIES {
            let pod = self.pod(NETWORKS);
            let answer = self.call(&pod, "ADD").make();
            if answer.status.success() {
                assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "net2"]);
                return (pod, answer.result());
            }
            super::support::say(&format!("{}: once more: {}", self.side, answer.stdout));
            self.settle(&pod);
        }
        panic!("Multus attaches no pod");
    }

    /// Without a fault nothing is left: what is left with one is of the fault.
    pub fn must_leave_nothing_when_all_is_well(&self) {
        let pod = self.attached();
        let (answer, left) = (self.del(&pod), Left::of(&pod));
        assert!(answer.status.success() && left.is_nothing(), "{}: {answer:?}: {left:?}", self.side);
        pod.end_sandbox();
    }

    /// Ends the sandbox, and whatever is left of it, for the next one.
    pub fn settle(&self, pod: &Pod) {
        // It may fail, or be of no use.
        let _ = self.del(pod);
        if pod.netns.exists() {
            pod.end_sandbox();
        }
        for lease in Left::of(pod).addresses {
            fs::remove_file(lease).unwrap();
        }
        // A namespace is taken apart in the kernel's own time.
        eventually("interfaces of an ended sandbox to go", || Left::of(pod).is_nothing());
    }

    /// Has the daemon, which is started anew, killed before one of its changes: see [`Multus::light`].
    pub fn restart_daemon(&mut self) {
        let (fuse, mut changes) = (Arc::clone(&self.fuse), None);
        let burn = move |change: Change| {
            let burnt = fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if burnt == Ok(1) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(change.command), Signal::SIGKILL);
            }
        };
        self.thick.start_daemon(|command| changes = Some(Changes::watched(command, burn)));
        self.changes = changes;
    }

    /// Ends the daemon, if it still runs, and waits for what it has started.
    pub fn end_daemon(&mut self) {
        self.thick.end_daemon();
        self.changes.take().map(Changes::seen);
    }

    /// The daemon is killed before its change numbered `number` from now on, which may be one of what it starts; 0 ends that.
    /// Answers how many were left.
    pub fn light(&self, number: usize) -> usize {
        self.fuse.swap(number, Ordering::SeqCst)
    }

    /// Waits until the runtime's file has been whole for a while: the daemon may write it.
    pub fn wait_for_whole_file(&self) {
        let is_whole = || {
            let text = fs::read_to_string(self.thick.head_file()).unwrap_or_default();
            serde_json::from_str::<Value>(&text).is_ok()
        };
        let times = Cell::new(0);
        eventually("the runtime's file to be whole", || {
            times.set(if !self.is_thick() || is_whole() { times.get() + 1 } else { 0 });
            times.get() > 20
        });
    }

    /// Waits until the daemon works for nobody, of those that have asked it.
    pub fn wait_for_idle_daemon(&self) {
        let works = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // St is 03 for the daemon's end of a connection (proc_net_unix), and 01 for what listens.
            fields.last().is_some_and(|path| path.ends_with("/multus.sock")) && fields[5] == "03"
        };
        let sockets = || fs::read_to_string("/proc/thread-self/net/unix").unwrap();
        eventually("the daemon to be idle", || !sockets().lines().any(works));
    }
}
