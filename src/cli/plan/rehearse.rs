//! The steps of an ADD up to its first side effect.

use super::document::{Network, PodPlan, Refusal};
use super::{default_route, subjects::Subject};
use crate::cli::address_pools::wrong_for;
use crate::cli::lint::judgement;
use crate::cli::settings_of_node::UNKNOWN_DEFAULT;
use crate::cni::invocation::Target;
use crate::cni::{CniArgs, CniError, Code, ContainerId, IfName, Invocation, Verb};
use crate::delegate::ipam::leased;
use crate::engine::node::Flaw;
use crate::engine::planning::plan::Planned;
use crate::engine::planning::preflight;
use crate::engine::planning::refusals::namesakes;
use crate::engine::planning::selections::Selections;
use crate::engine::sandbox::trust;
use crate::engine::verbs::add;
use crate::engine::{Settings, Turn, node};
use crate::sys::netns::Netns;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

/// How far the rehearsal goes.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// Without a look at the machine.
    Elsewhere,
    /// With the look that ADD takes, and an empty namespace for the pod.
    OnNode {
        /// The runtime's plugins.
        programs: &'a Path,
    },
}

/// Whether this process may make the namespace with which it looks at the machine.
///
/// # Errors
/// Why not.
pub fn may_look() -> Result<(), String> {
    Netns::create().map(drop).map_err(|e| format!("{e}: run this as root on the node"))
}

/// What ADD would do for `subject`.
pub fn plan(subject: &Subject, settings: &Settings, stage: Stage<'_>) -> PodPlan {
    let mut plan = PodPlan::of(subject, matches!(stage, Stage::OnNode { .. }));
    if subject.is_host_network {
        plan.remarks
            .push("hostNetwork is true: the runtime does not call CNI plugins, and the pod gets no network".to_owned());
        return plan;
    }
    let outcome = rehearse(subject, settings, stage, &mut plan);
    let told = |message: String| message.replace(&format!("network {UNKNOWN_DEFAULT}"), "the default network");
    plan.refused = outcome.err().map(|e| Refusal { code: e.code, message: told(e.to_string()) });
    plan
}

fn rehearse(subject: &Subject, settings: &Settings, stage: Stage<'_>, plan: &mut PodPlan) -> Result<(), CniError> {
    // It lives as long as the turn, whose calls find it by its descriptor.
    let sandbox = match stage {
        Stage::Elsewhere => None,
        Stage::OnNode { .. } => Some(Netns::create().map_err(|e| CniError::new(Code::Namespace, e.to_string()))?),
    };
    let netns = sandbox.as_ref().map(|netns| PathBuf::from(format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd())));
    let turn = Turn::rehearsal(invocation(subject, stage, netns)?, settings.clone());
    let selections = Selections::read(&turn.settings, Some(&subject.pod), &subject.known.annotations)?;
    plan.remarks.extend(unknown_keys(&selections));
    let planned = add::plan(&turn, &subject.known, &selections)?;
    let named = planned.iter().map(|planned| (planned.network.clone(), &planned.config));
    plan.remarks.extend(namesakes::remarks(named));
    plan.networks = planned.iter().map(|planned| Network::of(planned, &turn.registry)).collect();
    plan.default_route = default_route::owners(&planned, turn.settings.default_route);
    if subject.has_placeholders {
        plan.remarks.push("devices are chosen by the kubelet: the plan has placeholders".to_owned());
    }
    if turn.is_elsewhere() {
        preflight::check_elsewhere(&turn, &planned)?;
        programs(&turn, &planned)?;
        return pools(subject, &planned, plan);
    }
    let planned = known(planned, plan);
    preflight::check(&turn, &planned)?;
    programs(&turn, &planned)?;
    plan.remarks.extend(standing(&turn, &planned)?);
    pools(subject, &planned, plan)
}

