//! What is seen of addresses: the metrics of a node, and those of the controller.

use super::*;
use removed::{Controller, address_node, controller_token, delete_node, forget_others, put_node, put_pool_with};
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
        let keeper = Keeper(command.stderr(Stdio::null()).spawn().unwrap());
        // The daemon looks for the folder of its report when it starts.
        eventually("the keeper to look", || machine.path("run/keeper/state.json").exists());
        keeper
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

/// The pool as the API server has it.
fn pool(server: &ApiServer, name: &str) -> Value {
    let text = server.kubectl(&["get", "addresspool", name, "-o", "json"], None).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Status and reason of a condition of the pool.
fn condition(server: &ApiServer, name: &str, kind: &str) -> (String, String) {
    let pool = pool(server, name);
    let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// The reasons of the events about the object `name`, with their notes.
pub(super) fn events(server: &ApiServer, name: &str) -> BTreeMap<String, String> {
    let text = server.kubectl(&["get", "events.events.k8s.io", "-n", "default", "-o", "json"], None).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let events = list["items"].as_array().unwrap().iter().filter(|event| event["regarding"]["name"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
}

fn condition_is(server: &ApiServer, name: &str, kind: &str, status: &str, reason: &str, log: impl Fn() -> String) {
    let wanted = (status.to_owned(), reason.to_owned());
    wait_until(|| condition(server, name, kind) == wanted, || format!("{}\n{}", pool(server, name), log()));
}

#[test]
fn the_controller_shows_what_is_leased_and_what_is_wrong() {
    // Case 43
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "shown", "10.31.0.0/29", 300);
    let address = http::free_address();
    let controller = Controller::start_with(&server, &["--metrics-address", &address.to_string()]);
    let log = || format!("{}\n{}", controller.log(), http::try_get(address, "/metrics").unwrap_or_default());
    condition_is(&server, "shown", "Accepted", "True", "Valid", log);
    assert!(http::get(address, "/healthz").starts_with("HTTP/1.1 200"));
    wait_until(|| http::get(address, "/readyz").starts_with("HTTP/1.1 200"), log);
    put_node(&server, "shown1");
    let machine = Machine::new(&server, "shown1");
    let labels = r#"{pool="shown",family="IPv4"}"#;
    let [capacity, leased] = ["capacity", "leased"].map(|name| format!("plexus_ipam_pool_{name}{labels}"));
    wait_until(|| value(address, &capacity) == Some(6.0) && value(address, &leased) == Some(0.0), log);
    while machine.add("shown", &format!("c{}", machine.files("shown").len())).is_ok() {}
    condition_is(&server, "shown", "Exhausted", "True", "NoFreeBlock", log);
    wait_until(|| value(address, &leased) == Some(6.0), log);
    let status = pool(&server, "shown")["status"].clone();
    assert_eq!(
        (&status["use"], &status["blocks"], &status["nodes"]),
        (&json!("6/6"), &json!(2), &json!(1)),
        "{status}"
    );
    let table = server.kubectl(&["get", "addresspool", "shown"], None).unwrap();
    let words: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words[..6], ["shown", "10.31.0.0/29", "6/6", "2", "1", "False"], "{table}");
    // A pool that came later has some of its addresses.
    put_pool(&server, "late", &json!({"ranges": [{"range": "10.31.0.0/24"}]}));
    condition_is(&server, "late", "Overlaps", "True", "OlderPool", log);
    condition_is(&server, "shown", "Overlaps", "True", "YoungerPool", log);
    wait_until(|| events(&server, "late").get("PoolOverlaps").is_some_and(|note| note.contains("pool shown")), log);
    assert!(events(&server, "shown").contains_key("PoolExhausted"));
    delete_pool(&server, "late");
    condition_is(&server, "shown", "Overlaps", "False", "NoSharedAddress", log);
    // What makes no sense is said there, too.
    put_pool(&server, "senseless", &json!({"ranges": [{"range": "10.5.0.1/24"}]}));
    condition_is(&server, "senseless", "Accepted", "False", "Invalid", log);
    // Nothing changes, and nothing is written.
    let version = || pool(&server, "senseless")["metadata"]["resourceVersion"].clone();
    let before = version();
    machine.del("shown", "c0");
    wait_until(|| value(address, &leased) == Some(6.0) && version() == before, log);
    delete_node(&server, "shown1");
    ["shown", "senseless"].into_iter().for_each(|name| delete_pool(&server, name));
}

/// Deletes the pool, also where nodes lease blocks of it.
fn delete_pool(server: &ApiServer, name: &str) {
    server.kubectl(&["annotate", "addresspool", name, "ipam.plexus.dev/force=true"], None).unwrap();
    server.kubectl(&["delete", "addresspool", name], None).unwrap();
}

#[test]
fn a_pool_in_use_is_not_deleted() {
    // Case 43
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    let put = |draining: bool| {
        let ranges = json!([{"range": "10.35.0.0/28", "draining": draining}]);
        let size = json!({"v4": 4, "v6": 4});
        put_pool(&server, "held", &json!({"blockSize": size, "ranges": ranges, "warm": {"min": 1, "max": 16}}));
    };
    put(false);
    put_node(&server, "held1");
    let machine = Machine::new(&server, "held1");
    let _keeper = scarce::Keeper::start(&machine);
    let controller = Controller::start_with(&server, &[]);
    let log = || format!("{}\n{}\n{}", pool(&server, "held"), controller.log(), machine.log());
    machine.add("held", "c0").unwrap_or_else(|e| panic!("{e}\n{}", log()));
    let delete = |how: &[&str]| server.kubectl(&[&["delete", "addresspool", "held"], how].concat(), None);
    let refusal = || delete(&["--dry-run=server"]).err().unwrap_or_default();
    wait_until(|| refusal().contains("`draining`"), log);
    // By force it can be done, and without its pods.
    server.kubectl(&["annotate", "addresspool", "held", "ipam.plexus.dev/force=true"], None).unwrap();
    assert_eq!(refusal(), "");
    server.kubectl(&["annotate", "addresspool", "held", "ipam.plexus.dev/force-"], None).unwrap();
    assert!(delete(&[]).unwrap_err().contains("`draining`"));
    put(true);
    ranges::confirm(&machine, "held");
    machine.del("held", "c0");
    wait_until(|| delete(&[]).is_ok(), log);
    assert_eq!(blocks(&server, "held"), BTreeMap::new());
    delete_node(&server, "held1");
}

#[test]
fn a_removed_node_is_seen_until_its_blocks_are_free() {
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "left", "10.32.0.0/28", 10);
    put_node(&server, "left1");
    let mut machine = Machine::new(&server, "left1");
    machine.add("left", "c0").unwrap();
    wait_until(|| address_node(&server, "left1")["metadata"]["uid"].is_string(), || machine.log());
    let address = http::free_address();
    let controller = Controller::start_with(&server, &["--metrics-address", &address.to_string()]);
    let log = || format!("{}\n{}", controller.log(), http::try_get(address, "/metrics").unwrap_or_default());
    wait_until(|| value(address, "plexus_ipam_revoking") == Some(0.0), log);
    // Its daemon lives.
    delete_node(&server, "left1");
    wait_until(|| events(&server, "left1").contains_key("RevocationObjected"), log);
    let told = events(&server, "left1");
    assert!(told["NodeRevoked"].contains("are freed in 10 s"), "{told:?}");
    wait_until(|| value(address, "plexus_ipam_revoking") == Some(1.0), log);
    assert_eq!(value(address, "plexus_ipam_objections_total"), Some(1.0), "{}", log());
    // And then it does not. A new controller does not wait before it marks the node.
    machine.daemon = None;
    drop(controller);
    let controller = Controller::start_with(&server, &["--metrics-address", &address.to_string()]);
    let log = || format!("{}\n{}", controller.log(), http::try_get(address, "/metrics").unwrap_or_default());
    wait_until(|| address_node(&server, "left1")["spec"]["dead"] == json!(true), log);
    wait_until(|| value(address, "plexus_ipam_nodes_freed_total") == Some(1.0), log);
    wait_until(|| events(&server, "left1").contains_key("BlocksFreed"), log);
    wait_until(|| value(address, "plexus_ipam_revoking") == Some(0.0), log);
    // A block whose AddressNode is gone.
    let spec = json!({"pool": "left", "first": "10.32.0.0", "size": 4, "node": "nobody", "lease": "a"});
    let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "left.0a200000"}, "spec": spec});
    apply(&server, &block.to_string());
    drop(controller);
    let controller = Controller::start_with(&server, &["--metrics-address", &address.to_string()]);
    let log = || format!("{}\n{}", controller.log(), http::try_get(address, "/metrics").unwrap_or_default());
    wait_until(|| value(address, "plexus_ipam_orphan_blocks") == Some(1.0), log);
    forget_others(&server);
    delete_pool(&server, "left");
}

