//! STATUS: could a plain pod be attached now?
//!
//! Nothing else makes it fail, because the runtime answers a failing STATUS by making the node NotReady:
//! a daemon that is away, debts, a broken additional network, or a state directory that cannot be written are told
//! elsewhere. Pods without additional networks start all the same.

use crate::cni::{CniArgs, CniError, Code, NetworkConfig};
use crate::delegate::{Chain, Registry, Scope};
use crate::engine::planning::default_network;
use crate::engine::sandbox::trust::{self, NOT_ATTACHED};
use crate::engine::{Turn, node};
use crate::facts::{Annotations, Known, Question};
use crate::sys::netlink::Socket;
use std::time::{Duration, Instant};

/// What the default network's STATUS may take: containerd waits for us without a limit.
const LIMIT: Duration = Duration::from_secs(2);
/// What looking the default network up at the daemon may take, where it is a NAD.
const LOOKUP: Duration = Duration::from_millis(50);

/// Resolves the default network, finds its programs and asks for its STATUS.
///
/// # Errors
/// Code 50 or, where the delegate says so, 51.
pub fn status(turn: &Turn) -> Result<(), CniError> {
    // A plain pod can be attached, so it is no failure; the runtime's log shows why others get nothing.
    if turn.settings.state.draining().exists() {
        turn.warn("Plexus is being uninstalled: new pods start without their additional networks");
    }
    warn_of_directories(turn);
    let unavailable = |error: CniError| CniError { code: Code::Unavailable.number(), ..error };
    let Some(network) = default_network::resolve(turn, &look_up(turn)).map_err(unavailable)? else { return Ok(()) };
    // A STATUS that succeeds has no answer to say it in.
    turn.log_runners(&network);
    let label = format!("default network {}", network.name);
    let path = turn.path();
    turn.registry.present(&network, &path).map_err(|e| unavailable(e.to_cni().about(&label)))?;
    usable(turn, &network).map_err(|why| unavailable(CniError::new(Code::Unavailable, why).about(&label)))?;
    let args = CniArgs::default();
    let scope = Scope::of_node(&args, &path, LIMIT, Instant::now() + LIMIT);
    let chain = Chain { network: &network, capability_args: &Default::default(), scope, registry: &turn.registry };
    chain.status().map_err(|e| {
        let error = e.to_cni().about(label);
        if matches!(error.code, 50 | 51) { error } else { unavailable(error) }
    })
}

/// Tells in the log what keeps pods from their additional networks. It makes no STATUS fail: other pods start.
fn warn_of_directories(turn: &Turn) {
    let (run, state) = (&turn.settings.run, &turn.settings.state);
    let untrusted = trust::doubts(run, state).into_iter().map(|doubt| format!("{NOT_ATTACHED}: {doubt}"));
    let flaws = node::directories(run, state, false).into_iter().map(|flaw| flaw.text);
    flaws.chain(untrusted).for_each(|text| turn.warn(text));
}

/// Whether the node lets built-in plugins attach the default network: every ADD would fail for it, with these words.
fn usable(turn: &Turn, network: &NetworkConfig) -> Result<(), String> {
    // A registry of its own: that a pool of the cluster has no block for this node now concerns the moment.
    let registry = Registry::new(turn.settings.natives.clone());
    // A NAD is called by its namespace, too; this one is the operator's own.
    if let Some(why) = node::unusable_pool(&turn.settings, &registry, network, true, false) {
        return Err(why);
    }
    let mut host = Socket::in_own().ok();
    node::refusal(&registry, network, host.as_mut()).map_or(Ok(()), |error| Err(error.to_cni().msg))
}

/// The default network's definition, where it is one; nothing rather than a wait.
fn look_up(turn: &Turn) -> Known {
    let question = Question {
        pod: None,
        annotations: None,
        default_network_namespace: &turn.settings.network_namespace,
        run: &turn.settings.run,
        daemon: &turn.daemon,
        state: &turn.settings.state,
        patience: LOOKUP,
        oldest: turn.settings.last_known_max_age,
    };
    question.gather(|_: &Annotations| default_network::nad(turn).into_iter().collect()).unwrap_or_default()
}