/// What ADD would learn from the AddressPools, where they are known.
fn pools(subject: &Subject, planned: &[Planned], plan: &mut PodPlan) -> Result<(), CniError> {
    for one in planned {
        for pool in leased::pools(&one.config).iter().filter(|pool| !pool.is_implied()) {
            let known = match &subject.pools {
                Ok(known) => known,
                Err(why) => {
                    plan.unseen_pool.get_or_insert_with(|| format!("AddressPool {pool} was not looked at: {why}"));
                    continue;
                }
            };
            if let Some(refused) = wrong_for(pool, known, subject.pod.namespace()) {
                let label = format!("network {} ({})", one.network, one.ifname);
                return Err(CniError::new(refused.code, refused.why).about(label));
            }
        }
    }
    Ok(())
}

/// Without the default network, where no configuration of Plexus on this machine names one.
fn known(planned: Vec<Planned>, plan: &mut PodPlan) -> Vec<Planned> {
    let (known, unknown): (Vec<Planned>, Vec<Planned>) =
        planned.into_iter().partition(|planned| planned.network != UNKNOWN_DEFAULT);
    if !unknown.is_empty() {
        plan.remarks.push(
            "Plexus is not installed on this machine: its default network is unknown and was not looked at".into(),
        );
    }
    known
}

/// What the programs of plugins refuse, which ADD does not know before it starts them.
fn programs(turn: &Turn, planned: &[Planned]) -> Result<(), CniError> {
    let refusal = |planned: &Planned| {
        let first = planned.config.plugins.first().filter(|first| !node::is_given_addresses(first))?;
        let refused = judgement::refusal(&planned.config, first)?;
        let key = turn.registry.unknown_key(first).map_or_else(String::new, |key| format!(" ({key})"));
        let why = format!("{refused}{key}; ADD sees this only after it attached the networks before");
        Some(CniError::new(Code::InvalidConfig, why).about(format!("network {} ({})", planned.network, planned.ifname)))
    };
    planned.iter().find_map(refusal).map_or(Ok(()), Err)
}

/// What ADD would find out only by writing; answers what it would survive.
fn standing(turn: &Turn, planned: &[Planned]) -> Result<Vec<String>, CniError> {
    trust::check(turn, planned)?;
    let settings = &turn.settings;
    let flaws = node::directories(&settings.run, &settings.state, false);
    let stops = |flaw: &&Flaw| flaw.stops_additional && planned.iter().any(|planned| !planned.default);
    if let Some(flaw) = flaws.iter().find(stops) {
        return Err(CniError::new(Code::Io, flaw.text.as_str()));
    }
    for planned in planned {
        let is_operators = planned.default && !planned.network.contains('/');
        if let Some(why) = node::unusable_pool(settings, &turn.registry, &planned.config, is_operators, false) {
            let label = format!("network {} ({})", planned.network, planned.ifname);
            return Err(CniError::new(Code::Io, why).about(label));
        }
    }
    Ok(flaws.into_iter().map(|flaw| flaw.text).collect())
}

fn invocation(subject: &Subject, stage: Stage<'_>, netns: Option<PathBuf>) -> Result<Invocation, CniError> {
    let invalid = |e: &dyn std::fmt::Display| CniError::new(Code::Environment, e.to_string());
    let pod = &subject.pod;
    let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={}", pod.namespace(), pod.name());
    Ok(Invocation {
        verb: Verb::Add,
        target: Some(Target {
            container_id: ContainerId::new("plan").map_err(|e| invalid(&e))?,
            ifname: IfName::new("eth0").map_err(|e| invalid(&e))?,
            netns,
        }),
        args: CniArgs::parse(&args),
        path: match stage {
            Stage::Elsewhere => Vec::new(),
            Stage::OnNode { programs } => vec![programs.to_owned()],
        },
    })
}

fn unknown_keys(selections: &Selections) -> Vec<String> {
    let all = selections.default_network.iter().chain(&selections.additional);
    let remark = |nad: &crate::nad::NadRef, key: &str, meant: Option<&str>| {
        let text = format!("annotation element of network {nad}: unknown key {key:?} is ignored");
        meant.map_or(text.clone(), |meant| format!("{text}; did you mean {meant:?}?"))
    };
    all.flat_map(|selection| selection.unknown.iter().map(|key| remark(&selection.nad, &key.key, key.meant))).collect()
}
