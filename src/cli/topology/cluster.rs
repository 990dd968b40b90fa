//! The picture of a cluster: the annotations of its pods, and the links of their networks.
//!
//! No annotation has the link of an interface. It is that of the network's configuration, unless that was changed since the
//! pod was created: then the records of the pod's node have it.

use crate::cli::Error;
use crate::cli::older::OLDER;
use crate::cli::output::Output;
use crate::cli::output::limit::{PHRASE, short};
use crate::cli::pods::label;
use crate::cli::pods::networks::{PodNetwork, PodNetworks, Standing};
use crate::cli::remote;
use crate::cli::topology::model::{Branch, Kind, Leaf, UNKNOWN_LINK, link_of, name_of};
use crate::cluster::{Inquiry, Scope, SeenPod, Unanswered};
use crate::cni::{NetworkConfig, json};
use crate::nad::{Definition, NadRef};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a node may take for its records.
const LIMIT: Duration = Duration::from_secs(20);
/// What is told of an interface whose node was not asked.
const DOUBT: &str = "may run an older configuration";

/// The networks of now.
#[derive(Debug, Default)]
struct Networks {
    links: BTreeMap<String, String>,
    /// When each was changed last.
    changed: BTreeMap<NadRef, u64>,
    /// All of them could be read: one that is missing does not exist.
    are_all: bool,
}

/// What a node has of an interface: its link, and a note.
type Recorded = BTreeMap<String, (String, String)>;

/// The interfaces of the pods of `scope`; without the default network unless it is wanted.
///
/// # Errors
/// The pods cannot be listed.
pub fn leaves(inquiry: &Inquiry, scope: &Scope, with_default: bool, output: &Output) -> Result<Vec<Leaf>, Error> {
    let pods = inquiry.pods(scope).map_err(|why| Error::unlisted(why, scope.namespace.as_ref()))?;
    let networks = networks(inquiry, scope, &pods, output);
    let (mut leaves, mut doubtful) = (Vec::new(), Vec::new());
    for pod in &pods {
        let found = PodNetworks::of(pod);
        if !found.are_several(pod) {
            continue;
        }
        leaves.extend(found.problem().map(|problem| unreadable(pod, &problem)));
        for one in found.networks.iter().filter(|one| with_default || !one.default) {
            if networks.is_doubtful(pod, one) {
                doubtful.push(leaves.len());
            }
            leaves.push(leaf(pod, one, &networks));
        }
    }
    let nodes: BTreeSet<String> =
        doubtful.iter().filter_map(|at| leaves.get(*at)).map(|one| one.node.clone()).collect();
    let recorded = ask(inquiry, &nodes, output);
    for at in doubtful {
        let leaf = &mut leaves[at];
        place(leaf, recorded.get(&leaf.node));
    }
    Ok(leaves)
}

impl Networks {
    /// Whether the link of `one` may be another one than its network has now.
    fn is_doubtful(&self, pod: &SeenPod, one: &PodNetwork) -> bool {
        if one.default || one.state != Standing::Attached || pod.node.is_none() {
            return false;
        }
        let nad = one.network.split_once('/').and_then(|(namespace, name)| NadRef::new(namespace, name).ok());
        match nad.and_then(|nad| self.changed.get(&nad)) {
            Some(changed) => pod.created.is_some_and(|created| *changed > created),
            None => self.are_all && !self.links.contains_key(&one.network),
        }
    }
}

fn node_of(pod: &SeenPod) -> String {
    pod.node.clone().unwrap_or_else(|| "(no node)".to_owned())
}

fn unreadable(pod: &SeenPod, problem: &str) -> Leaf {
    Leaf {
        node: node_of(pod),
        link: UNKNOWN_LINK.to_owned(),
        network: "(unreadable)".to_owned(),
        pod: label(pod),
        addresses: vec![short(problem, PHRASE)],
        is_unread: true,
        ..Leaf::default()
    }
}

