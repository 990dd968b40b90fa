//! What the kubelet answers on its pod-resources socket.

use plexus::daemon::devices::pod_resources::{Allocated, allocated_in};
use plexus::nad::PodRef;
use std::collections::BTreeSet;

/// The body of an answer, for a pod that it names, and for one that it does not.
pub fn run(data: &[u8]) {
    let pod = |name| PodRef::new("ns", name, None).unwrap();
    assert!(!matches!(allocated_in(data, &pod("another")), Ok(Some(_))) || contains(data, b"another"));
    let Ok(Some(Allocated { devices, claims, uses_claims })) = allocated_in(data, &pod("p")) else { return };
    for (resource, ids) in &devices {
        assert!(!ids.is_empty(), "{resource}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "one device for two networks: {ids:?}");
    }
    assert!(uses_claims || claims.is_empty());
    assert!(claims.iter().enumerate().all(|(at, claim)| !claims[..at].contains(claim)));
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}
