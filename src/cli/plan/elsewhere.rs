//! What a plan does not know without a look at the node, and the commands that look. Pure.

use super::document::PodPlan;

/// What a node is looked at for.
const LOOKS: &str = "programs, masters, bridges and directories";

/// One line about plans that were made without a look at the node; none where there is no such plan.
pub fn remark(plans: &[PodPlan]) -> Option<String> {
    let first = plans.iter().find(|plan| !plan.preflight)?;
    let Some(node) = &first.node else {
        return Some(format!("This machine was not looked at: {LOOKS} are checked on the node, with --on-node."));
    };
    let is_other = |plan: &&PodPlan| !plan.preflight && plan.node.as_ref() != Some(node);
    let others = if plans.iter().any(|plan| is_other(&plan)) { " (and others)" } else { "" };
    let there = format!("`plexusctl plan {} --on-node --kubeconfig <file>` there as root", first.pod);
    let here = format!("`plexusctl doctor --node {node}` from here");
    Some(format!(
        "Node {node}{others} was not looked at: {LOOKS}. Run {there}, or {here} for the networks of its pods."
    ))
}

/// One line about an AddressPool that was not looked at; none where there is none.
pub fn remark_on_pools(plans: &[PodPlan]) -> Option<String> {
    let unseen = plans.iter().find_map(|plan| plan.unseen_pool.as_ref())?;
    Some(format!("{unseen}. Whether it gives the pod an address is not known."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::default_route::DefaultRoutes;

    fn plan(pod: &str, node: Option<&str>, preflight: bool) -> PodPlan {
        PodPlan {
            pod: pod.into(),
            kind: "Pod".into(),
            node: node.map(str::to_owned),
            preflight,
            refused: None,
            networks: Vec::new(),
            default_route: DefaultRoutes::default(),
            remarks: Vec::new(),
            unseen_pool: None,
        }
    }

    #[test]
    fn the_node_that_was_not_looked_at_is_named() {
        assert_eq!(remark(&[]), None);
        assert_eq!(remark(&[plan("a/b", Some("n1"), true)]), None);
        let text = remark(&[plan("a/x", Some("n9"), true), plan("a/b", Some("n1"), false)]).unwrap();
        assert!(text.starts_with("Node n1 was not looked at: programs"), "{text}");
        assert!(
            text.contains("`plexusctl plan a/b --on-node") && text.contains("`plexusctl doctor --node n1`"),
            "{text}"
        );
        let text = remark(&[plan("a/b", Some("n1"), false), plan("a/c", Some("n2"), false)]).unwrap();
        assert!(text.starts_with("Node n1 (and others) was"), "{text}");
        let text = remark(&[plan("a/b", None, false)]).unwrap();
        assert!(text.starts_with("This machine was not looked at"), "{text}");
    }
}
