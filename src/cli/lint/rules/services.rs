//! Rules about Services of additional networks. Neither Kubernetes nor Plexus finds endpoints for them.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::Judged;
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::object::Object;
use crate::cluster::manifests::tree::Node;

/// With this label kube-proxy leaves a Service to another proxy.
const PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// The manifest of a Service of the network `lan`: more of its specification.
macro_rules! service {
    ($spec:literal) => {
        concat!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    k8s.v1.cni.cncf.io/service-network: lan\nspec: { ports: [{ port: 80 }], ",
            $spec,
            " }\n"
        )
    };
}

pub const RULES: &[Rule] = &[Rule {
    id: "PX056",
    severity: Severity::Warning,
    what: "a Service names an additional network, and has a selector or a cluster IP: its traffic goes over the default network",
    fix: "set `clusterIP: None`, remove the selector, and write EndpointSlices with the addresses of the network",
    needs: Needs::Files,
    bad: Example::Manifests(service!("selector: { app: web }")),
    good: Example::Manifests(service!("clusterIP: None")),
    judge: |judged| {
        let services = judged.objects.services();
        services.filter_map(|(number, object, network)| mixed(judged, number, object, network)).collect()
    },
}];

fn mixed(judged: &Judged<'_>, number: usize, object: &Object, network: &Node) -> Option<Found> {
    let spec = object.root.get("spec");
    let value = |key: &str| spec?.get(key);
    let is_external = value("type").and_then(Node::text) == Some("ExternalName");
    let is_headless = value("clusterIP").and_then(Node::text) == Some("None");
    let has_proxy = object.root.below(&["metadata", "labels", PROXY]).is_some();
    let selector = value("selector").filter(|selector| !selector.entries().is_empty());
    // A proxy of that network knows the addresses of the pods; whoever asks DNS gets the endpoints.
    let (place, why) = match selector {
        _ if is_external || (has_proxy && !is_headless) => return None,
        Some(selector) => (selector, "has a selector: its endpoints are addresses of the default network"),
        None if !is_headless => (
            value("clusterIP").or(spec).unwrap_or(&object.root),
            "is not headless: kube-proxy sends its traffic from the node, not over that network",
        ),
        None => return None,
    };
    let network = network.text().unwrap_or_default();
    Some(judged.in_object(number, place, format!("the Service names network {network}, and {why}")))
}
