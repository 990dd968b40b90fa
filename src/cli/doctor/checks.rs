//! From what was seen on a node to a checklist, the most probable cause first. Pure.

use crate::api::protocol::{Health, SOURCE_DIRECTORY};
use crate::cli::diagnosis::{Check, Fault, cause_of, of_plexus, with_near_type, worst_first};
use crate::cli::doctor::facts::{Facts, File};
use crate::cli::doctor::network::{Network, Pools};
use crate::cli::doctor::runtime;
use crate::cli::output::age::age;
use crate::cli::output::counted::{counted, counted_with};
use crate::engine::cleanup::pools::Pool;
use crate::sys::files;
use std::path::Path;

/// So many files or networks are named.
const MOST: usize = 5;

/// The checklist; `own` is this program's release.
pub fn checks(facts: &Facts, own: &str) -> Vec<Check> {
    let (state, exists) = &facts.state;
    let mut checks = Vec::new();
    if !exists && facts.files.iter().all(|file| !file.calls_plexus) && facts.release.is_err() {
        let finding = format!("{} does not exist, and no CNI configuration calls Plexus", state.display());
        let check = Check::bad("installation", Fault::NotInstalled, finding);
        checks.push(check.remedied_by("Install Plexus here with `plexusctl install`, or restart the Plexus pod of this node. From a workstation, run `plexusctl doctor --node <name>` or `--all-nodes`."));
        return checks;
    }
    if facts.draining {
        checks.push(Check::bad("installation", Fault::Draining, "Plexus is being uninstalled from this node"));
    }
    for doubt in &facts.untrusted {
        checks.push(Check::bad("directories", Fault::Untrusted, doubt.as_str()));
    }
    directories(facts, &mut checks);
    configuration(facts, &mut checks);
    plugin(facts, own, &mut checks);
    // What stops every pod is before what stops those of one network.
    let (default, others): (Vec<&Network>, Vec<&Network>) = facts.networks.iter().partition(|network| network.default);
    default.into_iter().for_each(|network| of_network(network, facts, &mut checks));
    daemon(facts, &mut checks);
    let mut attachable = 0;
    for network in others {
        let begin = checks.len();
        of_network(network, facts, &mut checks);
        for check in &mut checks[begin..] {
            check.network = Some(network.name.clone());
            if check.is_finding() && facts.daemon.is_err() {
                check.finding += " (by the node's copy: plexusd was not asked for the network of now)";
            }
        }
        // A pool that is nearly full is told by itself.
        let is_told = facts.pools.known.iter().any(|pool| pool.network == network.name && pool.is_nearly_full());
        attachable += usize::from(checks.len() == begin && !is_told);
    }
    if attachable > 0 {
        checks.push(Check::good("network", format!("{} can be attached here", counted(attachable, "network"))));
    }
    pools(facts, &mut checks);
    records(facts, &mut checks);
    checks.extend(runtime::checks(&facts.runtimes));
    worst_first(checks)
}

fn directories(facts: &Facts, checks: &mut Vec<Check>) {
    match &facts.flaws {
        None => {
            checks.push(Check::unseen("directories", "only root sees whether the directories of Plexus can be written"))
        }
        Some(flaws) if flaws.is_empty() && facts.untrusted.is_empty() => {
            checks.push(Check::good("directories", "the state directory and the run directory can be written"));
        }
        Some(flaws) => {
            checks.extend(flaws.iter().map(|flaw| Check::bad("directories", Fault::Unwritable, flaw.text.as_str())));
        }
    }
}

