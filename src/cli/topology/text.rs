//! The tree as text: for a terminal, for Mermaid and for Graphviz. Pure.

use crate::cli::topology::model::{Branch, Kind};
use crate::sys::printable;

/// Lines as of `tree`.
pub fn lines(nodes: &[Branch]) -> String {
    let mut text = String::new();
    for node in nodes {
        text.push_str(&format!("{}\n", label(node)));
        below(&node.children, "", &mut text);
    }
    text
}

fn below(children: &[Branch], before: &str, text: &mut String) {
    for (at, child) in children.iter().enumerate() {
        let is_last = at + 1 == children.len();
        let (elbow, bar) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        text.push_str(&format!("{before}{elbow}{}\n", label(child)));
        below(&child.children, &format!("{before}{bar}"), text);
    }
}

fn label(branch: &Branch) -> String {
    let name = printable::line(&branch.name);
    let told = branch.told();
    if told.is_empty() { name } else { format!("{name}  {}", printable::line(&told)) }
}

/// A flowchart of Mermaid, which GitHub and many wikis show.
pub fn mermaid(nodes: &[Branch]) -> String {
    let mut text = "flowchart LR\n".to_owned();
    numbered(nodes, &mut |number, parent, branch| {
        // A quotation mark would end the label.
        let label = label(branch).replace('"', "#quot;").replace(['<', '>'], " ");
        let (open, close) = match branch.kind {
            Kind::Node => ("[[\"", "\"]]"),
            Kind::Link => ("{{\"", "\"}}"),
            Kind::Network => ("([\"", "\"])"),
            Kind::Interface | Kind::Pod => ("[\"", "\"]"),
        };
        text.push_str(&format!("  n{number}{open}{label}{close}\n"));
        if let Some(parent) = parent {
            text.push_str(&format!("  n{parent} --- n{number}\n"));
        }
    });
    text
}

/// A graph of Graphviz.
pub fn dot(nodes: &[Branch]) -> String {
    let mut text = "graph plexus {\n  rankdir=LR;\n  node [fontname=\"sans-serif\" fontsize=11];\n".to_owned();
    numbered(nodes, &mut |number, parent, branch| {
        let label = label(branch).replace('\\', "\\\\").replace('"', "\\\"");
        let shape = match branch.kind {
            Kind::Node => "box3d",
            Kind::Link => "hexagon",
            Kind::Network => "ellipse",
            Kind::Interface | Kind::Pod => "box",
        };
        text.push_str(&format!("  n{number} [shape={shape} label=\"{label}\"];\n"));
        if let Some(parent) = parent {
            text.push_str(&format!("  n{parent} -- n{number};\n"));
        }
    });
    text.push_str("}\n");
    text
}

/// Calls `visit` for every box with its number and that of the one it hangs on.
fn numbered(nodes: &[Branch], visit: &mut dyn FnMut(usize, Option<usize>, &Branch)) {
    fn walk(
        branches: &[Branch],
        parent: Option<usize>,
        next: &mut usize,
        visit: &mut dyn FnMut(usize, Option<usize>, &Branch),
    ) {
        for branch in branches {
            let number = *next;
            *next += 1;
            visit(number, parent, branch);
            walk(&branch.children, Some(number), next, visit);
        }
    }
    walk(nodes, None, &mut 0, visit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::topology::model::{Leaf, tree};

    fn example() -> Vec<Branch> {
        let leaf = |pod: &str, network: &str| Leaf {
            node: "n1".into(),
            link: "bridge br1".into(),
            network: network.into(),
            pod: pod.into(),
            interface: "net1".into(),
            addresses: vec!["10.0.0.1".into()],
            ..Leaf::default()
        };
        tree(&[leaf("x/\"a\"", "x/lan"), leaf("x/b", "x/lan"), leaf("x/c", "x/wan")])
    }

    #[test]
    fn the_tree_is_drawn() {
        let expected = "\
n1
└── bridge br1
    ├── x/lan
    │   ├── x/\"a\" net1  10.0.0.1
    │   └── x/b net1  10.0.0.1
    └── x/wan
        └── x/c net1  10.0.0.1
";
        assert_eq!(lines(&example()), expected);
    }

    #[test]
    fn labels_end_no_string() {
        let mermaid = mermaid(&example());
        assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains("x/#quot;a#quot; net1"), "{mermaid}");
        assert!(mermaid.contains("  n0 --- n1\n"), "{mermaid}");
        let dot = dot(&example());
        assert!(dot.contains(r#"label="x/\"a\" net1  10.0.0.1""#) && dot.ends_with("}\n"), "{dot}");
    }
}
