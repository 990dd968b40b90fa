//! What drivers say of their devices, for dynamic resource allocation.

use crate::cluster::kubernetes::claims::Allocated;
use crate::cluster::kubernetes::object::{resource, without_managed_fields};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::resource::v1::ResourceSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Under this name a driver publishes what CNI plugins know a device by.
const DEVICE_ID: &str = "k8s.cni.cncf.io/deviceID";
/// Under this name it publishes the resource that networks ask for.
const RESOURCE_NAME: &str = "k8s.cni.cncf.io/resourceName";

/// A ResourceSlice: devices of one pool of a driver.
#[derive(Clone, Debug, Deserialize)]
pub struct SliceObject {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SliceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SliceSpec {
    driver: String,
    pool: Pool,
    devices: Vec<Device>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
    generation: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    name: String,
    attributes: BTreeMap<String, Attribute>,
}

/// Numbers, versions and the like are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Attribute {
    string: Option<String>,
}

/// What a driver says of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// What CNI plugins know it by; none for a device that is no network's.
    pub id: Option<String>,
    /// The resource that networks ask for.
    pub resource: Option<String>,
}

/// What the newest of `slices` that has the device says of it; `None` when none has it.
pub fn describe(slices: &[SliceObject], allocated: &Allocated) -> Option<Described> {
    let of_pool =
        slices.iter().filter(|slice| slice.spec.driver == allocated.driver && slice.spec.pool.name == allocated.pool);
    let with_device = of_pool.filter_map(|slice| {
        Some((slice.spec.pool.generation, slice.spec.devices.iter().find(|d| d.name == allocated.device)?))
    });
    let (_, device) = with_device.max_by_key(|(generation, _)| *generation)?;
    let text = |key: &str| device.attributes.get(key)?.string.clone().filter(|text| !text.is_empty());
    Some(Described { id: text(DEVICE_ID), resource: text(RESOURCE_NAME) })
}

/// Whether a device of `slice` is published as `resource`.
pub fn names_resource(slice: &SliceObject, resource: &str) -> bool {
    let is_it =
        |device: &Device| device.attributes.get(RESOURCE_NAME).is_some_and(|a| a.string.as_deref() == Some(resource));
    slice.spec.devices.iter().any(is_it)
}

resource!(SliceObject, ResourceSlice, ClusterResourceScope, metadata only: false);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_slice_with_the_device_describes_it() {
        let slice = |pool: &str, generation: i64, devices: &[(&str, &str)]| -> SliceObject {
            let device = |(name, id): &(&str, &str)| {
                json!({ "name": name, "attributes": {
                "k8s.cni.cncf.io/deviceID": { "string": id }, "k8s.cni.cncf.io/resourceName": { "string": "r" }, "x.com/numa": { "int": 1 } } })
            };
            serde_json::from_value(json!({ "metadata": { "name": "s" }, "spec": {
                "driver": "d", "pool": { "name": pool, "generation": generation, "resourceSliceCount": 1 },
                "devices": devices.iter().map(device).collect::<Vec<_>>() } }))
            .unwrap()
        };
        let slices = [
            slice("p", 2, &[("a", "new")]),
            slice("p", 1, &[("a", "old"), ("b", "gone")]),
            slice("q", 9, &[("a", "other")]),
        ];
        let id = |device: &str| {
            let allocated =
                Allocated { driver: "d".into(), pool: "p".into(), device: device.into(), ..Allocated::default() };
            describe(&slices, &allocated).map(|described| described.id.unwrap())
        };
        assert_eq!(id("a").as_deref(), Some("new"));
        assert_eq!(id("b").as_deref(), Some("gone"));
        assert_eq!(id("c"), None);
    }
}
