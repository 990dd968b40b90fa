//! The plugin's own configuration, with the annotations that a runtime puts into it.

use super::text;
use plexus::engine::Settings;
use plexus::engine::planning::selections::Selections;
use plexus::nad::PodRef;
use std::time::Instant;

/// Every mistake has its code and one line, and what is accepted can be worked with.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let settings = match Settings::parse(text) {
        Ok(settings) => settings,
        Err(e) => return assert!(matches!(e.code, 1 | 6 | 7) && !e.msg.contains('\n'), "{e:?}"),
    };
    for patience in [settings.delegate_timeout, settings.daemon_timeout, settings.publish_timeout] {
        assert!(!patience.is_zero() && Instant::now().checked_add(patience).is_some(), "{patience:?}");
    }
    let Ok(pod) = PodRef::new("own", "p", None) else { return };
    let annotations = match settings.pod_annotations() {
        Ok(annotations) => annotations.unwrap_or_default(),
        Err(e) => return assert_eq!(e.code, 7),
    };
    match Selections::read(&settings, Some(&pod), &annotations) {
        Ok(selections) => {
            let networks = selections.networks();
            let is_open = |namespace: &str| settings.global_namespaces.iter().any(|global| global == namespace);
            let allowed = |namespace: &str| {
                // The operator's own networks are in every namespace.
                namespace == "own" || is_open(namespace) || !settings.default_networks.is_empty()
            };
            let default = selections.default_network.as_ref().map(|selection| &selection.nad);
            let others = networks.iter().filter(|nad| Some(*nad) != default);
            assert!(!settings.isolation || others.into_iter().all(|nad| allowed(nad.namespace())), "{networks:?}");
        }
        Err(e) => assert!(e.code == 7 && !e.msg.contains('\n'), "{e:?}"),
    }
}
