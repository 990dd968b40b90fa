//! Natives on a node as it is found: bridges without a MAC, links with other names, pools that are not theirs.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::{Node, Pod, kernel};

fn network(plugin: &Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": "net", "plugins": [plugin]})
}

fn mac(link: &str) -> String {
    kernel::ip(&format!("link show {link}"))[0]["address"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_pod_of_a_gateway_fails_and_the_next_one_starts() {
    let Some(node) = Node::new() else { return };
    let bridge = |ipam: Value| network(&json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam}));
    node.recorder("broken").on("ADD", "fail 42 'no address today'");
    node.network("default/bad", &bridge(json!({"type": "broken"})));
    node.network("default/good", &bridge(json!({"type": "static", "addresses": [{"address": "10.7.0.5/24"}]})));
    let first = Pod::new(&node, "first").selecting("bad");
    first.add().refusal(42, &["default/bad", "no address today"]);
    // It has lost its only port, and with it its MAC.
    assert_eq!(mac("br0"), "00:00:00:00:00:00");
    let second = Pod::new(&node, "second").selecting("good");
    second.add().result();
    let lasting = mac("br0");
    assert_ne!(lasting, "00:00:00:00:00:00");
    second.del().silence();
    assert_eq!(mac("br0"), lasting, "the gateway's MAC stays");
}

#[test]
fn a_master_may_be_named_by_its_alternative_name() {
    let Some(node) = Node::new() else { return };
    node.ip("link add master0 type veth peer name master1");
    node.ip("link set master0 up");
    let longest = "enp0s".repeat(26)[..127].to_owned();
    for (number, name) in ["short-alt", "an-alternative-name-of-the-uplink", &longest].into_iter().enumerate() {
        node.ip(&format!("link property add dev master0 altname {name}"));
        node.network("default/mv", &network(&json!({"type": "macvlan", "master": name})));
        let pod = Pod::new(&node, &format!("alt{number}")).selecting("mv");
        pod.add().result();
        assert_eq!(kernel::links(&pod.netns), ["net1"]);
        pod.del().silence();
    }
}

#[test]
fn a_pool_that_cannot_be_read_is_no_empty_one() {
    let Some(node) = Node::new() else { return };
    let ipam = json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": "/run/node/pools"});
    node.network("default/br", &network(&json!({"type": "bridge", "bridge": "br0", "ipam": ipam})));
    let pod = Pod::new(&node, "pool").selecting("br");
    pod.add().result();
    fs::rename("/run/node/pools", "/run/node/away").unwrap();
    fs::write("/run/node/pools", "").unwrap();
    // random-tests 06: it was success, and the address stayed taken.
    pod.del().refusal(5, &["default/br", "net1", "/run/node/pools"]);
    fs::remove_file("/run/node/pools").unwrap();
    fs::rename("/run/node/away", "/run/node/pools").unwrap();
    pod.del().silence();
    assert!(!Path::new("/run/node/pools/net/10.7.0.2").exists());
}

