//! ADD.

use crate::cni::invocation::Target;
use crate::cni::{AddResult, CniError, Code, NetworkConfig, RawObject, Version};
use crate::engine::Turn;
use crate::engine::default_routes::settle;
use crate::engine::planning::plan;
use crate::engine::planning::plan::{PlanInput, Planned};
use crate::engine::planning::refusals::namesakes;
use crate::engine::planning::selections::Selections;
use crate::engine::planning::{default_network, networks, preflight};
use crate::engine::sandbox::attach;
use crate::engine::sandbox::attach::{Session, Standing};
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::{publish, trust};
use crate::engine::settings::{LogLevel, Primary};
use crate::facts::{Annotations, Known, Question};
use crate::nad::selection::UnknownKey;
use crate::nad::{NadRef, NetworkStatus, status};
use crate::store::{Attachment, Found, Record, State};
use crate::sys::trace;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the daemon may take where it is asked for the default network alone: every plain pod would wait.
const PLAIN: Duration = Duration::from_millis(200);

/// Attaches the pod to its networks; answers the result of the default one.
///
/// # Errors
/// Nothing is attached then, or what could not be undone is a debt on the record.
pub fn add(turn: &Turn) -> Result<Box<RawValue>, CniError> {
    let target = turn.target()?;
    let (sandbox, before) = {
        let _step = trace::step("lock");
        let sandbox = Sandbox::lock(turn, &target.container_id, turn.until(attach::ADD))?;
        (sandbox, record_before(turn)?)
    };
    let (plan, left_out) = prepare(turn).inspect_err(|_| sandbox.mark_nothing_made(&target.ifname))?;
    let mut session = {
        let _step = trace::step("begin");
        Session::begin(turn, &sandbox, before, plan)?
    };
    if let Err(first) = attach_all(turn, &mut session) {
        let _step = trace::step("undo");
        return Err(session.undo(first));
    }
    match answer(turn, &mut session) {
        Ok(result) => {
            let _step = trace::step("publish");
            report(turn, &mut session, &result, left_out);
            session.sync();
            Ok(result)
        }
        Err(first) => {
            let _step = trace::step("undo");
            Err(session.undo(first))
        }
    }
}

/// Attaches, settles and commits.
fn attach_all(turn: &Turn, session: &mut Session<'_>) -> Result<(), CniError> {
    {
        let _step = trace::step("attach");
        session.attach()?;
    }
    let _step = trace::step("settle and commit");
    settle::settle(turn, session)?;
    session.commit()
}

/// Everything that is decided before the first side effect; and the networks that an uninstallation leaves out.
fn prepare(turn: &Turn) -> Result<(Vec<Planned>, Vec<String>), CniError> {
    if matches!(turn.settings.primary, Primary::Chained) && turn.settings.prev_result.is_none() {
        return Err(CniError::new(
            Code::InvalidConfig,
            "the configuration of Plexus names no default network (clusterNetwork or delegates), and there is no prevResult to be chained behind",
        ));
    }
    let draining = turn.settings.state.draining().exists();
    let (known, selections) = {
        let _step = trace::step("facts");
        if draining { Default::default() } else { wanted(turn)? }
    };
    let plan = {
        let _step = trace::step("select and resolve");
        let plan = plan(turn, &known, &selections)?;
        trust::check(turn, &plan)?;
        plan
    };
    {
        let _step = trace::step("preflight");
        preflight::check(turn, &plan)?;
    }
    Ok((plan, if draining { left_out(turn) } else { Vec::new() }))
}

/// The networks that the pod asks for, as far as that is known at once. While Plexus is being uninstalled it gets
/// none of them: pods start as they will afterwards, so that no more attachments are made that nobody would delete.
fn left_out(turn: &Turn) -> Vec<String> {
    let given = turn.settings.pod_annotations().ok().flatten();
    let annotations = given.or_else(|| Some(facts_within(turn, PLAIN).ok()?.annotations)).unwrap_or_default();
    let selections = Selections::read(&turn.settings, turn.pod().as_ref(), &annotations).unwrap_or_default();
    let left_out: Vec<String> = selections.networks().iter().map(ToString::to_string).collect();
    if !left_out.is_empty() {
        let pod = turn.pod().map_or_else(|| "the container".to_owned(), |pod| format!("pod {pod}"));
        turn.warn(format!("Plexus is being uninstalled: {pod} starts without networks {}", left_out.join(", ")));
    }
    left_out
}

/// What is known of the pod, and what it selects.
fn wanted(turn: &Turn) -> Result<(Known, Selections), CniError> {
    let known = facts(turn).map_err(|error| trust::cause(turn, error))?;
    let selections = Selections::read(&turn.settings, turn.pod().as_ref(), &known.annotations)?;
    tell_unknown_keys(turn, &selections);
    Ok((known, selections))
}

