//! What concerns the whole cluster, as a checklist. Pure.

use crate::cli::address_pools::{pools_of, wrong};
use crate::cli::diagnosis::{Check, Fault, Mark, cause_of, worst_first};
use crate::cli::output::counted::{counted, counted_with};
use crate::cli::status::facts::Facts;
use crate::cli::status::node::Examined;
use crate::cli::status::{pods, rows, whereabouts};
use crate::cli::why::{broken, plexus};
use crate::cluster::SeenPod;
use crate::ipam::PoolName;
use crate::nad::NadRef;
use std::collections::BTreeSet;

/// The policies of conf/base.
const POLICIES: [&str; 2] = ["plexus", "plexus-events"];
/// The release of this program, whose policies are compared.
const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// What to do where the cluster has a former release.
const UPDATE: &str = "Update Plexus in the cluster: docs/install/upgrade.md has the order.";
/// So many objects are named.
const MOST: usize = 3;

/// The checklist, the worst first.
pub fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    nodes(facts, &mut checks);
    versions(facts, &mut checks);
    examinations(facts, &mut checks);
    policies(facts, &mut checks);
    definitions(facts, &mut checks);
    address_pools(facts, &mut checks);
    of_whereabouts(facts, &mut checks);
    pods::check(facts, &mut checks);
    worst_first(checks)
}

fn nodes(facts: &Facts, checks: &mut Vec<Check>) {
    let rows = rows::rows(facts);
    let ready = rows.iter().filter(|row| row.ready).count();
    if rows.is_empty() {
        let check = Check::bad("nodes", Fault::NoNode, "the API server lists no node that runs Linux");
        return checks.push(check.remedied_by("Look at the nodes: kubectl get nodes -o wide."));
    }
    if facts.plexus.is_empty() {
        return checks.push(without_pods(facts));
    }
    for row in rows.iter().filter(|row| !row.ready).take(MOST) {
        let problem = row.problem.as_deref().unwrap_or_default();
        let fault = row.fault.unwrap_or(Fault::DaemonDown);
        let check = Check::bad("nodes", fault, format!("node {}: {problem}", row.node));
        checks.push(match &row.remedy {
            Some(remedy) => check.remedied_by(remedy.as_str()),
            None => check,
        });
    }
    let all = rows.len();
    let finding = format!("Plexus is ready on {ready} of {}", counted(all, "node"));
    if ready == all {
        checks.push(Check::good("nodes", finding));
    } else if all - ready > MOST {
        checks.push(Check::bad("nodes", Fault::DaemonDown, finding));
    }
}

/// Why no node has a pod of Plexus.
fn without_pods(facts: &Facts) -> Check {
    let none = "the namespace of Plexus has no pod with the label app.kubernetes.io/name=plexus";
    match &facts.daemon_set {
        Ok(Some(set)) => {
            let trouble = plexus::without_pods(set);
            Check::bad("nodes", trouble.fault, trouble.why).remedied_by(trouble.remedy)
        }
        Ok(None) => {
            let finding = format!("{none}: Plexus is not installed in this cluster");
            Check::bad("nodes", Fault::NotInstalled, finding)
                .remedied_by("Install it: docs/install/install.md has the commands.")
        }
        Err(why) => {
            let finding = format!("{none}; whether it has a DaemonSet was not seen: {why}");
            Check::bad("nodes", Fault::NotInstalled, finding)
                .remedied_by("If it has none, install Plexus: docs/install/install.md has the commands.")
        }
    }
}

/// The versions of the images of Plexus' pods.
fn versions_of(facts: &Facts) -> BTreeSet<String> {
    facts.plexus.iter().filter_map(|pod| pod.images.first()).map(|image| rows::version(image)).collect()
}

/// Whether a node that was asked has another program than its image brought; that is a finding.
fn has_other_programs(facts: &Facts, checks: &mut Vec<Check>) -> bool {
    let before = checks.len();
    for (node, examined) in facts.examinations.iter().flatten() {
        if let Some((plugin, daemon)) = examined.as_ref().ok().and_then(Examined::releases) {
            let finding = format!("node {node} has the plugin of release {plugin}, and the daemon of {daemon}");
            checks.push(Check::bad("versions", Fault::OldPlugin, finding));
        }
    }
    checks.len() > before
}