/// What a tenant can put where the pool is.
#[test]
fn a_pool_that_is_not_roots_is_not_written_to() {
    // N2
    let Some(node) = Node::new() else { return };
    let target = Path::new("/run/node/roots");
    fs::write(target, "precious").unwrap();
    let volume = Path::new("/run/node/volumes/empty-dir");
    fs::create_dir_all(volume.join("net")).unwrap();
    fs::set_permissions(volume, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for name in ["lock", "last_reserved_ip.0", "10.7.0.2"] {
        std::os::unix::fs::symlink(target, volume.join("net").join(name)).unwrap();
    }
    let ipam = |folder: &str| json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": folder});
    let bridge = |folder: &str| network(&json!({"type": "bridge", "bridge": "br0", "ipam": ipam(folder)}));
    node.network("default/br", &bridge("/run/node/volumes/empty-dir"));
    let pod = Pod::new(&node, "tenant").selecting("br");
    pod.add().refusal(7, &["default/br", "net1", "dataDir", "others may write there"]);
    assert_eq!(node.call_names(), Vec::<String>::new());
    pod.del().silence();
    // Links that are root's are followed only on the way to the pool.
    fs::set_permissions(volume, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    pod.add().refusal(5, &["default/br", "net1"]);
    pod.del();
    assert_eq!(fs::read_to_string(target).unwrap(), "precious");
    // A folder of one's own goes on working, also over a link of root's and in a sticky one.
    std::os::unix::fs::symlink("/run/node/pools", "/run/node/link").unwrap();
    fs::create_dir("/run/node/sticky").unwrap();
    fs::set_permissions("/run/node/sticky", std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    fs::create_dir("/run/node/pools").unwrap();
    for (number, folder) in ["/run/node/link", "/run/node/sticky/own"].into_iter().enumerate() {
        node.network("default/br", &bridge(folder));
        let pod = Pod::new(&node, &format!("own{number}")).selecting("br");
        pod.add().result();
        assert!(Path::new(folder).join("net/10.7.0.2").is_file());
        pod.del().silence();
    }
}

/// Whichever program host-local is: a key that no native knows is enough for the program.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_pool_is_judged_before_any_program_is_called() {
    // N2, N7
    let Some(node) = Node::new() else { return };
    let open = Path::new("/run/node/open");
    fs::create_dir_all(open.join("net")).unwrap();
    fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (cluster, volume) = (Path::new("/var/lib/cni/networks/cbr0"), Path::new("/run/node/volume"));
    fs::create_dir_all(cluster).unwrap();
    fs::create_dir_all(volume).unwrap();
    std::os::unix::fs::symlink(cluster, volume.join("net")).unwrap();
    std::os::unix::fs::symlink("/run/plexus", "/run/node/elsewhere").unwrap();
    for (number, (folder, why)) in [
        ("/run/node/open", "others may write there"),
        ("/run/node/volume", "it is a symbolic link"),
        ("/run/plexus", "it lies in /run/plexus"),
        ("/run/node/elsewhere/locks", "it lies in /run/plexus"),
        ("/var/lib/plexus/sandboxes", "it lies in /var/lib/plexus"),
        ("/run/missing/../plexus", "\"..\""),
        ("run/plexus", "is not an absolute path"),
        ("/var/lib/kubelet/pods/uid/volumes/kubernetes.io~empty-dir/v", "the kubelet's directory of pods"),
        ("/run/node/k0s/kubelet/pods/uid", "the kubelet's directory of pods"),
    ]
    .into_iter()
    .enumerate()
    {
        for (form, keys) in [json!({}), json!({"bogus": 1}), json!({"datadir": "/run/node/fine"})].iter().enumerate() {
            let mut ipam = json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": folder});
            ipam.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            node.network("default/br", &network(&json!({"type": "bridge", "bridge": "br0", "ipam": ipam})));
            let pod = Pod::new(&node, &format!("judged{number}{form}")).selecting("br");
            pod.add().refusal(7, &["default/br", "net1", "host-local", "dataDir", folder, why]);
            pod.del().silence();
        }
    }
    // An address plugin that nobody knows may hand its section on to host-local, as Go reads it; flannel has another key.
    for (number, (plugin, words)) in [
        (
            json!({"type": "bridge", "IPAM": {"Type": "mine", "DATADIR": "/run/node/open"}}),
            ["mine", "others may write there"],
        ),
        (
            json!({"type": "bridge", "ipam": {"type": "mine", "dataDir": "/run/plexus"}}),
            ["mine", "it lies in /run/plexus"],
        ),
        (
            json!({"type": "flannel", "datadir": "/var/lib/kubelet/pods/uid"}),
            ["flannel", "the kubelet's directory of pods"],
        ),
        (json!({"type": "flannel", "dataDir": "/var/lib/plexus/sandboxes"}), ["flannel", "it lies in /var/lib/plexus"]),
    ]
    .into_iter()
    .enumerate()
    {
        node.network("default/br", &network(&plugin));
        let pod = Pod::new(&node, &format!("other{number}")).selecting("br");
        pod.add().refusal(7, &["default/br", "net1", "dataDir", words[0], words[1]]);
        pod.del();
    }
    assert!(node.call_names().iter().all(|call| call.starts_with("DEL ")), "{:?}", node.call_names());
    // The node's own list of directories.
    let ipam = |folder: &str| json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": folder});
    let only = |pod: Pod| pod.configured("dataDirRoots", json!(["/run/node/pools"]));
    for (number, (folder, is_allowed)) in
        [("/run/node/other", false), ("/run/node/pools/x", true)].into_iter().enumerate()
    {
        node.network("default/br", &network(&json!({"type": "bridge", "bridge": "br0", "ipam": ipam(folder)})));
        let pod = only(Pod::new(&node, &format!("roots{number}")).selecting("br"));
        if is_allowed {
            pod.add().result();
        } else {
            pod.add().refusal(7, &["default/br", "net1", folder, "dataDirRoots: /run/node/pools"]);
        }
        pod.del().silence();
    }
    let inside: Vec<_> = fs::read_dir(cluster).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(inside.is_empty(), "{inside:?}");
    assert_eq!(fs::read_dir(open.join("net")).unwrap().count(), 0);
}