fn leaf(pod: &SeenPod, one: &PodNetwork, networks: &Networks) -> Leaf {
    Leaf {
        node: node_of(pod),
        link: networks.links.get(&one.network).cloned().unwrap_or_else(|| UNKNOWN_LINK.to_owned()),
        network: one.network.clone(),
        pod: label(pod),
        interface: one.interface.clone().unwrap_or_default(),
        addresses: match one.state {
            Standing::Attached => one.addresses.clone(),
            Standing::Waiting => vec!["waiting".to_owned()],
            Standing::Missing => vec!["missing".to_owned()],
            Standing::HostNetwork => vec!["host network".to_owned()],
            Standing::Ended => vec!["ended".to_owned()],
        },
        ..Leaf::default()
    }
}

/// Puts `leaf` below the link that its node has recorded.
fn place(leaf: &mut Leaf, recorded: Option<&Recorded>) {
    match recorded.and_then(|recorded| recorded.get(&name_of(&leaf.pod, &leaf.interface))) {
        None => leaf.note = DOUBT.to_owned(),
        Some((link, note)) => {
            // A node of a former release has no note.
            let is_older = *link != leaf.link && leaf.link != UNKNOWN_LINK;
            leaf.note = if note.is_empty() && is_older { OLDER.to_owned() } else { note.clone() };
            leaf.link.clone_from(link);
        }
    }
}

/// What the records of `nodes` have. A node that cannot be asked is told, and missing.
fn ask(inquiry: &Inquiry, nodes: &BTreeSet<String>, output: &Output) -> BTreeMap<String, Recorded> {
    if nodes.is_empty() {
        return BTreeMap::new();
    }
    let plexus = match inquiry.daemons(None) {
        Ok(plexus) => plexus,
        Err(why) => {
            output.remark(format!("some interfaces {DOUBT}: no node was asked: {why}"));
            return BTreeMap::new();
        }
    };
    let targets: Vec<_> = nodes.iter().map(|node| remote::nodes::target(node, &plexus)).collect();
    let words = ["topology", "--output=json"].map(str::to_owned);
    let mut all = BTreeMap::new();
    for answer in remote::ask(inquiry, &targets, &words, LIMIT, output) {
        match answer.done().and_then(|done| json::parse_bytes::<Picture>(&done.stdout).map_err(|e| e.to_string())) {
            Ok(picture) => _ = all.insert(answer.node, recorded(&picture.nodes)),
            Err(why) => output.remark(format!("some interfaces on node {} {DOUBT}: {why}", answer.node)),
        }
    }
    all
}

/// What is read of the document that a node prints.
#[derive(Debug, Deserialize)]
struct Picture {
    nodes: Vec<Branch>,
}

/// The interfaces of a node's picture by their names, each with its link.
fn recorded(nodes: &[Branch]) -> Recorded {
    let links = nodes.iter().flat_map(|node| &node.children).filter(|branch| branch.kind == Kind::Link);
    let interfaces = links.flat_map(|link| {
        let below = link.children.iter().flat_map(|network| &network.children);
        below.map(|one| (one.name.clone(), (link.name.clone(), one.note.clone())))
    });
    interfaces.collect()
}