/// Whether nodes have an older release than this program, by the images of their pods: the pod of a node installs its plugin.
/// That costs no further question; what is installed beside it only the node knows.
fn older(facts: &Facts, checks: &mut Vec<Check>) -> bool {
    let Some(own) = numbers(RELEASE) else { return false };
    let version = |pod: &SeenPod| pod.images.first().map(|image| rows::version(image));
    let is_older = |version: &String| numbers(version).is_some_and(|numbers| numbers < own);
    let old: Vec<(&str, String)> =
        facts.plexus.iter().filter_map(|pod| Some((pod.node.as_deref()?, version(pod).filter(is_older)?))).collect();
    for (node, version) in old.iter().take(MOST) {
        let finding = format!("node {node} has the plugin of {version}, which is older than this program ({RELEASE})");
        checks.push(Check::warning("versions", Fault::OldPlugin, finding).remedied_by(UPDATE));
    }
    if old.len() > MOST {
        let finding = format!("{} in all have a plugin that is older than this program", counted(old.len(), "node"));
        checks.push(Check::warning("versions", Fault::OldPlugin, finding).remedied_by(UPDATE));
    }
    !old.is_empty()
}

/// The numbers of a release, `v1.2.3` or `1.2.3-rc.1`. A tag that is no release has none.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).splitn(3, '.');
    let patch = |part: &str| part.split(['-', '+']).next().and_then(|patch| patch.parse().ok());
    Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, patch(parts.next()?)?])
}

fn versions(facts: &Facts, checks: &mut Vec<Check>) {
    let found = versions_of(facts);
    let names = found.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match found.len() {
        0 => {}
        1 if has_other_programs(facts, checks) => {}
        1 if !older(facts, checks) => checks.push(Check::good("versions", format!("every Plexus pod runs {names}"))),
        1 => {}
        _ => {
            checks.push(
                Check::warning("versions", Fault::OldPlugin, format!("nodes run different versions: {names}"))
                    .remedied_by("Wait for the end of the update, or restart the pods of the old version."),
            );
            older(facts, checks);
        }
    }
}

/// What is bad on a node, where the nodes were asked.
fn examinations(facts: &Facts, checks: &mut Vec<Check>) {
    let Some(all) = &facts.examinations else { return };
    let mut bad = 0;
    for (node, examined) in all {
        match examined {
            Err(why) => checks.push(Check::unseen("doctor", format!("node {node}: {why}"))),
            Ok(examined) => {
                let Some(worst) = examined.worst().filter(|check| check.mark == Mark::Bad) else { continue };
                bad += 1;
                // The check of the versions has told it.
                if worst.fault == Some(Fault::OldPlugin) && examined.releases().is_some() {
                    continue;
                }
                let remedy = worst.remedy.clone().unwrap_or_default();
                let finding = format!("node {node}: {}: {}", worst.check, worst.finding);
                checks.push(Check::bad("doctor", worst.fault.unwrap_or(Fault::Other), finding).remedied_by(remedy));
            }
        }
    }
    let seen = all.values().filter(|examined| examined.is_ok()).count();
    if bad == 0 && seen > 0 {
        checks.push(Check::good("doctor", format!("{} nothing bad", counted_with(seen, "node", "finds"))));
    }
}

fn policies(facts: &Facts, checks: &mut Vec<Check>) {
    // Without a daemon there is no token that they guard.
    if facts.plexus.iter().all(|pod| pod.uninstalls) {
        return;
    }
    let found = match &facts.policies {
        Err(why) => return checks.push(Check::unseen("policies", why.as_str())),
        Ok(found) => found,
    };
    let seen = |name: &&str| found.iter().find(|policy| policy.name == *name);
    let missing: Vec<&str> = POLICIES.into_iter().filter(|name| seen(name).is_none()).collect();
    let other: Vec<&str> =
        POLICIES.into_iter().filter(|name| seen(name).is_some_and(|policy| !policy.is_as_shipped)).collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        let finding = format!("these admission policies are missing, or no binding lets them deny: {names}");
        checks.push(Check::bad("policies", Fault::PolicyMissing, finding));
    }
    match (other.join(", "), of_another_release(facts)) {
        (names, _) if names.is_empty() => {}
        // What is weaker than here may be all that the release has.
        (names, Some(release)) => checks.push(Check::unseen(
            "policies",
            format!("{names}: of another release ({release}; this program has {RELEASE}), and not compared with its policies"),
        )),
        (names, None) => {
            let finding = format!("these admission policies are weaker than those of this release: {names}");
            checks.push(Check::bad("policies", Fault::PolicyMissing, finding));
        }
    }
    if missing.is_empty() && other.is_empty() {
        checks.push(Check::good("policies", "the admission policies of Plexus are in force"));
    }
}

