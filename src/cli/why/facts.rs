//! What is asked of the cluster to find out why a pod lacks a network.

use crate::cli::Error;
use crate::cli::address_pools::{NoAddress, pools_of, wrong_for};
use crate::cli::diagnosis::{Check, Fault, cause_of};
use crate::cli::meant;
use crate::cli::natives::DEFAULTS;
use crate::cli::pods::networks::{PodNetworks, Standing};
use crate::cli::why::slips::{refusal, slips};
use crate::cluster::{Inquiry, SeenDaemonSet, SeenEvent, SeenNode, SeenPod, Unanswered};
use crate::engine::Settings;
use crate::nad::{Definition, NadRef, selection};

/// What there is to know of one NAD.
#[derive(Clone, Debug)]
pub enum Look {
    /// It is there.
    Found(Definition),
    /// There is none; the name that is probably meant.
    Absent(Option<NadRef>),
    /// The API server does not know such objects: their CRD is not installed.
    NoCrd,
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
    /// The NAD that takes the place of the default network by an annotation of the pod.
    pub default_network: Option<(NadRef, Look)>,
    /// Of these networks those whose AddressPool gives the pod no address, and why.
    pub closed_pools: Vec<(NadRef, NoAddress)>,
    /// What `lint` finds in the pod and these networks.
    pub slips: Vec<Check>,
    /// What ADD would refuse of them on every node; none where a network could not be looked at.
    pub refused: Option<String>,
    /// Events of the pod, the oldest first.
    pub events: Seen<Vec<SeenEvent>>,
    /// Its node; none while the pod has none.
    pub node: Seen<Option<SeenNode>>,
    /// Plexus' pod on that node.
    pub plexus: Seen<Option<SeenPod>>,
    /// No node has a pod of Plexus, and there is no DaemonSet that would make one.
    pub is_installed_nowhere: bool,
    /// The DaemonSet of Plexus, where no node has a pod of it.
    pub daemon_set: Option<SeenDaemonSet>,
    /// Events of that pod.
    pub plexus_events: Vec<SeenEvent>,
}

impl Facts {
    /// The networks that the pod selects, by name.
    pub fn selected(&self) -> Vec<String> {
        let additional = self.networks.selected.iter().map(|selection| &selection.nad);
        let all = additional.chain(self.default_network.iter().map(|(nad, _)| nad));
        all.map(ToString::to_string).collect()
    }

    /// That the pod has ended, and why; none of another one.
    pub fn ended(&self) -> Option<String> {
        let phase = self.pod.phase.as_str();
        let why = self.pod.why_ended.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let told = || format!("the pod has ended ({phase}{why}): it has no network any more");
        matches!(phase, "Succeeded" | "Failed").then(told)
    }

    /// Whether the pod has the network `name`, or needs none any more: it lacks nothing until it is made again.
    pub fn is_attached(&self, name: &str) -> bool {
        if self.lost_sandbox() {
            return false;
        }
        let lacks_nothing = |state| matches!(state, Standing::Attached | Standing::Ended | Standing::HostNetwork);
        self.networks.networks.iter().filter(|one| one.network == name).all(|one| lacks_nothing(one.state))
    }

    /// Whether a network of the pod, or the pod itself, still waits for something.
    pub fn is_open(&self) -> bool {
        let waits = |state| self.networks.in_state(state).next().is_some();
        // With all networks reported, a pod that is pending waits for something else.
        let is_new = self.pod.phase == "Pending" && self.pod.status.is_none() && !self.pod.host_network;
        waits(Standing::Waiting) || waits(Standing::Missing) || is_new || self.lost_sandbox()
    }

    /// Whether the pod had its networks, and needs a new sandbox, as after a restart of the node: the network-status is the former one.
    pub fn lost_sandbox(&self) -> bool {
        let pod = &self.pod;
        pod.lacks_sandbox && pod.status.is_some() && !pod.deleting && !pod.host_network && self.ended().is_none()
    }
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

/// The one NAD that `annotation` names; what cannot be read, the plugin refuses by name.
fn default_nad(annotation: &str) -> Option<NadRef> {
    let settings = Settings::parse(DEFAULTS).ok()?;
    let mut named = selection::parse(annotation, &settings.network_namespace).ok()?;
    if named.len() == 1 { named.pop().map(|selection| selection.nad) } else { None }
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
            Ok(None) => Look::Absent(meant::network(inquiry, &nad)),
            Err(e) if cause_of(&e.to_string()) == Fault::CrdMissing => Look::NoCrd,
            Err(e) => Look::Unseen(e.to_string()),
        };
        (nad, look)
    };
    let definitions: Vec<(NadRef, Look)> = nads.into_iter().map(look).collect();
    let default_network = pod.default_network.as_deref().and_then(default_nad).map(look);
    // What cannot be read a second time was looked at once.
    let own = inquiry.pod_manifest(namespace, name).ok().flatten();
    let found = definitions.iter().chain(&default_network).filter(|(_, look)| matches!(look, Look::Found(_)));
    let networks_read = found.filter_map(|(nad, _)| inquiry.network_manifest(nad).ok().flatten());
    let manifests: Vec<String> = own.into_iter().chain(networks_read).collect();
    let mut looks = definitions.iter().chain(&default_network).map(|(_, look)| look);
    // Without a configuration in the NAD, a file of the node may have it.
    let are_all_found = looks.all(|look| matches!(look, Look::Found(definition) if definition.config.is_some()));
    let closed_pools = closed_pools(inquiry, &definitions, namespace);
    let on_node = pod.node.as_deref();
    let plexus = Seen::from(on_node.map_or(Ok(None), |node| Ok(inquiry.daemons(Some(node))?.into_iter().next())));
    let is_missing = on_node.is_some() && matches!(&plexus.0, Ok(None));
    let has_no_pod = is_missing && inquiry.daemons(None).is_ok_and(|all| all.is_empty());
    let daemon_set = if has_no_pod { inquiry.daemon_set() } else { Ok(None) };
    let plexus_events = match &plexus.0 {
        // What cannot be read is left out: the pod's own readiness is seen already.
        Ok(Some(plexus)) => inquiry.events(plexus).unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Facts {
        slips: slips(manifests.iter().map(String::as_str)),
        refused: are_all_found.then(|| refusal(manifests.iter().map(String::as_str))).flatten(),
        definitions,
        closed_pools,
        default_network,
        events: inquiry.events(&pod).into(),
        node: on_node.map_or(Ok(None), |node| inquiry.node(node)).into(),
        // What cannot be listed may be there.
        is_installed_nowhere: has_no_pod && matches!(daemon_set, Ok(None)),
        daemon_set: daemon_set.ok().flatten(),
        plexus,
        plexus_events,
        networks,
        pod,
    })
}

/// The networks whose AddressPool gives no address to pods of `namespace`; none where the pools cannot be listed.
fn closed_pools(inquiry: &Inquiry, definitions: &[(NadRef, Look)], namespace: &str) -> Vec<(NadRef, NoAddress)> {
    let used = |(nad, look): &(NadRef, Look)| match look {
        Look::Found(definition) => pools_of(definition).into_iter().map(|pool| (nad.clone(), pool)).collect(),
        _ => Vec::new(),
    };
    let used: Vec<_> = definitions.iter().flat_map(used).filter(|(_, pool)| !pool.is_implied()).collect();
    if used.is_empty() {
        return Vec::new();
    }
    let Ok(pools) = inquiry.address_pools() else { return Vec::new() };
    used.into_iter().filter_map(|(nad, pool)| Some((nad, wrong_for(&pool, &pools, namespace)?))).collect()
}
