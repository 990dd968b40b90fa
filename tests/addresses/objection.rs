//! The daemon objects in the moment in which the controller says that its node is dead.

use super::*;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use plexus::cluster::addresses::{AddressNode, AddressNodeSpec};
use plexus::cluster::configuration;
use std::path::Path;

/// So many nodes at a time.
const NODES: usize = 4;
const REVOKED: &str = "2026-01-01T00:00:00Z";

/// Both sides of one node, each with its own token.
struct Sides {
    name: String,
    daemon: Api<AddressNode>,
    controller: Api<AddressNode>,
}

async fn api(kubeconfig: &Path) -> Api<AddressNode> {
    Api::all(kube::Client::try_from(configuration(Some(kubeconfig)).await.unwrap()).unwrap())
}

/// `seen` as it is to be.
fn changed(seen: &AddressNode, revoked: &str, dead: bool) -> AddressNode {
    AddressNode { spec: AddressNodeSpec { revoked_at: revoked.to_owned(), dead }, ..seen.clone() }
}

impl Sides {
    /// Both write the version in which the node is revoked. Answers whether it is dead then.
    async fn meet(&self, is_first: bool) -> bool {
        let Sides { name, daemon, controller } = self;
        let new = PostParams::default();
        let seen = match daemon.get_opt(name).await.unwrap() {
            Some(seen) => seen,
            None => daemon.create(&new, &AddressNode::new(name, AddressNodeSpec::default())).await.unwrap(),
        };
        let revoked = controller.replace(name, &new, &changed(&seen, REVOKED, false)).await.unwrap();
        let (objection, burial) = (changed(&revoked, "", false), changed(&revoked, REVOKED, true));
        let (objects, buries) = (daemon.replace(name, &new, &objection), controller.replace(name, &new, &burial));
        // Both are on their way at the same time; whose request is sent first takes turns.
        let (objected, buried) = if is_first {
            tokio::join!(objects, buries)
        } else {
            let (buried, objected) = tokio::join!(buries, objects);
            (objected, buried)
        };
        let (lost, is_dead) = match (objected, buried) {
            (Ok(_), Err(lost)) => (lost, false),
            (Err(lost), Ok(_)) => (lost, true),
            other => panic!("exactly one of both is written: {other:?}"),
        };
        assert!(matches!(&lost, kube::Error::Api(status) if status.code == 409), "{lost}");
        let now = daemon.get(name).await.unwrap().spec;
        assert_eq!((now.dead, now.revoked_at.is_empty()), (is_dead, !is_dead), "{now:?}");
        if is_dead {
            controller.delete(name, &DeleteParams::default()).await.unwrap();
        }
        is_dead
    }
}

/// `PLEXUS_IPAM_OBJECTIONS=10000` is the number that the design asks for.
#[test]
fn of_an_objection_and_a_burial_exactly_one_is_written() {
    // Case 14
    let Some(server) = server() else { return };
    let turns = std::env::var("PLEXUS_IPAM_OBJECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let controller = removed::controller_token(&server);
    let names: Vec<String> = (0..NODES).map(|node| format!("objection{node}")).collect();
    let tokens: Vec<PathBuf> = names.iter().map(|name| token(&server, name)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcomes: Vec<bool> = runtime.block_on(async {
        let of_node = |at: usize| {
            let (name, token, controller) = (names[at].clone(), &tokens[at], &controller);
            async move {
                let sides = Sides { name, daemon: api(token).await, controller: api(controller).await };
                let mut outcomes = Vec::new();
                for turn in 0..turns / NODES {
                    outcomes.push(sides.meet(turn % 2 == 0).await);
                }
                outcomes
            }
        };
        futures::future::join_all((0..NODES).map(of_node)).await.concat()
    });
    let dead = outcomes.iter().filter(|is_dead| **is_dead).count();
    support::say(&format!("{} times at the same moment: {dead} nodes were dead, and the others lived", outcomes.len()));
    assert!(0 < dead && dead < outcomes.len(), "one side always wins: {dead} of {}", outcomes.len());
}
