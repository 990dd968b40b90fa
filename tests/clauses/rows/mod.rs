//! The rows, by subject.

mod addresses;
mod calls;
mod default_network;
mod default_routes;
mod definitions;
mod devices;
mod failures;
mod json_form;
mod lists;
mod node;
mod offers;
mod short_form;
mod status;
mod verbs;

use super::row::Row;

/// Every topic: its name in the table, and its rows.
pub fn topics() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("The short form of the annotation", short_form::rows()),
        ("The JSON form", json_form::rows()),
        ("The default network and the namespaces", default_network::rows()),
        ("Network attachment definitions", definitions::rows()),
        ("What a delegate is handed", calls::rows()),
        ("What is offered by capability", offers::rows()),
        ("Devices", devices::rows()),
        ("Lists of plugins", lists::rows()),
        ("Addresses", addresses::rows()),
        ("Default routes", default_routes::rows()),
        ("Configurations, variables and records on the node", node::rows()),
        ("The network status", status::rows()),
        ("Failures, and deleting", failures::rows()),
        ("CHECK, STATUS and GC", verbs::rows()),
    ]
}
