//! The table of rules, by subject.

/// The manifest of a network: name, namespace (`default` if there is none), configuration.
macro_rules! nad {
    ($name:literal, $config:literal) => {
        nad!($name, "default", $config)
    };
    ($name:literal, $namespace:literal, $config:literal) => {
        concat!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: { name: ",
            $name,
            ", namespace: ",
            $namespace,
            " }\nspec:\n  config: '",
            $config,
            "'\n---\n"
        )
    };
}

/// The manifest of a pod: its annotation, and the begin of its specification.
macro_rules! pod {
    ($annotation:literal) => {
        pod!($annotation, "")
    };
    ($annotation:literal, $begin:literal) => {
        concat!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: '",
            $annotation,
            "'\nspec: { ",
            $begin,
            "containers: [] }\n"
        )
    };
}

mod addresses;
mod cluster;
mod keys;
mod lists;
mod measures;
mod passed_over;
mod pods;
mod pools;
mod requests;
mod services;
mod shape;
mod values;

use super::rule::Rule;

/// Every rule, in the order of the IDs.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let tables = [
        shape::RULES,
        keys::RULES,
        values::RULES,
        addresses::RULES,
        pods::RULES,
        pools::RULES,
        requests::RULES,
        services::RULES,
        cluster::RULES,
        passed_over::RULES,
        lists::RULES,
        measures::RULES,
    ];
    let mut rules: Vec<&'static Rule> = tables.into_iter().flatten().collect();
    rules.sort_by_key(|rule| rule.id);
    rules.into_iter()
}
