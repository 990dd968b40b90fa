//! From annotations to selections: which networks, in which order, and whether the pod may have them.

use crate::cni::{CniError, Code};
use crate::engine::Settings;
use crate::facts::Annotations;
use crate::nad::{DEFAULT_NETWORK, NETWORKS, NadRef, PodRef, Selection, selection};

/// What a pod selects.
#[derive(Debug, Default)]
pub struct Selections {
    /// Instead of the configured default network.
    pub default_network: Option<Selection>,
    /// `networksForAllPods` of the configuration, then the pod's own, in the annotation's order.
    pub additional: Vec<Selection>,
}

impl Selections {
    /// Reads the annotations of `pod` and applies the namespace rules.
    ///
    /// # Errors
    /// Code 7: an annotation cannot be read, or names what the pod may not have (NPWG-RC-03).
    pub fn read(settings: &Settings, pod: Option<&PodRef>, annotations: &Annotations) -> Result<Self, CniError> {
        let mut additional = operators_networks(settings, pod)?;
        let Some(pod) = pod else {
            let selects = [NETWORKS, DEFAULT_NETWORK]
                .into_iter()
                .find(|key| annotations.get(*key).is_some_and(|text| !text.trim().is_empty()));
            return match selects {
                // CNI-ARG-07: without a pod there is no namespace to look in, and dropping networks in silence is worse.
                Some(key) => Err(invalid(format!(
                    "annotation {key}: CNI_ARGS names no pod (K8S_POD_NAMESPACE and K8S_POD_NAME)"
                ))),
                None => Ok(Selections { default_network: None, additional }),
            };
        };
        let parse = |key: &str, namespace: &str| {
            let text = annotations.get(key).map_or("", String::as_str);
            selection::parse(text, namespace).map_err(|e| invalid(format!("annotation {key} of pod {pod}: {e}")))
        };
        if !settings.default_network_annotation && annotations.contains_key(DEFAULT_NETWORK) {
            return Err(invalid(format!(
                "annotation {DEFAULT_NETWORK} of pod {pod}: pods may not replace their default network on this node (defaultNetworkAnnotation)"
            )));
        }
        let default_network = single(
            pod,
            annotations.contains_key(DEFAULT_NETWORK),
            parse(DEFAULT_NETWORK, &settings.network_namespace)?,
        )?;
        let own = parse(NETWORKS, pod.namespace())?;
        for (key, chosen) in
            own.iter().map(|s| (NETWORKS, s)).chain(default_network.iter().map(|s| (DEFAULT_NETWORK, s)))
        {
            if !is_allowed(settings, pod, key, &chosen.nad) {
                let nad = &chosen.nad;
                return Err(invalid(format!(
                    "annotation {key} of pod {pod}: network {nad} is in namespace {}, which pods of namespace {} may not use (namespaceIsolation)",
                    nad.namespace(),
                    pod.namespace()
                )));
            }
        }
        additional.extend(own);
        Ok(Selections { default_network, additional })
    }

    /// The NADs whose definitions are needed.
    pub fn networks(&self) -> Vec<NadRef> {
        let all = self.default_network.iter().chain(&self.additional);
        let mut networks: Vec<NadRef> = all.map(|selection| selection.nad.clone()).collect();
        networks.sort();
        networks.dedup();
        networks
    }
}

/// The default-network annotation names exactly one network, where it is there.
fn single(pod: &PodRef, present: bool, mut selections: Vec<Selection>) -> Result<Option<Selection>, CniError> {
    match (selections.pop(), selections.is_empty(), present) {
        (None, _, false) => Ok(None),
        (Some(only), true, _) => Ok(Some(only)),
        _ => Err(invalid(format!("annotation {DEFAULT_NETWORK} of pod {pod}: exactly one network is expected"))),
    }
}

/// `networksForAllPods`, which pods of the system namespaces do not get.
fn operators_networks(settings: &Settings, pod: Option<&PodRef>) -> Result<Vec<Selection>, CniError> {
    if pod.is_some_and(|pod| settings.system_namespaces.iter().any(|system| system == pod.namespace())) {
        return Ok(Vec::new());
    }
    settings.networks_for_all_pods().map(|nad| nad.map(Selection::of).map_err(invalid)).collect()
}