/// Tells of keys of the annotations that mean nothing. Multus passes them over, and so do we; one that is nearly
/// another key is probably a slip, and told at every level.
fn tell_unknown_keys(turn: &Turn, selections: &Selections) {
    for selection in selections.default_network.iter().chain(&selections.additional) {
        for UnknownKey { key, meant } in &selection.unknown {
            let text = format!("annotation element of network {}: unknown key {key:?} is ignored", selection.nad);
            match meant {
                Some(meant) => turn.warn(format!("{text}; did you mean {meant:?}?")),
                None => turn.log(LogLevel::Info, text),
            }
        }
    }
}

/// The record of the sandbox, if an earlier call for another interface left one, and what the disk has of it.
fn record_before(turn: &Turn) -> Result<(Record, Standing), CniError> {
    let target = turn.target()?;
    let (record, standing) = match turn.store.look(&target.container_id) {
        Ok(Found::Nothing) => return Ok((attach::empty_record(turn)?, Standing::Sound)),
        Ok(Found::Record(record)) => (record, Standing::Sound),
        Ok(Found::Salvaged { record, damage }) => (record, Standing::Damaged(damage)),
        Err(e) => return Ok((attach::empty_record(turn)?, Standing::Unreadable(e))),
    };
    match record.attachments.iter().find(|attachment| attachment.call == target.ifname) {
        Some(_) => Err(CniError::new(Code::AlreadyAttached, attached_already(&record, target))),
        None => Ok((record, standing)),
    }
}

/// Why the interface of the call cannot be attached: it is, or its DEL was asked for and could not delete everything.
fn attached_already(record: &Record, target: &Target) -> String {
    let of_call = || record.attachments.iter().filter(|attachment| attachment.call == target.ifname);
    let debt = of_call().find_map(|attachment| Some((attachment, attachment.debt.as_ref()?)));
    match debt.filter(|_| of_call().all(|attachment| attachment.state == State::Owed)) {
        Some((attachment, debt)) => format!(
            "a former network of sandbox {} is not deleted yet: network {} ({}): {}; Plexus tries it again",
            target.container_id, attachment.network, attachment.ifname, debt.error
        ),
        None => format!(
            "interface {} of sandbox {} is attached already; DEL has to come first",
            target.ifname, target.container_id
        ),
    }
}

/// What is known of the pod and its networks.
///
/// # Errors
/// Code 11: it cannot be known now.
pub fn facts(turn: &Turn) -> Result<Known, CniError> {
    facts_within(turn, turn.settings.daemon_timeout.min(turn.left(attach::ADD)))
}

/// As [`facts`]; the daemon may take `patience`.
///
/// # Errors
/// As [`facts`].
pub fn facts_within(turn: &Turn, patience: Duration) -> Result<Known, CniError> {
    let settings = &turn.settings;
    let given = settings.pod_annotations()?;
    let is_plain = is_plain(turn, given.as_ref());
    // A pod that selects nothing loses nothing by its name: runtimes also start sandboxes that Kubernetes knows nothing of.
    let pod = if is_plain { turn.pod() } else { turn.named_pod()? };
    let question = Question {
        pod: pod.as_ref(),
        annotations: given.as_ref(),
        default_network_namespace: &settings.network_namespace,
        run: &settings.run,
        daemon: &turn.daemon,
        state: &settings.state,
        patience: if is_plain { patience.min(PLAIN) } else { patience },
        oldest: settings.last_known_max_age,
    };
    let named = |annotations: &Annotations| {
        // An annotation that cannot be read names nothing; the error is told when it is followed.
        let selected = Selections::read(settings, pod.as_ref(), annotations).map(|s| s.networks()).unwrap_or_default();
        selected.into_iter().chain(default_network::nad(turn)).collect()
    };
    let known = question.gather(named).or_else(|e| without_the_default(turn, &question, e))?;
    if let Some(why) = &known.unkept {
        turn.warn(format!("this node cannot cache networks, for times when plexusd does not answer: {why}"));
    }
    let why = known.refusal.as_ref().map_or_else(String::new, |why| format!("; {why}"));
    for (nad, age) in &known.stale {
        turn.warn(format!("network {nad}: last confirmed {} s ago{why}", age.as_secs()));
    }
    Ok(known)
}

/// Whether it is known already that the pod selects nothing: all there is to ask is whether the default network, which
/// is mostly a file, is a NAD.
fn is_plain(turn: &Turn, given: Option<&Annotations>) -> bool {
    let selected = given.map(|given| Selections::read(&turn.settings, turn.pod().as_ref(), given));
    selected.is_some_and(|selected| selected.is_ok_and(|selections| selections.networks().is_empty()))
}