fn configuration(facts: &Facts, checks: &mut Vec<Check>) {
    let folder = facts.conf_dir.display();
    let ours = facts.files.iter().position(|file| file.calls_plexus);
    match (facts.files.first(), ours) {
        _ if facts.renamed.is_some() && ours.is_none() => {
            let renamed = facts.renamed.as_deref().unwrap_or_default();
            let finding = format!("another agent renamed Plexus' configuration to {folder}/{renamed}");
            checks.push(Check::bad("configuration", Fault::Displaced, finding));
        }
        (None, _) => checks.push(Check::bad(
            "configuration",
            Fault::PrimaryMissing,
            format!("{folder} contains no CNI configuration: the node is not ready"),
        )),
        (Some(first), Some(at)) if at > 0 => {
            let finding = format!(
                "the runtime takes {folder}/{} before {}: new pods get no additional networks",
                first.name, facts.files[at].name
            );
            checks.push(Check::bad("configuration", Fault::Displaced, finding));
        }
        (Some(first), None) if facts.chained => {
            let finding = format!("{folder}/{} is first, and Plexus is chained behind it", first.name);
            checks.push(Check::good("configuration", finding));
        }
        (Some(first), None) => {
            let unread = facts.files.iter().find(|file| file.is_own() && file.error.is_some());
            let finding = match unread {
                Some(own) => {
                    let why = own.error.as_deref().unwrap_or_default();
                    let path = format!("{folder}/{}", own.name);
                    let why = why.strip_prefix(&path).map_or(why, |why| why.trim_start_matches([':', ' ']));
                    format!("the configuration of Plexus, {path}, cannot be read: {why}")
                }
                None => format!("no file in {folder} calls Plexus; the runtime takes {}", first.name),
            };
            let again =
                "Restart the Plexus pod of this node: it writes the file again. Without it run `plexusctl install`.";
            checks.push(Check::bad("configuration", Fault::Displaced, finding).remedied_by(again));
        }
        (Some(first), Some(_)) => {
            let version = first.cni_version.as_ref().map(|version| format!(" (CNI version {version})"));
            let finding = format!("{folder}/{} is first and calls Plexus{}", first.name, version.unwrap_or_default());
            checks.push(Check::good("configuration", finding));
        }
    }
    let is_told = |file: &File| ours.is_none() && file.is_own();
    let broken = facts.files.iter().filter(|file| file.error.is_some() && !is_told(file)).take(MOST);
    checks.extend(broken.map(|file| {
        let finding = file.error.clone().unwrap_or_default();
        Check::warning("configuration", Fault::PrimaryMissing, finding)
            .remedied_by("Correct or remove the file: the runtime may refuse every pod because of it.")
    }));
    settings(facts, checks);
    displaced(facts, ours == Some(0), checks);
    if ours.is_some() && facts.settings_error.is_none() && !facts.networks.iter().any(|network| network.default) {
        let finding = "the configuration of Plexus names no default network (clusterNetwork or delegates)";
        let remedy = "Install the network of the cluster first, then run `plexusctl install` again.";
        checks.push(Check::bad("default network", Fault::PrimaryMissing, finding).remedied_by(remedy));
    }
}

/// What the keeper reported of Plexus' file, which `is_in_place` now or not.
fn displaced(facts: &Facts, is_in_place: bool, checks: &mut Vec<Check>) {
    if let Some(keeper) = facts.keeper.as_ref().filter(|keeper| !keeper.displaced.is_empty()) {
        // The report may be of a keeper that has ended.
        let check = if is_in_place { Check::warning } else { Check::bad };
        let now = if is_in_place { "; now it is in its place" } else { "" };
        checks.push(check("keeper", Fault::Displaced, format!("{}{now}", keeper.displaced)));
    }
}

/// The settings in the configuration of Plexus.
fn settings(facts: &Facts, checks: &mut Vec<Check>) {
    if let Some(why) = &facts.settings_error {
        let check = Check::bad("settings", Fault::NetworkBroken, why.as_str());
        checks.push(check.remedied_by("Correct the settings: docs/configuration.md describes the keys."));
    }
    for remark in &facts.settings_remarks {
        let check = Check::warning("settings", Fault::Other, format!("the configuration of Plexus: {remark}"));
        checks.push(check.remedied_by("Correct the settings: docs/configuration.md describes the keys."));
    }
}

fn plugin(facts: &Facts, own: &str, checks: &mut Vec<Check>) {
    let path = facts.plugin.display();
    match (&facts.release, &facts.daemon) {
        (Err(why), _) => checks.push(Check::bad("plugin", Fault::NotInstalled, files::told(&facts.plugin, why))),
        (Ok(release), Ok(health)) if *release != health.release => {
            let finding = format!("{path} has release {release}, and the daemon has {}", health.release);
            checks.push(Check::bad("plugin", Fault::OldPlugin, finding));
        }
        (Ok(release), _) if release != own => {
            let finding = format!("{path} has release {release}, and this program has {own}");
            checks.push(Check::warning("plugin", Fault::OldPlugin, finding));
        }
        (Ok(release), _) => checks.push(Check::good("plugin", format!("{path} has release {release}"))),
    }
}

