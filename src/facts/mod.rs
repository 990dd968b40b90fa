//! What a call must know of its pod and networks: from the runtime, the daemon, or what is on the node.

pub mod client;
pub mod kept_client;
pub mod last_known;
pub mod node_blocks;

pub use client::{Client, ClientError};
pub use kept_client::KeptClient;
use last_known::Unusable;
pub use node_blocks::NodeBlocks;

use crate::api::protocol::{Facts, FactsRequest, Reply, Request};
use crate::api::{RunDirectory, StateDirectory};
use crate::nad::{Definition, NadRef, PodRef};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The pod's annotations, as far as they were read.
pub type Annotations = BTreeMap<String, String>;

/// Copies of networks on the node, with their ages.
type Copies = BTreeMap<NadRef, (Definition, Duration)>;

/// Why a call cannot know what it must. The runtime should try again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime gave no annotations, and the daemon gives none.
    #[error("{}", without_annotations(pod, why))]
    Annotations {
        /// The pod.
        pod: PodRef,
        /// Why the daemon gives none.
        why: Refusal,
    },
    /// The daemon does not tell what is needed, and the node knows too little of these networks.
    #[error("network {networks}: {why}; {copy}")]
    Networks {
        /// Which ones.
        networks: String,
        /// Why the daemon does not tell.
        why: Refusal,
        /// Why the copies on the node are not used.
        copy: String,
    },
    /// Which devices the pod has only the daemon knows.
    #[error("{}", without_devices(networks, why))]
    Devices {
        /// Which ones take a device.
        networks: String,
        /// Why the daemon does not tell.
        why: Refusal,
    },
}

/// An answer names what is missing, which need not be the annotations.
fn without_annotations(pod: &PodRef, why: &Refusal) -> String {
    match why {
        Refusal::Answered(_) => format!("pod {pod}: {why}"),
        Refusal::NotReached(_) => format!("the runtime did not pass the annotations of pod {pod}, and {why}"),
    }
}

/// An answer about a device names its network.
fn without_devices(networks: &str, why: &Refusal) -> String {
    match why {
        Refusal::Answered(_) => why.to_string(),
        Refusal::NotReached(_) => format!("network {networks} takes a device that only plexusd knows: {why}"),
    }
}

/// Why the daemon does not tell what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It answered why: a pod that is not known, a kubelet or an API server that is silent.
    #[error("plexusd answered: {0}")]
    Answered(String),
    /// It was not reached.
    #[error("{0}")]
    NotReached(String),
}

/// What is asked, and where the answer may come from.
#[derive(Debug)]
pub struct Question<'a> {
    /// The pod; none for a container of no pod, which has no annotations.
    pub pod: Option<&'a PodRef>,
    /// What the runtime handed over; final where it is there.
    pub annotations: Option<&'a Annotations>,
    /// Where the default-network annotation looks without a namespace.
    pub default_network_namespace: &'a str,
    /// Where the daemon is.
    pub run: &'a RunDirectory,
    /// The call's connection to it.
    pub daemon: &'a KeptClient,
    /// Where the last-known copies are.
    pub state: &'a StateDirectory,
    /// How long the daemon may take.
    pub patience: Duration,
    /// How old a last-known copy may be; none for any age.
    pub oldest: Option<Duration>,
}

/// What is known now.
#[derive(Debug, Default)]
pub struct Known {
    /// The pod's annotations.
    pub annotations: Annotations,
    /// The definitions of the networks that were asked for and exist.
    pub definitions: BTreeMap<NadRef, Definition>,
    /// Networks that certainly do not exist.
    pub missing: BTreeSet<NadRef>,
    /// Of some of them the network that is probably meant.
    pub meant: BTreeMap<NadRef, NadRef>,
    /// Devices allocated to the pod, by resource.
    pub devices: BTreeMap<String, Vec<String>>,
    /// Definitions that come from the node's last-known copies, with their age.
    pub stale: Vec<(NadRef, Duration)>,
    /// Why the node has not kept a copy of what the daemon answered.
    pub unkept: Option<String>,
    /// Why they do not come from the daemon.
    pub refusal: Option<Refusal>,
}

