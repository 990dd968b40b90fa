//! Kernels and disks that answer otherwise than usual: what cannot be known is no answer.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use std::fs;
use std::path::Path;
use support::sweeping::{age, attached, command};
use support::{Node, Pod, kernel};

/// From now on the kernel answers `errno` to the system call `number` of this thread and of what it starts; where
/// `second_and_third` are given, only with these arguments.
fn refuse(number: libc::c_long, second_and_third: Option<[u32; 2]>, errno: Errno) {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // struct seccomp_data: the number at 0, the arguments, of 64 bits each, from 16 on.
    let mut wanted = vec![(0, u32::try_from(number).unwrap())];
    wanted.extend(second_and_third.into_iter().flatten().zip([24, 32]).map(|(value, at)| (at, value)));
    let mut program = Vec::new();
    for (position, (at, value)) in wanted.iter().enumerate() {
        // Past what is left of the comparisons and past the refusal.
        let past = u8::try_from(2 * (wanted.len() - position - 1) + 1).unwrap();
        program.push(libc::sock_filter { code: LOAD as u16, jt: 0, jf: 0, k: *at });
        program.push(libc::sock_filter { code: EQUAL as u16, jt: 0, jf: past, k: *value });
    }
    let refused = libc::SECCOMP_RET_ERRNO | errno as u32;
    for k in [refused, libc::SECCOMP_RET_ALLOW] {
        program.push(libc::sock_filter { code: RETURN as u16, jt: 0, jf: 0, k });
    }
    let filter = libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live until the call is over; prctl(2) copies them.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    Errno::result(set).unwrap();
}

fn bridge() -> serde_json::Value {
    let ipam = json!({"type": "host-local", "subnet": "10.7.0.0/24", "routes": [{"dst": "10.8.0.0/16"}]});
    json!({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam}]})
}

#[test]
fn a_kernel_without_strict_checks_is_enough() {
    // S1: 4.18 and 4.19 do not know the option, and list more than they are asked for.
    let Some(node) = Node::new() else { return };
    const SOL_NETLINK: u32 = 270;
    const NETLINK_GET_STRICT_CHK: u32 = 12;
    refuse(libc::SYS_setsockopt, Some([SOL_NETLINK, NETLINK_GET_STRICT_CHK]), Errno::ENOPROTOOPT);
    let socket = netlink();
    assert_eq!(set(&socket, NETLINK_GET_STRICT_CHK), Err(Errno::ENOPROTOOPT), "the test has no such kernel");
    node.network("default/br", &bridge());
    let pods = ["one", "two"].map(|name| Pod::new(&node, name).selecting("br"));
    for (pod, address) in pods.iter().zip(["10.7.0.2/24", "10.7.0.3/24"]) {
        pod.add().result();
        assert!(kernel::addresses(&pod.netns, "net1").contains(&address.to_owned()));
    }
    for pod in &pods {
        pod.del().silence();
        assert_eq!(kernel::links(&pod.netns), [""; 0]);
    }
    assert_eq!(fs::read_dir("/var/lib/cni/networks/net").unwrap().filter(is_lease).count(), 0);
}

fn is_lease(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_str().unwrap().parse::<std::net::IpAddr>().is_ok()
}

fn netlink() -> std::os::fd::OwnedFd {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
    socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute).unwrap()
}

fn set(socket: &std::os::fd::OwnedFd, option: u32) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    let (pointer, size) = ((&raw const on).cast(), u32::try_from(size_of_val(&on)).unwrap());
    // SAFETY: the option's value is an integer that lives until the call is over.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), 270, i32::try_from(option).unwrap(), pointer, size) };
    Errno::result(set).map(drop)
}

#[test]
fn a_namespace_that_cannot_be_judged_is_not_gone() {
    // random-tests 09: any error of fstatfs counted as "gone".
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [alive, gone] = attached(&node, ["alive", "gone"]);
    age(&node, &alive);
    gone.end_sandbox();
    std::thread::scope(|scope| {
        // Only this thread, and what it starts, has such a kernel.
        let sweep = scope.spawn(|| {
            refuse(libc::SYS_fstatfs, None, Errno::EIO);
            let (is_well, answer) = command(&node, &[]);
            assert!(is_well, "{answer}");
        });
        sweep.join().unwrap();
    });
    assert!(alive.record(&node).is_some() && gone.record(&node).is_some());
    assert_eq!(a.calls_of("DEL").len(), 0);
    // With the usual one it is seen which of them exists.
    command(&node, &[]);
    assert!(alive.record(&node).is_some() && gone.record(&node).is_none());
}

#[test]
fn a_lease_that_cannot_be_read_is_not_nobodys() {
    // random-tests 06: DEL was success, and the address stayed taken.
    let Some(node) = Node::new() else { return };
    node.network("default/br", &bridge());
    let pod = Pod::new(&node, "pod").selecting("br");
    pod.add().result();
    let lease = Path::new("/var/lib/cni/networks/net/10.7.0.2");
    let none = None::<&str>;
    // Its first page is not mapped: EIO.
    mount(Some("/proc/self/mem"), lease, none, MsFlags::MS_BIND, none).unwrap();
    assert_eq!(fs::read(lease).unwrap_err().raw_os_error(), Some(libc::EIO), "the test has no such disk");
    pod.del().refusal(5, &["default/br", "net1", "10.7.0.2"]);
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["state"], "owed");
    umount2(lease, MntFlags::empty()).unwrap();
    assert!(lease.exists());
    pod.del().silence();
    assert!(!lease.exists() && pod.record(&node).is_none());
}
