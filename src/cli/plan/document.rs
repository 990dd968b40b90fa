//! The shape of the JSON document of `plexusctl plan`.

use super::default_route::{DefaultRoutes, addresses, routes};
use super::subjects::Subject;
use crate::cli::objects::object::Object;
use crate::cli::output::described::Described;
use crate::cli::runs_as::Plugin;
use crate::cli::settings_of_node::UNKNOWN_DEFAULT;
use crate::cni::{Code, RawObject};
use crate::delegate::Registry;
use crate::engine::planning::plan::Planned;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    pub version: u32,
    /// The pods and templates, in the order in which they were given.
    pub pods: Vec<PodPlan>,
}

impl Described for Document {
    const NAME: &'static str = "plan";
}

/// The result of ADD for one pod, if it ran.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    /// `<namespace>/<name>`; of a template the name of its object.
    pub pod: String,
    /// The kind of that object.
    pub kind: String,
    /// The node of the pod; null if it has none, or if this is not known.
    pub node: Option<String>,
    /// The command also looked at the machine, as ADD does before its first change.
    pub preflight: bool,
    /// The error of ADD; null if it would succeed.
    pub refused: Option<Refusal>,
    /// The networks in the order of attachment; empty if they could not be planned.
    pub networks: Vec<Network>,
    /// The interfaces that would have the default routes, as far as configurations show it.
    pub default_route: DefaultRoutes,
    /// Remarks for the operator.
    pub remarks: Vec<String>,
    /// The first AddressPool that was not looked at, and why.
    #[serde(skip)]
    pub unseen_pool: Option<String>,
}

/// An error that ADD would return.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The CNI code.
    pub code: u32,
    /// The message.
    pub message: String,
}

/// An attachment that would be made.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The interface.
    pub interface: String,
    /// `<namespace>/<NAD>`, or the name of the default network; null for a default network that is not known here.
    pub network: Option<String>,
    /// It is the default network.
    pub default: bool,
    /// Its plugins in their order; empty for a default network that is not known here.
    pub plugins: Vec<Plugin>,
    /// The values that its plugins get by capability.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub capabilities: RawObject,
    /// `CNI_ARGS`.
    pub args: String,
    /// The requested addresses, else the subnets of the configuration.
    pub addresses: Vec<String>,
    /// The routes of the configuration.
    pub routes: Vec<String>,
    /// The gateways of the requested default route; empty for its own gateways; null if it requests none.
    pub requested_default_route: Option<Vec<IpAddr>>,
    /// The device; null for none.
    pub device: Option<String>,
    /// The resource of the device.
    pub resource: Option<String>,
    /// It may be attached at the same time as others.
    pub parallel: bool,
}

impl PodPlan {
    /// Of `subject`, before anything is planned.
    pub fn of(subject: &Subject, preflight: bool) -> Self {
        PodPlan {
            pod: subject.pod.to_string(),
            kind: subject.kind.clone(),
            node: subject.node.clone(),
            preflight,
            refused: None,
            networks: Vec::new(),
            default_route: DefaultRoutes::default(),
            remarks: Vec::new(),
            unseen_pool: None,
        }
    }
}

impl PodPlan {
    /// Of a pod that the API server refuses for `why`.
    pub fn impossible(object: &Object, why: String, preflight: bool) -> Self {
        PodPlan {
            pod: format!("{}/{}", object.namespace, object.name),
            kind: object.kind.clone(),
            node: None,
            preflight,
            refused: Some(Refusal { code: Code::InvalidConfig.number(), message: why }),
            networks: Vec::new(),
            default_route: DefaultRoutes::default(),
            remarks: Vec::new(),
            unseen_pool: None,
        }
    }
}

impl Network {
    /// What `planned` means, run by `registry`.
    pub fn of(planned: &Planned, registry: &Registry) -> Self {
        let is_known = planned.network != UNKNOWN_DEFAULT;
        let plugins = planned.config.plugins.iter().filter(|_| is_known).map(|plugin| Plugin::of(plugin, registry));
        let (resource, device) = planned.device.clone().unzip();
        Network {
            interface: planned.ifname.to_string(),
            network: Some(planned.network.clone()).filter(|_| is_known),
            default: planned.default,
            plugins: plugins.collect(),
            capabilities: planned.capability_args.clone(),
            args: planned.args.to_string(),
            addresses: addresses(planned),
            routes: routes(planned),
            requested_default_route: planned.default_route.clone(),
            device,
            resource,
            parallel: planned.parallel,
        }
    }
}
