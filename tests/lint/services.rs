//! Services of additional networks.

use super::rules::of_rule;

/// Of Services only those are judged that name an additional network and that no other proxy serves.
#[test]
fn a_service_of_an_additional_network_has_its_own_endpoints() {
    let service = |metadata: &str, spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{ name: s{metadata} }}\nspec: {{ {spec} }}\n")
    };
    let named = ", annotations: { k8s.v1.cni.cncf.io/service-network: lan }";
    let served = ", annotations: { k8s.v1.cni.cncf.io/service-network: lan }, labels: { service.kubernetes.io/service-proxy-name: multus-proxy }";
    for (metadata, spec, found) in [
        (named, "selector: { app: web }", Some("has a selector")),
        (named, "clusterIP: None, selector: { app: web }", Some("has a selector")),
        (named, "clusterIP: 10.96.0.7", Some("is not headless")),
        (named, "", Some("is not headless")),
        (named, "clusterIP: None, selector: {}", None),
        (named, "type: ExternalName, externalName: example.com", None),
        (served, "selector: { app: web }", None),
        (served, "clusterIP: None, selector: { app: web }", Some("has a selector")),
        ("", "selector: { app: web }", None),
    ] {
        let text = service(metadata, spec);
        let has = of_rule("PX056", &text, "{}");
        assert_eq!(has.len(), usize::from(found.is_some()), "{text}: {has:?}");
        assert!(found.is_none_or(|words| has[0][0].contains(words) && has[0][0].contains("network lan")), "{has:?}");
    }
    let other =
        service(named, "selector: { app: web }").replace("apiVersion: v1", "apiVersion: serving.knative.dev/v1");
    assert!(of_rule("PX056", &other, "{}").is_empty());
}
