//! Which pods are on which networks over which links of which nodes, as a tree. Pure.

use crate::cni::NetworkConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands for a link that is not known: its network is broken or missing, or may not be read.
pub const UNKNOWN_LINK: &str = "(unknown link)";

/// One interface of a pod, and everything that it hangs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// The node; empty for this one.
    pub node: String,
    /// The bridge or master, or what stands for it.
    pub link: String,
    /// The network.
    pub network: String,
    /// `<namespace>/<name>`.
    pub pod: String,
    /// The interface in the pod.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What a person has to know of it; empty for nothing.
    pub note: String,
    /// It stands for a pod whose interfaces are not known.
    pub is_unread: bool,
}

/// A box of the picture, and the boxes below it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The addresses of an interface; absent for other boxes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// A remark about an interface, for example that the pod runs an older configuration of the network; absent for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The boxes below it; absent for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Branch>,
}

impl Branch {
    /// How many interfaces it is, or hang on it.
    pub fn interfaces(&self) -> usize {
        let below: usize = self.children.iter().map(Branch::interfaces).sum();
        below + usize::from(self.kind == Kind::Interface)
    }

    /// What is told beside its name.
    pub fn told(&self) -> String {
        let parts = [self.detail.as_str(), &self.note];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    fn of(kind: Kind, name: String, children: Vec<Branch>) -> Self {
        Branch { kind, name, detail: String::new(), note: String::new(), children }
    }
}

/// The kind of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A node.
    Node,
    /// A bridge or a master interface of it.
    Link,
    /// A network.
    Network,
    /// An interface of a pod.
    Interface,
    /// A pod whose annotation cannot be read: its interfaces are not known.
    Pod,
}

impl Kind {
    /// One for each column of the picture, in their order.
    pub const COLUMNS: [Kind; 4] = [Kind::Node, Kind::Link, Kind::Network, Kind::Interface];

    /// Its column in the picture.
    pub fn column(self) -> usize {
        match self {
            Kind::Node => 0,
            Kind::Link => 1,
            Kind::Network => 2,
            Kind::Interface | Kind::Pod => 3,
        }
    }

    /// The heading of that column.
    pub fn heading(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Link => "bridge or master",
            Kind::Network => "network",
            Kind::Interface | Kind::Pod => "pod and interface",
        }
    }
}

/// The tree of `leaves`, every level sorted.
pub fn tree(leaves: &[Leaf]) -> Vec<Branch> {
    let nodes = grouped(leaves, |leaf| leaf.node.clone());
    let of_network = |(name, leaves): (String, Vec<&Leaf>)| {
        let mut leaves = leaves;
        leaves.sort_by_cached_key(|leaf| (natural(&leaf.pod), natural(&leaf.interface)));
        Branch::of(Kind::Network, name, leaves.into_iter().map(interface).collect())
    };
    let of_link = |(name, leaves): (String, Vec<&Leaf>)| {
        let networks = grouped(leaves, |leaf| leaf.network.clone());
        Branch::of(Kind::Link, name, networks.into_iter().map(of_network).collect())
    };
    let of_node = |(name, leaves): (String, Vec<&Leaf>)| {
        let links = grouped(leaves, |leaf| leaf.link.clone());
        let name = if name.is_empty() { "this node".to_owned() } else { name };
        Branch::of(Kind::Node, name, links.into_iter().map(of_link).collect())
    };
    nodes.into_iter().map(of_node).collect()
}

fn grouped<'a>(
    leaves: impl IntoIterator<Item = &'a Leaf>,
    key: impl Fn(&Leaf) -> String,
) -> BTreeMap<String, Vec<&'a Leaf>> {
    let mut groups: BTreeMap<String, Vec<&Leaf>> = BTreeMap::new();
    for leaf in leaves {
        groups.entry(key(leaf)).or_default().push(leaf);
    }
    groups
}

/// A key by which web-9 is before web-10: parts of text, each with the number that follows it.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (letters, after) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (digits, after) = after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
        parts.push((letters.to_owned(), digits.parse().unwrap_or_default()));
        rest = after;
    }
    parts
}

fn interface(leaf: &Leaf) -> Branch {
    let kind = if leaf.is_unread { Kind::Pod } else { Kind::Interface };
    let branch = Branch::of(kind, name_of(&leaf.pod, &leaf.interface), Vec::new());
    Branch { detail: leaf.addresses.join(", "), note: leaf.note.clone(), ..branch }
}

/// The name of the box of `interface` of `pod`.
pub fn name_of(pod: &str, interface: &str) -> String {
    format!("{pod} {interface}").trim_end().to_owned()
}

/// The link of a node that `network` is made on, by its first plugin: a bridge, a master with its kind, or the type.
pub fn link_of(network: &NetworkConfig) -> String {
    let Some(plugin) = network.plugins.first() else { return UNKNOWN_LINK.to_owned() };
    let kind = plugin.kind.as_str();
    let text = |key: &str| plugin.object.read::<String>(key).ok().flatten().filter(|text| !text.is_empty());
    match kind {
        "bridge" | "ovs" => format!("bridge {}", text("bridge").unwrap_or_else(|| "cni0".to_owned())),
        "vlan" => {
            let id = plugin.object.read::<u32>("vlanId").ok().flatten().unwrap_or_default();
            format!("{} (vlan {id})", text("master").unwrap_or_else(|| "?".to_owned()))
        }
        "host-device" => text("device").map_or_else(|| kind.to_owned(), |device| format!("{device} (host-device)")),
        _ => match text("master") {
            Some(master) => format!("{master} ({kind})"),
            None => kind.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_configurations() {
        let table = [
            (r#"{"type":"bridge","bridge":"br1"}"#, "bridge br1"),
            (r#"{"type":"bridge"}"#, "bridge cni0"),
            (r#"{"type":"macvlan","master":"eth1"}"#, "eth1 (macvlan)"),
            (r#"{"type":"macvlan"}"#, "macvlan"),
            (r#"{"type":"vlan","master":"eth1","vlanId":5}"#, "eth1 (vlan 5)"),
            (r#"{"type":"host-device","device":"eth7"}"#, "eth7 (host-device)"),
            (r#"{"type":"ptp"}"#, "ptp"),
        ];
        for (config, expected) in table {
            assert_eq!(link_of(&NetworkConfig::parse(config, Some("n")).unwrap()), expected, "{config}");
        }
    }

    #[test]
    fn numbers_are_sorted_as_people_do() {
        let mut names = ["x/web-10", "x/web-9", "x/web", "w/web-11", "x/web-9b"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["w/web-11", "x/web", "x/web-9", "x/web-9b", "x/web-10"]);
    }

    #[test]
    fn leaves_make_a_sorted_tree() {
        let leaf = |node: &str, network: &str, pod: &str| Leaf {
            node: node.into(),
            link: "bridge b".into(),
            network: network.into(),
            pod: pod.into(),
            interface: "net1".into(),
            addresses: vec!["10.0.0.1".into()],
            ..Leaf::default()
        };
        let found =
            tree(&[leaf("n2", "a", "x/1"), leaf("n1", "b", "x/3"), leaf("n1", "a", "x/2"), leaf("n1", "a", "x/1")]);
        assert_eq!(found.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
        let networks = &found[0].children[0].children;
        assert_eq!(networks.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            networks[0].children.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["x/1 net1", "x/2 net1"]
        );
        assert_eq!(networks[0].children[0].detail, "10.0.0.1");
    }
}