/// The networks of the picture. Who may read one namespace gets its networks, and those of others that pods use and may be
/// read. Without the right to read any, the picture has networks without links.
fn networks(inquiry: &Inquiry, scope: &Scope, pods: &[SeenPod], output: &Output) -> Networks {
    let mut unseen = None;
    let read = || Ok::<_, Unanswered>((inquiry.definitions_of(scope)?, inquiry.changes_of(scope)?));
    let (mut found, mut changed) = read().unwrap_or_else(|e| {
        unseen = Some(e);
        Default::default()
    });
    if let Some(namespace) = &scope.namespace {
        let used = pods.iter().flat_map(|pod| PodNetworks::of(pod).selected).map(|selected| selected.nad);
        let others: BTreeSet<NadRef> = used.filter(|nad| nad.namespace() != namespace).collect();
        for nad in others {
            match inquiry.definition(&nad).and_then(|one| Ok((one, inquiry.change(&nad)?))) {
                Ok((one, time)) => {
                    found.extend(one);
                    changed.extend(time.map(|time| (nad, time)));
                }
                Err(e) => unseen = unseen.or(Some(e)),
            }
        }
    }
    let link = |one: &Definition| {
        let config = NetworkConfig::parse(one.config.as_deref()?, Some(one.nad.name())).ok()?;
        Some((one.nad.to_string(), link_of(&config)))
    };
    let are_all = unseen.is_none();
    if let Some(why) = unseen {
        output.remark(format!("some bridges and masters are not shown: {why}"));
    }
    Networks { links: found.iter().filter_map(link).collect(), changed, are_all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::topology::model::tree;

    fn leaf(link: &str, note: &str) -> Leaf {
        Leaf {
            link: link.into(),
            network: "default/lan".into(),
            pod: "default/web".into(),
            interface: "net1".into(),
            note: note.into(),
            ..Leaf::default()
        }
    }

    #[test]
    fn an_interface_hangs_on_the_link_of_its_record() {
        let placed = |today: &str, recorded: Option<&Recorded>| {
            let mut leaf = leaf(today, "");
            place(&mut leaf, recorded);
            (leaf.link, leaf.note)
        };
        let of_node = |leaf: Leaf| {
            let document = serde_json::to_string(&tree(&[leaf])).unwrap();
            recorded(&json::parse::<Vec<Branch>>(&document).unwrap())
        };
        let expected = |link: &str, note: &str| (link.to_owned(), note.to_owned());
        let older = of_node(leaf("eth0 (macvlan)", OLDER));
        assert_eq!(placed("eth1 (macvlan)", Some(&older)), expected("eth0 (macvlan)", OLDER));
        let former_release = of_node(leaf("eth0 (macvlan)", ""));
        assert_eq!(placed("eth1 (macvlan)", Some(&former_release)), expected("eth0 (macvlan)", OLDER));
        // The network was changed before the pod started, or there is none any more.
        assert_eq!(placed("eth0 (macvlan)", Some(&former_release)), expected("eth0 (macvlan)", ""));
        assert_eq!(placed(UNKNOWN_LINK, Some(&former_release)), expected("eth0 (macvlan)", ""));
        assert_eq!(placed("eth1 (macvlan)", None), expected("eth1 (macvlan)", DOUBT));
        assert_eq!(placed("eth1 (macvlan)", Some(&Recorded::new())), expected("eth1 (macvlan)", DOUBT));
    }

    #[test]
    fn a_pod_whose_annotation_cannot_be_read_is_no_interface() {
        let pod = SeenPod { namespace: "default".into(), name: "web".into(), ..SeenPod::default() };
        let nodes = tree(&[unreadable(&pod, "it ends too early")]);
        let of_pod = &nodes[0].children[0];
        assert_eq!((of_pod.name.as_str(), of_pod.interfaces()), (UNKNOWN_LINK, 0), "{nodes:?}");
    }

    #[test]
    fn a_node_is_asked_where_a_network_was_changed_after_the_pod_was_created() {
        let nad = NadRef::new("default", "lan").unwrap();
        let links = BTreeMap::from([(nad.to_string(), "eth1 (macvlan)".to_owned())]);
        let networks = |changed| Networks {
            links: links.clone(),
            changed: BTreeMap::from([(nad.clone(), changed)]),
            are_all: true,
        };
        let annotation =
            r#"[{"name":"cbr0","interface":"eth0","default":true},{"name":"default/lan","interface":"net1"}]"#;
        let pod = SeenPod {
            namespace: "default".into(),
            name: "web".into(),
            node: Some("n1".into()),
            created: Some(100),
            networks: Some("lan".into()),
            status: Some(annotation.into()),
            phase: "Running".into(),
            ..SeenPod::default()
        };
        let found = PodNetworks::of(&pod);
        let doubts = |networks: &Networks| -> Vec<bool> {
            found.networks.iter().map(|one| networks.is_doubtful(&pod, one)).collect()
        };
        assert_eq!(doubts(&networks(100)), [false, false]);
        assert_eq!(doubts(&networks(101)), [false, true]);
        assert_eq!(doubts(&Networks { are_all: true, ..Networks::default() }), [false, true], "it was deleted");
        assert_eq!(doubts(&Networks::default()), [false, false], "nobody may read it");
    }
}
