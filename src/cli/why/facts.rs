//! What is asked of the cluster to find out why a pod lacks a network.

use crate::cli::Error;
use crate::cli::pods::networks::PodNetworks;
use crate::cluster::{Inquiry, SeenEvent, SeenNode, SeenPod, Unanswered};
use crate::nad::{Definition, NadRef};

/// What there is to know of one NAD.
#[derive(Clone, Debug)]
pub enum Look {
    /// It is there.
    Found(Definition),
    /// There is none.
    Absent,
    /// It could not be looked at.
    Unseen(String),
}

/// Everything that was seen. What could not be has its reason.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The pod.
    pub pod: SeenPod,
    /// Its networks.
    pub networks: PodNetworks,
    /// The NADs that it selects, each once.
    pub definitions: Vec<(NadRef, Look)>,
    /// Events of the pod, the oldest first.
    pub events: Seen<Vec<SeenEvent>>,
    /// Its node; none while the pod has none.
    pub node: Seen<Option<SeenNode>>,
    /// Plexus' pod on that node.
    pub plexus: Seen<Option<SeenPod>>,
    /// Events of that pod.
    pub plexus_events: Vec<SeenEvent>,
}

/// What was asked, or why it could not be seen.
#[derive(Clone, Debug)]
pub struct Seen<T>(pub Result<T, String>);

impl<T: Default> Default for Seen<T> {
    fn default() -> Self {
        Seen(Ok(T::default()))
    }
}

impl<T> From<Result<T, Unanswered>> for Seen<T> {
    fn from(answer: Result<T, Unanswered>) -> Self {
        Seen(answer.map_err(|e| e.to_string()))
    }
}

/// Asks for everything about the pod `namespace/name`.
///
/// # Errors
/// There is no such pod, or it cannot be read: nothing else would help.
pub fn ask(inquiry: &Inquiry, namespace: &str, name: &str) -> Result<Facts, Error> {
    let pod = inquiry.pod(namespace, name)?.ok_or_else(|| Error::NoPod(format!("{namespace}/{name}")))?;
    let networks = PodNetworks::of(&pod);
    let mut nads: Vec<NadRef> = networks.selected.iter().map(|selection| selection.nad.clone()).collect();
    nads.sort();
    nads.dedup();
    let look = |nad: NadRef| {
        let look = match inquiry.definition(&nad) {
            Ok(Some(definition)) => Look::Found(definition),
            Ok(None) => Look::Absent,
            Err(e) => Look::Unseen(e.to_string()),
        };
        (nad, look)
    };
    let on_node = pod.node.as_deref();
    let plexus = Seen::from(on_node.map_or(Ok(None), |node| Ok(inquiry.daemons(Some(node))?.into_iter().next())));
    let plexus_events = match &plexus.0 {
        // What cannot be read is left out: the pod's own readiness is seen already.
        Ok(Some(plexus)) => inquiry.events("Pod", Some(&plexus.namespace), &plexus.name).unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Facts {
        definitions: nads.into_iter().map(look).collect(),
        events: inquiry.events("Pod", Some(namespace), name).into(),
        node: on_node.map_or(Ok(None), |node| inquiry.node(node)).into(),
        plexus,
        plexus_events,
        networks,
        pod,
    })
}
