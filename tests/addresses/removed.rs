//! A node that is removed, with the real controller: its blocks come back, and never those of a node that lives.

use super::*;

/// The program `plexusd --address-controller` with a token of its account.
pub(super) struct Controller {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Controller {
    fn start(server: &ApiServer) -> Self {
        Controller::start_with(server, &[])
    }

    pub(super) fn start_with(server: &ApiServer, more: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusd"));
        command.env_clear().arg("--address-controller").arg("--kubeconfig").arg(controller_token(server));
        command.args(["--node-name", "controller", "--log-format", "text"]).args(more);
        command.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
        Controller { child: command.spawn().unwrap(), log }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn controller_token(server: &ApiServer) -> PathBuf {
    let words = ["-n", "kube-system", "create", "token", "plexus-address-controller"];
    server.kubeconfig_with_token(server.kubectl(&words, None).unwrap().trim()).unwrap()
}

/// The pool, in which a removed node is waited for `quarantine` seconds.
pub(super) fn put_pool_with(server: &ApiServer, name: &str, range: &str, quarantine: u64) {
    let (size, warm) = (json!({"v4": 4, "v6": 4}), json!({"min": 0, "max": 16}));
    let reclaim = json!({"quarantineSeconds": quarantine});
    put_pool(server, name, &json!({"blockSize": size, "ranges": [{"range": range}], "warm": warm, "reclaim": reclaim}));
}

pub(super) fn put_node(server: &ApiServer, name: &str) {
    apply(server, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).to_string());
}

pub(super) fn delete_node(server: &ApiServer, name: &str) {
    server.kubectl(&["delete", "node", name], None).unwrap();
}

/// What the AddressNode of `node` says; null where there is none.
pub(super) fn address_node(server: &ApiServer, node: &str) -> Value {
    let text = server.kubectl(&["get", "addressnode", node, "--ignore-not-found", "-o", "json"], None).unwrap();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

pub(super) fn is_revoked(server: &ApiServer, node: &str) -> bool {
    address_node(server, node)["spec"]["revokedAt"].as_str().is_some_and(|at| !at.is_empty())
}

fn of(server: &ApiServer, pool: &str, node: &str) -> BTreeSet<String> {
    blocks(server, pool).into_iter().filter(|(_, owner)| owner == node).map(|(first, _)| first).collect()
}

/// The other tests of this server have nodes without a Node.
pub(super) fn forget_others(server: &ApiServer) {
    for kind in ["addressblocks", "addressnodes"] {
        let _ = server.kubectl(&["annotate", kind, "--all", "--overwrite", "ipam.plexus.dev/force=true"], None);
        server.kubectl(&["delete", kind, "--all"], None).unwrap();
    }
}

#[test]
fn a_daemon_that_lives_objects_within_seconds() {
    // Case 13: the Node is gone, or was never there, and the daemon is alive.
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "alive", "10.20.0.0/24", 300);
    let machine = Machine::new(&server, "alive1");
    machine.add("alive", "c0").unwrap();
    wait_until(|| address_node(&server, "alive1")["metadata"]["uid"].is_string(), || machine.log());
    let before = address_node(&server, "alive1");
    let held = of(&server, "alive", "alive1");
    let controller = Controller::start(&server);
    let log = || format!("{}\n{}", controller.log(), machine.log());
    // The object says by its generation that the mark came and went.
    let written = || address_node(&server, "alive1")["metadata"]["generation"].as_i64().unwrap();
    let first = before["metadata"]["generation"].as_i64().unwrap();
    wait_until(|| written() >= first + 2 && !is_revoked(&server, "alive1"), log);
    assert!(machine.log().contains("objecting"), "{}", log());
    put_node(&server, "alive1");
    wait_until(|| !is_revoked(&server, "alive1"), log);
    assert_eq!(address_node(&server, "alive1")["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(of(&server, "alive", "alive1"), held);
    eventually("an address after the objection", || machine.add("alive", "c1").is_ok());
    delete_node(&server, "alive1");
}

#[test]
fn blocks_of_a_removed_node_are_free_after_the_quarantine() {
    // Cases 9, 11 and 15: two controllers, the API server restarts, and the machine comes back.
    let Some(mut server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "gone", "10.21.0.0/28", 10);
    ["gone1", "gone2"].into_iter().for_each(|node| put_node(&server, node));
    let (removed, other) = (Machine::new(&server, "gone1"), Machine::new(&server, "gone2"));
    let former = removed.add("gone", "c0").unwrap();
    other.add("gone", "c0").unwrap();
    let kept = of(&server, "gone", "gone2");
    let epoch = address_node(&server, "gone1")["metadata"]["uid"].clone();
    assert!(epoch.is_string());
    let controllers = [Controller::start(&server), Controller::start(&server)];
    let log = || controllers.iter().map(Controller::log).collect::<String>();
    // It hears nothing any more.
    removed.daemon.as_ref().unwrap().halt();
    // A person, or a thief of its token, has left a block without the label that names its node.
    let path = "jsonpath={.items[?(@.spec.node==\"gone1\")].metadata.name}";
    let names = server.kubectl(&["get", "addressblocks", "-o", path], None).unwrap();
    let name = names.split_whitespace().next().unwrap();
    server.kubectl(&["label", "addressblock", name, "ipam.plexus.dev/node-"], None).unwrap();
    delete_node(&server, "gone1");
    wait_until(|| is_revoked(&server, "gone1"), log);
    server.restart().unwrap();
    wait_within(LONG, || address_node(&server, "gone1").is_null(), log);
    assert_eq!(of(&server, "gone", "gone1"), BTreeSet::new(), "{}", log());
    assert_eq!(of(&server, "gone", "gone2"), kept, "{}", log());
    // Another node gets what it had.
    let mut taken = BTreeSet::new();
    while let Ok(address) = other.add("gone", &format!("t{}", taken.len())) {
        assert!(taken.insert(address));
    }
    assert!(taken.contains(&former), "{taken:?}");
    // The machine hears again: it gives nothing of what it had, and says that its pods may have such addresses.
    put_node(&server, "gone1");
    removed.daemon.as_ref().unwrap().signal("CONT");
    wait_until(
        || address_node(&server, "gone1")["metadata"]["uid"].as_str().is_some_and(|uid| json!(uid) != epoch),
        || format!("{}\n{}", log(), removed.log()),
    );
    let health = || removed.daemon.as_ref().unwrap().health().remarks.get("addresses").cloned().unwrap_or_default();
    wait_until(|| health().contains("other nodes hold blocks"), || removed.log());
    for turn in 0..8 {
        let again = removed.add("gone", &format!("z{turn}"));
        assert!(again.as_ref().map_or(true, |address| !taken.contains(address)), "{again:?}\n{}", removed.log());
    }
}

#[test]
fn a_node_that_is_back_within_the_quarantine_loses_nothing() {
    // Case 13: its daemon is away, so the controller takes the mark away.
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    put_pool_with(&server, "back", "10.22.0.0/24", 300);
    put_node(&server, "back1");
    let mut machine = Machine::new(&server, "back1");
    machine.add("back", "c0").unwrap();
    let held = of(&server, "back", "back1");
    let epoch = address_node(&server, "back1")["metadata"]["uid"].clone();
    machine.daemon = None;
    let controller = Controller::start(&server);
    delete_node(&server, "back1");
    wait_until(|| is_revoked(&server, "back1"), || controller.log());
    put_node(&server, "back1");
    wait_until(|| !is_revoked(&server, "back1"), || controller.log());
    // A person says that the machine is off.
    server.kubectl(&["taint", "node", "back1", "node.kubernetes.io/out-of-service=x:NoExecute"], None).unwrap();
    wait_until(|| is_revoked(&server, "back1"), || controller.log());
    machine.start();
    wait_until(|| machine.log().contains("objecting"), || machine.log());
    assert_eq!(address_node(&server, "back1")["metadata"]["uid"], epoch);
    assert_eq!(of(&server, "back", "back1"), held);
    delete_node(&server, "back1");
}

#[test]
fn a_block_of_a_former_release_keeps_working() {
    let Some(server) = server() else { return };
    put_pool_with(&server, "former", "10.23.0.0/29", 300);
    let machine = Machine::new(&server, "former1");
    let label = plexus::cluster::addresses::node_label("former1");
    let labels = json!({"ipam.plexus.dev/pool": "former", "ipam.plexus.dev/node": label});
    let spec = json!({"pool": "former", "first": "10.23.0.4", "size": 4, "node": "former1", "lease": "old-1"});
    let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "former.0a170004", "labels": labels}, "spec": spec});
    let kubeconfig = machine.kubeconfig.to_str().unwrap();
    server.kubectl(&["--kubeconfig", kubeconfig, "create", "-f", "-"], Some(&block.to_string())).unwrap();
    let address = machine.add("former", "c0").unwrap();
    assert!(
        ["10.23.0.4/29", "10.23.0.5/29", "10.23.0.6/29"].contains(&address.as_str()),
        "{address}\n{}",
        machine.log()
    );
    let text = server.kubectl(&["get", "addressblock", "former.0a170004", "-o", "json"], None).unwrap();
    let block: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(block["spec"]["epoch"], address_node(&server, "former1")["metadata"]["uid"]);
    assert_eq!(blocks(&server, "former").len(), 1);
}

#[test]
fn only_the_controller_says_that_a_node_was_removed() {
    // Case 27, P1
    let Some(server) = server_alone() else { return };
    forget_others(&server);
    let node_token = |node: &str| token(&server, node).to_str().unwrap().to_owned();
    let (own, other, controller) = (node_token("w1"), node_token("w2"), controller_token(&server));
    let controller = controller.to_str().unwrap();
    let object = |name: &str, revoked: &str, dead: bool| {
        let spec = json!({"revokedAt": revoked, "dead": dead});
        json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressNode", "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let as_one = |kubeconfig: &str, words: &[&str], body: &str| {
        server.kubectl(&[&["--kubeconfig", kubeconfig], words].concat(), Some(body))
    };
    let admin = server.kubeconfig().to_str().unwrap().to_owned();
    let (create, replace) = (&["create", "-f", "-"][..], &["replace", "-f", "-"][..]);
    let delete = &["delete", "addressnode", "w1"][..];
    let refused = |answer: Result<String, String>, why: &str| {
        let said = answer.expect_err("it was let through");
        assert!(said.contains(why), "{said}");
    };
    eventually("the policy to be in force", || {
        as_one(&own, &["create", "--dry-run=server", "-f", "-"], &object("w2", "", false)).is_err()
    });
    refused(as_one(&own, create, &object("w2", "", false)), "its own node");
    refused(as_one(&own, create, &object("w1", "now", false)), "its own node");
    refused(as_one(&own, create, &object("w1", "now", true)), "its own node");
    refused(as_one(controller, create, &object("w1", "", false)), "cannot create");
    as_one(&own, create, &object("w1", "", false)).unwrap();
    refused(as_one(&own, replace, &object("w1", "now", false)), "its own node");
    refused(as_one(&admin, replace, &object("w1", "now", false)), "only the controller");
    refused(as_one(controller, replace, &object("w1", "now", true)), "only a revoked node");
    as_one(controller, replace, &object("w1", "now", false)).unwrap();
    refused(as_one(&other, replace, &object("w1", "", false)), "its own node");
    as_one(&own, replace, &object("w1", "", false)).unwrap();
    as_one(controller, replace, &object("w1", "now", false)).unwrap();
    for who in [&own, &other] {
        refused(as_one(who, delete, ""), "cannot delete");
    }
    refused(as_one(controller, delete, ""), "is dead");
    refused(as_one(&admin, delete, ""), "ipam.plexus.dev/force");
    as_one(controller, replace, &object("w1", "now", true)).unwrap();
    refused(as_one(&own, replace, &object("w1", "", false)), "stays dead");
    refused(as_one(controller, replace, &object("w1", "now", false)), "stays dead");
    as_one(controller, delete, "").unwrap();
    // Blocks: the controller deletes those of others, and neither makes nor changes one.
    let spec = json!({"pool": "p", "first": "10.4.1.0", "size": 4, "node": "w1", "lease": "a", "epoch": "e"});
    let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "p.0a040100"}, "spec": spec}).to_string();
    as_one(&own, create, &block).unwrap();
    refused(as_one(controller, create, &block), "cannot create");
    refused(as_one(controller, replace, &block), "cannot");
    refused(as_one(&other, &["delete", "addressblock", "p.0a040100"], ""), "its own node");
    as_one(controller, &["delete", "addressblock", "p.0a040100"], "").unwrap();
}
