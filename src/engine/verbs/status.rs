//! STATUS: could a plain pod be attached now?
//!
//! Nothing else makes it fail, because the runtime answers a failing STATUS by making the node NotReady:
//! a daemon that is away, debts, or a broken additional network are told elsewhere.

use crate::cni::{CniArgs, CniError, Code};
use crate::delegate::{Chain, Scope};
use crate::engine::Turn;
use crate::engine::planning::default_network;
use crate::engine::sandbox::trust;
use crate::facts::{Annotations, Known, Question};
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
    trust::warn(turn);
    let unavailable = |error: CniError| CniError { code: Code::Unavailable.number(), ..error };
    let Some(network) = default_network::resolve(turn, &look_up(turn)).map_err(unavailable)? else { return Ok(()) };
    // A STATUS that succeeds has no answer to say it in.
    turn.log_runners(&network);
    let label = format!("default network {}", network.name);
    let path = turn.path();
    turn.registry.present(&network, &path).map_err(|e| unavailable(e.to_cni().about(&label)))?;
    let args = CniArgs::default();
    let scope = Scope::of_node(&args, &path, LIMIT, Instant::now() + LIMIT);
    let chain = Chain { network: &network, capability_args: &Default::default(), scope, registry: &turn.registry };
    chain.status().map_err(|e| {
        let error = e.to_cni().about(label);
        if matches!(error.code, 50 | 51) { error } else { unavailable(error) }
    })
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
