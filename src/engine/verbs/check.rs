//! CHECK: is everything still as it was attached?

use crate::cni::{CniError, Code};
use crate::delegate::{Chain, Scope};
use crate::engine::Turn;
use crate::engine::planning::default_network;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::recalled;
use crate::engine::sandbox::recalled::Recalled;
use crate::engine::sandbox::{drift, namespace};
use crate::facts::Known;
use crate::store::{Attachment, Found};
use std::time::{Duration, Instant};

/// CRI-O calls CHECK after ADD, so it is on the way of every pod there.
const CHECK: Duration = Duration::from_secs(30);

/// Compares the record with the kernel, in one look, then asks the delegates.
///
/// # Errors
/// Code 3: the sandbox is unknown. Code 5: its record cannot be read. Code 101: something drifted; the line says
/// what. Else the first delegate's own.
pub fn check(turn: &Turn) -> Result<(), CniError> {
    let target = turn.target()?;
    let deadline = turn.until(CHECK);
    let sandbox = Sandbox::lock(turn, &target.container_id, deadline)?;
    let mine = match turn.store.look(&target.container_id) {
        Ok(Found::Record(record)) => record.attachments,
        Ok(Found::Salvaged { record, damage }) => {
            // It stays for DEL, which deletes what it still tells. Whatever was attached by this call is to be checked:
            // what cannot be read is not nothing.
            if !record.attachments.iter().any(|attachment| attachment.call == target.ifname) {
                let why = format!("{damage}, none of interface {}: nothing can be checked", target.ifname);
                return Err(CniError::new(Code::Io, why));
            }
            turn.warn(damage);
            record.attachments
        }
        Ok(Found::Nothing) => Vec::new(),
        Err(e) => return Err(CniError::new(Code::Io, format!("the record of sandbox {}: {e}", target.container_id))),
    };
    let mut mine: Vec<Attachment> = mine.into_iter().filter(|attachment| attachment.call == target.ifname).collect();
    if mine.is_empty() {
        return check_without_record(turn, &sandbox, deadline);
    }
    recalled::complete(turn, &mut mine);
    let recalled = mine.iter().map(|attachment| Recalled::read(turn, attachment)).collect::<Result<Vec<_>, _>>()?;
    let checked = || mine.iter().zip(&recalled).filter(|(_, recalled)| recalled.may_be_checked());
    let netns = target.netns.as_deref();
    if let Some(path) = netns {
        drift::find(&namespace::open(path)?, &checked().map(|(attachment, _)| attachment).collect::<Vec<_>>())?;
    }
    for (attachment, recalled) in checked() {
        let chain = recalled.chain(turn, &sandbox, &target.container_id, attachment, netns, deadline);
        chain
            .check(attachment.result.as_deref())
            .map_err(|e| e.to_cni().about(format!("network {} ({})", attachment.network, attachment.ifname)))?;
    }
    Ok(())
}

/// A sandbox that is older than us: the default network judges, by the result the runtime kept.
fn check_without_record(turn: &Turn, sandbox: &Sandbox, deadline: Instant) -> Result<(), CniError> {
    let target = turn.target()?;
    let unknown = || {
        CniError::new(
            Code::UnknownContainer,
            format!("nothing is known of interface {} in sandbox {}", target.ifname, target.container_id),
        )
    };
    turn.settings.prev_result.as_ref().ok_or_else(unknown)?;
    let Some(network) = default_network::resolve(turn, &Known::default())? else {
        // Chained: a pod that selects nothing has no record here, and what is before us is checked before us.
        return Ok(());
    };
    let result = default_network::kept_result(turn, &network);
    let path = turn.path();
    let scope = Scope {
        container_id: Some(&target.container_id),
        ifname: Some(&target.ifname),
        netns: target.netns.as_deref(),
        args: &turn.invocation.args,
        path: &path,
        patience: turn.settings.delegate_timeout,
        deadline,
        is_first: false,
        lock: sandbox.inherited(),
    };
    let chain =
        Chain { network: &network, capability_args: &turn.settings.runtime_config, scope, registry: &turn.registry };
    chain
        .check(result.as_deref())
        .map_err(|e| e.to_cni().about(format!("network {} ({})", network.name, target.ifname)))
}