fn of_network(network: &Network, facts: &Facts, checks: &mut Vec<Check>) {
    let (check, name) =
        if network.default { ("default network", network.name.clone()) } else { ("network", network.name.clone()) };
    if let Some(why) = network.error.as_ref().filter(|_| network.has_last_good) {
        let finding = format!("{}; the last good copy is used", files::told(Path::new(&name), why));
        checks.push(Check::warning(check, Fault::PrimaryMissing, finding));
    } else if let Some(why) = &network.error {
        let fault = if network.default { Fault::PrimaryMissing } else { Fault::NetworkBroken };
        checks.push(Check::bad(check, fault, files::told(Path::new(&name), why)));
    } else if let Some(why) = &network.missing_program {
        checks.push(with_near_type(Check::bad(check, Fault::PluginMissing, format!("{name}: {why}"))));
    } else if let Some(master) = &network.missing_master {
        let finding = format!("{name}: there is no link {master} on this node");
        checks.push(Check::bad(check, Fault::MasterMissing, finding));
    } else if let Some(why) = &network.refused {
        let fault = if network.default { Fault::PrimaryMissing } else { Fault::NetworkBroken };
        let check = Check::bad(check, fault, format!("{name}: {why}"));
        checks.push(check.remedied_by(Fault::NetworkBroken.remedy()));
    } else if let Some(why) = &network.unusable_pool {
        let check = Check::bad(check, Fault::Unwritable, format!("{name}: {why}"));
        checks.push(check.remedied_by(
            "Correct the directory: root owns it, nobody else writes there, and its file system has room and is writable.",
        ));
    } else if let Some((pool, why)) = refused_pool(network, facts) {
        // What the plugin says at ADD.
        let finding = format!("{name}: plugin plexus-ipam: pool {pool}: {why}");
        let fault = match cause_of(why) {
            Fault::Whereabouts => Fault::Whereabouts,
            _ => Fault::AddressPool,
        };
        checks.push(Check::bad(check, fault, finding));
    } else if let Some(why) = facts.refused_pools.as_ref().err().filter(|_| !network.address_pools.is_empty()) {
        let finding = format!("{name}: whether its address pool gives addresses is not known: {why}");
        checks.push(match cause_of(why) {
            Fault::AddressesOff => Check::bad(check, Fault::AddressesOff, finding),
            _ => Check::unseen(check, finding),
        });
    } else if let Some(why) = &network.unknown_key {
        checks.push(
            Check::warning(check, Fault::NetworkBroken, format!("{name}: {why}"))
                .remedied_by("Correct or remove the key; `plexusctl lint --cluster` shows all such keys."),
        );
    } else if facts.pools.known.iter().any(|pool| pool.network == name && pool.is_nearly_full()) {
        // The check of its pool has the verdict.
    } else if network.default || facts.networks.len() <= MOST {
        checks.push(Check::good(check, format!("{name} can be attached here")));
    }
}

/// A pool of the cluster that gives `network` no address on this node.
fn refused_pool<'a>(network: &Network, facts: &'a Facts) -> Option<(&'a String, &'a String)> {
    let refused = facts.refused_pools.as_ref().ok()?;
    network.address_pools.iter().find_map(|pool| refused.get_key_value(pool.as_str()))
}

fn daemon(facts: &Facts, checks: &mut Vec<Check>) {
    let health = match &facts.daemon {
        Err(why) => {
            let fault = match cause_of(why) {
                Fault::Other => Fault::DaemonDown,
                fault => fault,
            };
            return checks.push(Check::bad("daemon", fault, why.as_str()));
        }
        Ok(health) => health,
    };
    let waiting: Vec<_> = health.guards.iter().filter(|(_, awaited)| !awaited.is_empty()).collect();
    let cause = |name: &str, why: &str| of_plexus(&format!("{name}: {why}")).0;
    let lacks_rights = waiting.iter().any(|(name, awaited)| cause(name, awaited) == Fault::TokenRefused);
    // Without its rights the daemon cannot try what the policy denies, and the policy is no second cause.
    let is_untried = |fault| lacks_rights && fault == Fault::PolicyMissing;
    for (name, awaited) in &waiting {
        let fault = cause(name, awaited);
        if is_untried(fault) {
            checks.push(Check::unseen("policy", "plexusd tests the admission policy when it has its rights"));
            continue;
        }
        let check = Check::bad("daemon", fault, format!("it is not ready: {name}: {awaited}"));
        checks.push(of_policy(check, awaited));
    }
    if waiting.is_empty() {
        checks.push(Check::good("daemon", format!("plexusd {} is ready", health.release)));
    }
    for (name, remark) in &health.remarks {
        if name == SOURCE_DIRECTORY {
            let check = Check::bad("daemon", Fault::Other, format!("the source directory of plexusd: {remark}"));
            checks.push(
                check.remedied_by("Create the directory again, or start plexusd with another --source-directory."),
            );
            continue;
        }
        let fault = cause(name, remark);
        if is_untried(fault) {
            continue;
        }
        checks.push(of_policy(Check::warning("daemon", fault, format!("{name}: {remark}")), remark));
    }
    if health.guards.contains_key("policy") && waiting.iter().all(|(name, _)| *name != "policy") {
        checks.push(Check::good("policy", "the admission policy guards the daemon's token"));
    }
    annotations(facts, health, checks);
    if health.unpublished > 0 {
        let waiting = counted_with(health.unpublished, "network-status", "waits");
        let finding = format!("{waiting} to be written to pods");
        checks.push(
            Check::warning("statuses", Fault::StatusMissing, finding)
                .remedied_by("Look at the daemon's log: it has the reason."),
        );
    }
}