/// A pod may use its own namespace and the global ones; as a default network also what the operator keeps for it.
fn is_allowed(settings: &Settings, pod: &PodRef, annotation: &str, nad: &NadRef) -> bool {
    let namespace = nad.namespace();
    !settings.isolation
        || namespace == pod.namespace()
        || settings.global_namespaces.iter().any(|global| global == namespace)
        || (annotation == DEFAULT_NETWORK && namespace == settings.network_namespace)
}

fn invalid(msg: String) -> CniError {
    CniError::new(Code::InvalidConfig, msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &str, namespace: &str, annotations: &[(&str, &str)]) -> Result<Selections, CniError> {
        let settings = Settings::parse(&format!(r#"{{"name":"x","cniVersion":"1.0.0"{settings}}}"#)).unwrap();
        let pod = PodRef::new(namespace, "p", None).unwrap();
        let annotations = annotations.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Selections::read(&settings, Some(&pod), &annotations)
    }

    fn names(selections: &Selections) -> Vec<String> {
        selections.additional.iter().map(|s| s.nad.to_string()).collect()
    }

    #[test]
    fn order_is_operator_then_annotation() {
        let selections = read(r#","networksForAllPods":["d1","ns/d2"]"#, "a", &[(NETWORKS, "x,y")]).unwrap();
        assert_eq!(names(&selections), ["kube-system/d1", "ns/d2", "a/x", "a/y"]);
        assert_eq!(names(&read(r#","networksForAllPods":["d1"]"#, "kube-system", &[]).unwrap()), [""; 0]);
    }

    #[test]
    fn the_default_network_is_one() {
        let network = |text| read("", "a", &[(DEFAULT_NETWORK, text)]);
        assert_eq!(network("x").unwrap().default_network.unwrap().nad.to_string(), "kube-system/x");
        for text in ["", "x,y", "[]"] {
            assert_eq!(network(text).unwrap_err().code, 7, "{text:?}");
        }
    }

    #[test]
    fn the_annotation_that_replaces_it_can_be_switched_off() {
        // N10
        let off = r#","defaultNetworkAnnotation":false"#;
        let error = read(off, "a", &[(DEFAULT_NETWORK, "x")]).unwrap_err();
        assert!(error.code == 7 && error.msg.contains("defaultNetworkAnnotation"), "{}", error.msg);
        assert_eq!(names(&read(off, "a", &[(NETWORKS, "x")]).unwrap()), ["a/x"]);
    }

    #[test]
    fn isolation_has_no_holes() {
        // NPWG-RC-03
        let isolated = r#","namespaceIsolation":true"#;
        assert!(read(isolated, "a", &[(NETWORKS, "a/x,default/y")]).is_ok());
        assert!(read(isolated, "a", &[(NETWORKS, "b/x")]).unwrap_err().msg.contains("b/x"));
        assert!(read(isolated, "a", &[(DEFAULT_NETWORK, "b/x")]).is_err());
        assert!(read(isolated, "a", &[(DEFAULT_NETWORK, "x")]).is_ok());
        let listed = r#","namespaceIsolation":true,"globalNamespaces":"b , c""#;
        assert!(read(listed, "a", &[(NETWORKS, "c/x")]).is_ok());
        assert!(read(listed, "a", &[(NETWORKS, "default/x")]).is_err());
    }

    #[test]
    fn a_malformed_annotation_fails_the_pod() {
        // NPWG-ANN-09, and ARCHITECTURE.md for why not "ignored"
        let error = read("", "a", &[(NETWORKS, r#"[{"name":"x","mac":"zz"}]"#)]).unwrap_err();
        assert_eq!(error.code, 7);
        assert!(error.msg.contains(NETWORKS) && error.msg.contains("a/p") && error.msg.contains("zz"), "{}", error.msg);
    }
}