/// The release in the cluster, if it has one and it is not that of this program. A tag that is no release says nothing.
fn of_another_release(facts: &Facts) -> Option<String> {
    let releases: BTreeSet<String> =
        versions_of(facts).into_iter().filter(|version| numbers(version).is_some()).collect();
    let is_own = |version: &String| version.strip_prefix('v').unwrap_or(version) == RELEASE;
    (!releases.is_empty() && !releases.iter().any(is_own)).then(|| releases.into_iter().collect::<Vec<_>>().join(", "))
}

/// That objects could not be listed, for the reason `why`. Without their CRD nobody needs to look: there are none.
fn unread(check: &'static str, why: &str) -> Check {
    match cause_of(why) {
        Fault::CrdMissing => {
            // The command is the next step.
            let finding = why.split_once(" (for networks: ").map_or(why, |(finding, _)| finding);
            Check::bad(check, Fault::CrdMissing, finding)
        }
        _ => Check::unseen(check, why),
    }
}

fn definitions(facts: &Facts, checks: &mut Vec<Check>) {
    let definitions = match &facts.definitions {
        Err(why) => return checks.push(unread("networks", why)),
        Ok(definitions) => definitions,
    };
    let bad: Vec<(&NadRef, String)> = definitions.iter().filter_map(|one| Some((&one.nad, broken(one)?))).collect();
    for (nad, why) in bad.iter().take(MOST) {
        checks.push(Check::bad("networks", Fault::NetworkBroken, format!("network {nad}: {why}")));
    }
    if bad.is_empty() {
        checks.push(Check::good(
            "networks",
            format!("{} can be read", counted(definitions.len(), "NetworkAttachmentDefinition")),
        ));
    } else if bad.len() > MOST {
        let finding = format!("{} in all cannot be used", counted(bad.len(), "NetworkAttachmentDefinition"));
        checks.push(Check::bad("networks", Fault::NetworkBroken, finding));
    }
}

/// The networks with pools that sections of whereabouts imply, or with those of objects.
fn networks_with(facts: &Facts, implied: bool) -> impl Iterator<Item = (&NadRef, PoolName)> {
    let pools =
        facts.definitions.iter().flatten().flat_map(|one| pools_of(one).into_iter().map(|pool| (&one.nad, pool)));
    pools.filter(move |(_, pool)| pool.is_implied() == implied)
}

fn of_whereabouts(facts: &Facts, checks: &mut Vec<Check>) {
    let mut networks: Vec<&NadRef> = networks_with(facts, true).map(|(nad, _)| nad).collect();
    networks.dedup();
    checks.extend(whereabouts::check(&facts.whereabouts, &networks));
}

/// The networks whose AddressPool does not exist or makes no sense.
fn address_pools(facts: &Facts, checks: &mut Vec<Check>) {
    let pools = match &facts.address_pools {
        Err(why) => return checks.push(unread("address pools", why)),
        Ok(pools) => pools,
    };
    let check = |finding: String, remedy| Check::bad("address pools", Fault::AddressPool, finding).remedied_by(remedy);
    let bad: Vec<_> = networks_with(facts, false).filter_map(|(nad, pool)| Some((nad, wrong(&pool, pools)?))).collect();
    for (nad, pool) in bad.iter().take(MOST) {
        checks.push(check(format!("network {nad}: {}", pool.why), pool.remedy));
    }
    if let Some((_, next)) = bad.get(MOST) {
        let finding = format!("{} in all take addresses from such a pool", counted(bad.len(), "network"));
        checks.push(check(finding, next.remedy));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