/// Whether the runtime passes the annotations of pods.
fn annotations(facts: &Facts, health: &Health, checks: &mut Vec<Check>) {
    checks.push(if !health.guards.contains_key("pods") && !facts.was_called {
        Check::unseen("annotations", "no record of a pod shows yet whether the runtime passes the annotations of pods")
    } else if health.guards.contains_key("pods") {
        Check::warning(
            "annotations",
            Fault::Other,
            "the runtime does not pass the annotations of pods: the daemon reads every pod",
        )
        .remedied_by("Use containerd, or CRI-O from 1.29 on: then the daemon needs no right to read pods.")
    } else {
        Check::good("annotations", "the daemon was not asked for the annotations of pods: the runtime passes them")
    });
}

/// A daemon that was started by hand has no pod on which it could test the policy: no manifest mends that.
fn of_policy(check: Check, why: &str) -> Check {
    if check.fault != Some(Fault::PolicyMissing) || !why.contains("--pod-name") {
        return check;
    }
    check.remedied_by("In a pod, start plexusd with --pod-name. By hand, start it without --require-policy, with an account that has no more rights than conf/base grants.")
}

fn pools(facts: &Facts, checks: &mut Vec<Check>) {
    let Pools { known, unseen, age: counted } = &facts.pools;
    let counted = counted.map(|past| format!(" (counted {} ago)", age(past.as_secs()))).unwrap_or_default();
    // Every pod uses the pool of the default network.
    let is_default = |pool: &Pool| facts.networks.iter().any(|one| one.default && one.name == pool.network);
    for pool in known.iter().filter(|pool| pool.is_nearly_full()) {
        let Pool { network, used, size } = pool;
        let finding = format!("network {network}: {used} of {size} addresses are taken on this node{counted}");
        let check = if pool.is_full() { Check::bad } else { Check::warning };
        let check = check("pool", Fault::PoolFull, finding);
        checks.push(if is_default(pool) { check } else { check.of_network(network.as_str()) });
    }
    if *unseen > 0 {
        checks.push(Check::unseen(
            "pool",
            "the directories of pools are seen only by root on the node, not in a container; the plugin counts them after one of its next calls",
        ));
    } else if !known.is_empty() && known.iter().all(|pool| !pool.is_nearly_full()) {
        let finding = format!("{} free addresses{counted}", counted_with(known.len(), "host-local pool", "has"));
        checks.push(Check::good("pool", finding));
    }
}

fn records(facts: &Facts, checks: &mut Vec<Check>) {
    if let Some(why) = &facts.unlisted {
        // Of a directory that others may write, nothing is read.
        let fault = if facts.untrusted.is_empty() { Fault::Unwritable } else { Fault::Untrusted };
        return checks.push(Check::bad("records", fault, format!("the records cannot be listed: {why}")));
    }
    if facts.debts > 0 {
        let debts = counted_with(facts.debts, "failed removal", "is");
        let finding = format!("{debts} retried: `plexusctl get --debts` shows the reason");
        checks.push(Check::warning("records", Fault::Debt, finding));
    }
    if facts.damaged > 0 {
        let finding = format!("{} cannot be read: `plexusctl get` has the names", counted(facts.damaged, "record"));
        let look = "Run `plexusctl gc` on the node for those of sandboxes that are gone; the others wait for the DEL of their pods.";
        checks.push(Check::warning("records", Fault::Debt, finding).remedied_by(look));
    }
    if facts.unpublished > 0 {
        let finding = format!("{} in the records", counted_with(facts.unpublished, "network-status", "waits"));
        let check = Check::warning("statuses", Fault::StatusMissing, finding);
        checks.push(
            check.remedied_by("See that the run directory can be written: a later call of the plugin publishes them."),
        );
    }
    if facts.debts + facts.damaged == 0 {
        checks.push(Check::good("records", "no failed removal, no damaged record"));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
