//! The schemas of all JSON documents that commands print.

use super::output::described::schema;
use super::{
    connectivity, describe, doctor, gc, get, health, ipam, lint, natives, plan, remote, status, topology, version, why,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// The schemas by the names of their files in `docs/reference/schemas`, without `.json`.
pub fn schemas() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        schema::<connectivity::Document<'_>>(),
        schema::<describe::Document>(),
        schema::<doctor::Document<'_>>(),
        schema::<gc::Document>(),
        schema::<get::Document>(),
        schema::<get::ClusterDocument>(),
        schema::<health::Document<'_>>(),
        schema::<ipam::CheckDocument>(),
        schema::<ipam::CheckClusterDocument>(),
        schema::<ipam::CheckNodesDocument>(),
        schema::<ipam::LeasesDocument>(),
        schema::<ipam::ShowDocument>(),
        schema::<ipam::ShowClusterDocument>(),
        schema::<ipam::WhoDocument>(),
        schema::<lint::Document<'_>>(),
        schema::<natives::Document>(),
        schema::<plan::Document>(),
        schema::<remote::answer::Document>(),
        schema::<status::Document<'_>>(),
        schema::<topology::Document<'_>>(),
        schema::<version::Document>(),
        schema::<why::Document<'_>>(),
    ])
}