#[test]
fn only_the_controller_writes_the_status_of_a_pool_and_events_about_it() {
    // Case 27, P1
    let Some(server) = server() else { return };
    put_pool_with(&server, "written", "10.33.0.0/28", 10);
    let own = token(&server, "written1").to_str().unwrap().to_owned();
    let controller = controller_token(&server).to_str().unwrap().to_owned();
    let status = |kubeconfig: &str, text: &str| {
        let mut pool = pool(&server, "written");
        pool["status"] = json!({"use": text});
        server.kubectl(
            &["--kubeconfig", kubeconfig, "replace", "--subresource=status", "-f", "-"],
            Some(&pool.to_string()),
        )
    };
    let refused = |answer: Result<String, String>, why: &str| {
        let said = answer.expect_err("it was let through");
        assert!(said.contains(why), "{said}");
    };
    refused(status(&own, "a"), "cannot update");
    status(&controller, "c").unwrap();
    assert_eq!(pool(&server, "written")["status"]["use"], "c");
    // And nothing else of it.
    let spec = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "written"}, "spec": {"ranges": []}});
    refused(
        server.kubectl(&["--kubeconfig", &controller, "replace", "-f", "-"], Some(&spec.to_string())),
        "cannot update",
    );
    let event = |kind: &str, note: &str| {
        let regarding = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": kind, "name": "written", "uid": "u"});
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": format!("written.{}", note.len()), "namespace": "default"},
            "regarding": regarding, "type": "Warning", "reason": "PoolOverlaps", "action": "Reclaim", "note": note, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "plexus", "reportingInstance": "c"});
        server.kubectl(&["--kubeconfig", &controller, "create", "-f", "-"], Some(&event.to_string()))
    };
    eventually("the policy to be in force", || event("Secret", "x").is_err());
    refused(event("Secret", "x"), "AddressPools and AddressNodes");
    refused(event("AddressPool", "a\u{1b}[31m"), "control or format");
    event("AddressPool", "good").unwrap();
    server.kubectl(&["delete", "addresspool", "written"], None).unwrap();
}