impl Question<'_> {
    /// Gathers the facts; `named` tells which networks annotations select.
    ///
    /// # Errors
    /// [`Error`]: try again. An annotation that `named` cannot read is no error here: what it says
    /// is judged by whoever plans.
    pub fn gather(&self, named: impl Fn(&Annotations) -> Vec<NadRef>) -> Result<Known, Error> {
        let given = match (self.annotations, self.pod) {
            (Some(given), _) => Some(given.clone()),
            (None, None) => Some(Annotations::new()),
            (None, Some(_)) => None,
        };
        let networks = named(given.as_ref().unwrap_or(&Annotations::new()));
        if given.is_some() && networks.is_empty() {
            return Ok(Known { annotations: given.unwrap_or_default(), ..Known::default() });
        }
        let request = FactsRequest {
            pod: self.pod.cloned(),
            annotations_wanted: given.is_none(),
            default_network_namespace: Some(self.default_network_namespace.to_owned()),
            networks: networks.clone(),
            copies: last_known::names(self.state),
            inspection: false,
        };
        let (recallable, mut copies) = (given.is_some().then_some(&*networks), Copies::new());
        match (self.ask(request, recallable, &mut copies), given, self.pod) {
            (Ok(facts), given, _) => {
                let known = Known::from_facts(facts, given);
                let named = if networks.is_empty() { named(&known.annotations) } else { networks };
                Ok(self.keep(known, &named))
            }
            (Err(why), None, Some(pod)) => Err(Error::Annotations { pod: pod.clone(), why }),
            (Err(why), given, _) => self.recall(given.unwrap_or_default(), &networks, (copies, why)),
        }
    }

    /// One question. While the daemon is not there at all it is tried again until the patience is
    /// over, unless copies on the node can stand for its answer: those of all networks of `recallable`, which are then
    /// in `copies`.
    fn ask(&self, request: FactsRequest, recallable: Option<&[NadRef]>, copies: &mut Copies) -> Result<Facts, Refusal> {
        let deadline = Instant::now() + self.patience;
        // Looked at only where the daemon is absent.
        let mut has_copies = None;
        let mut have_copies = || {
            *has_copies.get_or_insert_with(|| {
                let read = |nad: &NadRef| Some((nad.clone(), self.last_known(nad).ok()?));
                let found: Option<Copies> = recallable.and_then(|networks| networks.iter().map(read).collect());
                let are_there = found.is_some();
                *copies = found.unwrap_or_default();
                are_there
            })
        };
        let request = Request::Facts(request);
        loop {
            match self.daemon.ask(self.run, deadline, &request) {
                Ok(Reply::Facts(facts)) => return Ok(facts),
                Ok(Reply::Unavailable(why) | Reply::Unsupported(why)) => return Err(Refusal::Answered(why)),
                Ok(other) => {
                    return Err(Refusal::Answered(format!("an answer to another question ({})", other.kind())));
                }
                Err(e) if e.is_absent() && Instant::now() < deadline && !have_copies() => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                Err(e) => return Err(Refusal::NotReached(e.to_string())),
            }
        }
    }

    fn last_known(&self, nad: &NadRef) -> Result<(Definition, Duration), Unusable> {
        last_known::read(self.state, self.run, nad, self.oldest)
    }

    /// Keeps copies of what the daemon answered of the networks that were `named`, and of no others.
    fn keep(&self, mut known: Known, named: &[NadRef]) -> Known {
        let definitions = known.definitions.values().filter(|definition| named.contains(&definition.nad));
        let kept = last_known::keep(self.state, definitions, known.missing.iter());
        known.unkept = kept.err().map(|e| crate::sys::files::told(&self.state.networks(), e));
        known
    }

    /// What the node knows of `networks`, where it was not read already.
    fn recall(
        &self,
        annotations: Annotations,
        networks: &[NadRef],
        (mut copies, why): (Copies, Refusal),
    ) -> Result<Known, Error> {
        let mut known = Known { annotations, ..Known::default() };
        let (mut unknown, mut with_device, mut unusable) = (Vec::new(), Vec::new(), BTreeSet::new());
        for nad in networks {
            match copies.remove(nad).map_or_else(|| self.last_known(nad), Ok) {
                Err(copy) => {
                    unknown.push(nad.to_string());
                    unusable.insert(copy.to_string());
                }
                Ok((definition, _)) if definition.resource_name.is_some() => with_device.push(nad.to_string()),
                Ok((definition, age)) => {
                    known.stale.push((nad.clone(), age));
                    known.definitions.insert(nad.clone(), definition);
                }
            }
        }
        match (unknown.is_empty(), with_device.is_empty()) {
            (true, true) => Ok(Known { refusal: Some(why), ..known }),
            (true, false) => Err(Error::Devices { networks: with_device.join(", "), why }),
            (false, _) => {
                let copy = unusable.into_iter().collect::<Vec<_>>().join("; ");
                Err(Error::Networks { networks: unknown.join(", "), why, copy })
            }
        }
    }
}

impl Known {
    /// What the daemon answered, with the annotations that were `given` by the runtime.
    pub fn from_facts(facts: Facts, given: Option<Annotations>) -> Self {
        Known {
            annotations: given.or(facts.annotations).unwrap_or_default(),
            definitions: facts.definitions.into_iter().map(|definition| (definition.nad.clone(), definition)).collect(),
            missing: facts.missing.into_iter().collect(),
            meant: facts.meant.into_iter().collect(),
            devices: facts.devices,
            stale: Vec::new(),
            unkept: None,
            refusal: None,
        }
    }
}