/// A pod that selects nothing must start without the daemon, also where `clusterNetwork` is a name
/// that could be a NAD: then a file, or the last good copy, says what it is.
fn without_the_default(turn: &Turn, question: &Question<'_>, error: crate::facts::Error) -> Result<Known, CniError> {
    let again = default_network::nad(turn).and_then(|_| {
        let named = |annotations: &Annotations| {
            Selections::read(&turn.settings, turn.pod().as_ref(), annotations).map(|s| s.networks()).unwrap_or_default()
        };
        question.gather(named).ok()
    });
    again.ok_or_else(|| CniError::new(Code::TryAgain, error.to_string()))
}

/// Everything that will be attached.
pub fn plan(turn: &Turn, known: &Known, selections: &Selections) -> Result<Vec<Planned>, CniError> {
    let target = turn.target()?;
    let networks = networks::resolve(turn, known, &selections.networks())?;
    let default_network = default_network::resolve(turn, known)?;
    namesakes::refuse(&turn.settings, default_network.as_ref(), &networks)?;
    let labelled = networks.iter().map(|(nad, network)| (nad.to_string(), network));
    namesakes::remarks(labelled).into_iter().for_each(|remark| turn.warn(remark));
    let resources: BTreeMap<NadRef, String> =
        known.definitions.values().filter_map(|d| Some((d.nad.clone(), d.resource_name.clone()?))).collect();
    let parallel: Vec<NadRef> = known.definitions.values().filter(|d| d.parallel).map(|d| d.nad.clone()).collect();
    let plan = plan::make(&PlanInput {
        container_id: target.container_id.as_str(),
        ifname: &target.ifname,
        args: &turn.invocation.args,
        runtime_config: &turn.settings.runtime_config,
        default_network,
        default_selection: selections.default_network.as_ref(),
        further_delegates: default_network::further_delegates(turn)?,
        selections: &selections.additional,
        networks: &networks,
        resources: &resources,
        devices: &known.devices,
        parallel: (&parallel, turn.settings.parallel),
    })?;
    if !turn.is_elsewhere() {
        preflight::pools(turn, &plan)?;
    }
    Ok(plan)
}

/// The default network's result in the version that was asked for (CNI-VER-07, NPWG-DEF-03); chained,
/// what we were given (CNI-RES-05).
fn answer(turn: &Turn, session: &mut Session<'_>) -> Result<Box<RawValue>, CniError> {
    let version = turn.settings.version;
    let default = session.attachments().iter().find(|attachment| attachment.default);
    let (raw, written) = match (default, &turn.settings.primary) {
        (Some(attachment), _) => {
            let written = NetworkConfig::version_of(attachment.config.get());
            (attachment.result.clone(), written.map_or(version, |written| written.known()))
        }
        (None, _) => (turn.settings.prev_result.clone(), version),
    };
    // Chained, it goes on as it came, with members that mean nothing to us.
    if let (None, Some(raw)) = (default, &raw)
        && declares(raw, version)
    {
        return Ok(raw.clone());
    }
    let decode = |e: &dyn std::fmt::Display| CniError::new(Code::Decode, format!("result of the default network: {e}"));
    let result = AddResult::parse(raw.as_deref().map_or("null", RawValue::get), written).map_err(|e| decode(&e))?;
    result.to_raw(version).map_err(|e| decode(&e))
}

/// Whether `result` is one of `version`, and says so.
fn declares(result: &RawValue, version: Version) -> bool {
    let declared = RawObject::parse(result.get()).ok().and_then(|object| object.read::<String>("cniVersion").ok()?);
    declared.as_deref() == Some(version.as_str()) && AddResult::parse(result.get(), version).is_ok()
}

/// The network status: of the default network first, then of the others in the order of attachment.
fn report(turn: &Turn, session: &mut Session<'_>, result: &RawValue, left_out: Vec<String>) {
    let Some(pod) = turn.pod() else { return };
    let id = session.record.container_id.clone();
    let wait = session.attachments().iter().any(|attachment| !attachment.default);
    let mut entries = match turn.settings.primary {
        Primary::Chained => chained_default(turn, result, session.attachments()),
        Primary::Named(_) | Primary::Inline(_) => Vec::new(),
    };
    entries.extend(publish::entries(turn, session.attachments()));
    let about = publish::About { id: &id, pod, left_out };
    if let Err(text) = publish::publish(turn, about, &entries, wait, || session.sync()) {
        session.keep_status(text);
    }
}

/// The default network as it is reported when we are chained behind it. Its default route may be another network's now.
fn chained_default(turn: &Turn, result: &RawValue, others: &[Attachment]) -> Vec<NetworkStatus> {
    let Some(target) = &turn.invocation.target else { return Vec::new() };
    let result = AddResult::parse(result.get(), turn.settings.version).unwrap_or_default();
    let taken = settle::held(others);
    let left: Vec<_> = status::gateways(&result).into_iter().filter(|ip| !taken.contains(&ip.is_ipv4())).collect();
    status::entries(&status::Attached {
        name: turn.settings.name.as_str(),
        ifname: target.ifname.as_str(),
        default: true,
        result: &result,
        gateways: Some(&left),
        device_info: None,
        mac: None,
    })
}
