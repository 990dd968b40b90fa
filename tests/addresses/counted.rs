//! What is seen of addresses: the metrics of a node, and those of the controller.

use super::*;
use std::net::SocketAddr;
use support::http;

/// The container `keeper` of the node of `machine`.
struct Keeper(Child);

impl Keeper {
    fn start(machine: &Machine) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().arg("keep");
        let options = [("state", "state"), ("run", "run"), ("cni-conf", "net.d"), ("cni-bin", "bin")];
        for (option, folder) in options {
            let option =
                if option.starts_with("cni") { format!("--{option}-dir") } else { format!("--{option}-directory") };
            std::fs::create_dir_all(machine.path(folder)).unwrap();
            command.arg(option).arg(machine.path(folder));
        }
        command.arg("--pod-resources-socket").arg(machine.path("kubelet.sock"));
        Keeper(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a series; none where there is no such series.
fn value(address: SocketAddr, series: &str) -> Option<f64> {
    let text = http::try_get(address, "/metrics").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_has_become_of_the_addresses_of_a_node_is_counted() {
    let Some(server) = server() else { return };
    let range = json!({"range": "10.30.0.0/28", "gateway": "10.30.0.1"});
    let warm = json!({"min": 0, "max": 16});
    put_pool(
        &server,
        "counted",
        &json!({"blockSize": {"v4": 8, "v6": 8}, "ranges": [range], "warm": warm, "cooldownSeconds": 3600}),
    );
    let mut machine = Machine::new(&server, "counted1");
    // The daemon looks for the keeper when it starts.
    let _keeper = Keeper::start(&machine);
    let address = http::free_address();
    machine.daemon = None;
    machine.start_with(&["--metrics-address", &address.to_string()]);
    let first = machine.add("counted", "c0").unwrap();
    machine.add("counted", "c1").unwrap();
    machine.del("counted", "c1");
    let state = |state: &str| format!(r#"plexus_ipam_addresses{{pool="counted",family="IPv4",state="{state}"}}"#);
    let log = || format!("{}\n{}", http::try_get(address, "/metrics").unwrap_or_default(), machine.log());
    wait_until(|| value(address, &state("cooling")) == Some(1.0), log);
    assert_eq!(value(address, &state("taken")), Some(1.0));
    // One block: eight addresses without network and gateway, or without the broadcast address.
    let [free, excluded] = ["free", "excluded"].map(|name| value(address, &state(name)).unwrap());
    assert_eq!(free + excluded, 6.0, "{}", log());
    assert_eq!(value(address, r#"plexus_ipam_blocks{pool="counted"}"#), Some(1.0));
    assert_eq!(value(address, "plexus_ipam_lost_addresses"), Some(0.0));
    assert!(value(address, "plexus_ipam_authority_age_seconds").is_some_and(|age| age < 3600.0));
    assert!(value(address, "plexus_ipam_lease_duration_seconds_count").is_some_and(|count| count >= 1.0));
    // Until nothing is left.
    while machine.add("counted", &format!("more{}", machine.files("counted").len())).is_ok() {}
    let exhausted = r#"plexus_ipam_exhausted_total{pool="counted"}"#;
    wait_until(|| value(address, exhausted).is_some_and(|count| count >= 1.0), log);
    // A person gives the block of a running pod to somebody else.
    let bare = first.split('/').next().unwrap().parse::<std::net::Ipv4Addr>().unwrap();
    let begin = std::net::Ipv4Addr::from(u32::from(bare) & !7);
    let name = format!("counted.{:08x}", u32::from(begin));
    machine.daemon = None;
    server.kubectl(&["annotate", "addressblock", &name, "ipam.plexus.dev/force=true"], None).unwrap();
    server.kubectl(&["delete", "addressblock", &name], None).unwrap();
    let spec = json!({"pool": "counted", "first": begin, "size": 8, "node": "thief", "lease": "t"});
    let labels = json!({"ipam.plexus.dev/pool": "counted"});
    let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": name, "labels": labels}, "spec": spec});
    apply(&server, &block.to_string());
    machine.start_with(&["--metrics-address", &address.to_string()]);
    let log = || format!("{}\n{}", http::try_get(address, "/metrics").unwrap_or_default(), machine.log());
    wait_until(|| value(address, "plexus_ipam_lost_addresses").is_some_and(|lost| lost >= 1.0), log);
}