/// What `plexusctl ipam <words>` prints on a workstation with this kubeconfig, where no state directory exists.
fn from_afar(server: &ApiServer, words: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
    let output = command.arg("ipam").args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_workstation_sees_the_pools_of_the_cluster() {
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "afar", "10.34.0.0/28", 300);
    let machines = [Machine::new(&server, "afar1"), Machine::new(&server, "afar2")];
    for machine in &machines {
        put_node(&server, &machine.name);
        machine.add("afar", "c0").unwrap();
    }
    let document = |words: &[&str], code| -> Value {
        serde_json::from_str(&from_afar(&server, &[words, &["-o", "json"]].concat(), code)).unwrap()
    };
    let shown = &document(&["show", "afar"], 0)["pools"][0];
    assert_eq!(shown["nodes"].as_array().unwrap().len(), 2, "{shown}");
    let family = &shown["families"][0];
    let [capacity, leased, free] = ["capacity", "leased", "free"].map(|key| family[key].as_u64().unwrap());
    assert!(capacity == 14 && leased + free == 14 && (6..=8).contains(&leased), "{shown}");
    let table = from_afar(&server, &["show", "afar"], 0);
    assert!(table.contains("10.34.0.0/28") && table.contains("afar1") && table.contains("ok"), "{table}");
    assert!(from_afar(&server, &["show", "none"], 1).contains("the cluster has no pool none"));
    assert_eq!(document(&["check", "afar"], 0)["problems"], json!([]));
    // What a person breaks is found.
    let spec = json!({"pool": "afar", "first": "10.34.0.2", "size": 2, "node": "nobody", "lease": "a"});
    let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "afar.0a220002"}, "spec": spec});
    apply(&server, &block.to_string());
    let outside = json!({"pool": "afar", "first": "10.44.0.0", "size": 4, "node": "afar1", "lease": "a"});
    let outside = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "afar.0a2c0000"}, "spec": outside});
    apply(&server, &outside.to_string());
    let problems = document(&["check", "afar"], 3)["problems"].clone();
    let rules: BTreeSet<&str> =
        problems.as_array().unwrap().iter().map(|problem| problem["rule"].as_str().unwrap()).collect();
    assert!(rules.contains("orphan") && rules.contains("range"), "{problems}");
    let first = blocks(&server, "afar").into_keys().any(|first| first == "10.34.0.0");
    assert_eq!(rules.contains("twice"), first, "{problems}");
    delete_node(&server, "afar2");
    let told = from_afar(&server, &["check", "afar"], 3);
    assert!(told.contains("not marked as removed: afar2"), "{told}");
    delete_node(&server, "afar1");
    forget_others(&server);
    delete_pool(&server, "afar");
}
