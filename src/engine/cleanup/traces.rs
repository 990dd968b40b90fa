//! What a network that cannot be deleted may have left on the node, and which debts are therefore given up.

use crate::cni::{CniError, Code, ContainerId, NetworkConfig, PluginConfig, RawObject};
use crate::delegate::ipam::host_local::{self, leases};
use crate::engine::Turn;
use crate::engine::cleanup::leases::local_pools_of;
use crate::engine::sandbox::undo::Failure;
use crate::store::{Attachment, State, record};
use crate::sys::netlink::Socket;
use crate::sys::netns::Netns;
use crate::sys::unix_socket;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Plugins that leave nothing but links, which this node shows. What `host-device` has moved into a namespace comes
/// back with its end.
const VISIBLE: [&str; 12] =
    ["host-device", "bridge", "macvlan", "ipvlan", "vlan", "ptp", "loopback", "dummy", "tap", "tuning", "sbr", "vrf"];
/// Those of them whose link is their own: nothing is lost with it.
const MAKES_LINK: [&str; 7] = ["bridge", "macvlan", "ipvlan", "vlan", "ptp", "dummy", "tap"];
/// Address plugins that keep nothing but what this node shows.
const VISIBLE_IPAM: [&str; 2] = [host_local::TYPE, "static"];
/// The address plugin that asks its own daemon.
const DHCP: &str = "dhcp";
/// Where that listens, unless the section says otherwise.
const DHCP_SOCKET: &str = "/run/cni/dhcp.sock";
/// Keys with which those plugins make rules of the firewall, which nobody looks for.
const RULES: [&str; 2] = ["ipMasq", "macspoofchk"];

/// A debt is given up after so many attempts …
const ATTEMPTS: u32 = 5;
/// … over so long, where the node shows that nothing is left …
const SOON: Duration = Duration::from_secs(600);
/// … and over so long where it cannot show it: an address that a cluster's service keeps, a rule.
const LATE: Duration = Duration::from_secs(24 * 3600);

/// What is left of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Neither link nor address, and the network's plugins make nothing else.
    Nothing,
    /// A link or an address.
    Something,
    /// Neither link nor address. What else the network's plugins make cannot be seen.
    Hidden,
    /// It cannot be told.
    Unknown,
}

/// Where the link of an attachment would be.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Nowhere: the sandbox is gone.
    Gone,
    /// In this namespace.
    Namespace(&'a Path),
    /// In one that is missing from its directory. Nothing shows that the directory is the runtime's.
    Missing,
    /// In one that cannot be looked at.
    Unseen,
}

impl<'a> Place<'a> {
    /// The place of a sandbox with the namespace `netns` while that is there.
    pub fn of(netns: Option<&'a Path>) -> Self {
        netns.map_or(Place::Gone, Place::Namespace)
    }
}

/// What is left of `attachment`, whose link would be at `place`.
pub fn left(id: &ContainerId, attachment: &Attachment, place: Place<'_>) -> Left {
    let Ok(network) = NetworkConfig::parse(attachment.config.get(), None) else { return Left::Unknown };
    match (has_link(attachment, place), has_lease(&network, id, attachment)) {
        (Some(true), _) | (_, Some(true)) => Left::Something,
        (Some(false), Some(false)) if network.plugins.iter().all(is_visible) => Left::Nothing,
        (Some(false), Some(false)) => Left::Hidden,
        _ => Left::Unknown,
    }
}

/// Whether all that `plugin` makes can be seen.
fn is_visible(plugin: &PluginConfig) -> bool {
    let ipam = plugin.ipam.as_ref().is_none_or(|kind| match kind.as_str() {
        DHCP => !dhcp_daemon_lives(plugin),
        kind => VISIBLE_IPAM.contains(&kind),
    });
    let rules = RULES.iter().any(|key| plugin.object.read::<bool>(key).unwrap_or(Some(true)).unwrap_or(false));
    VISIBLE.contains(&plugin.kind.as_str()) && ipam && !rules
}

/// The daemon of `dhcp` has its leases in memory: without it there is none that could be given back.
fn dhcp_daemon_lives(plugin: &PluginConfig) -> bool {
    let section: RawObject = plugin.object.read("ipam").ok().flatten().unwrap_or_default();
    let socket = section.read::<PathBuf>("daemonSocketPath").ok().flatten().filter(|path| !path.as_os_str().is_empty());
    unix_socket::has_listener(socket.as_deref().unwrap_or(Path::new(DHCP_SOCKET)))
}

/// None where it cannot be told. With its namespace a link is gone.
fn has_link(attachment: &Attachment, place: Place<'_>) -> Option<bool> {
    let netns = match place {
        // Where there is no namespace no link is seen.
        Place::Gone | Place::Missing => return Some(false),
        Place::Unseen => return None,
        Place::Namespace(netns) => netns,
    };
    let mut socket = Socket::in_netns(&Netns::open(netns).ok()?).ok()?;
    Some(socket.link_by_name(attachment.ifname.as_str()).ok()?.is_some())
}

fn has_lease(network: &NetworkConfig, id: &ContainerId, attachment: &Attachment) -> Option<bool> {
    let mut found = false;
    for pool in local_pools_of(network).ok()? {
        found |= leases::older_than(&pool, Duration::ZERO).ok()?.iter().any(|lease| {
            let ifname = lease.ifname.as_deref();
            lease.container == id.as_str() && ifname.is_none_or(|ifname| ifname == attachment.ifname.as_str())
        });
    }
    Some(found)
}

/// Whether `failure`, of an ADD that was just undone, is of what was never made: its plugins never answered, and nothing
/// of it is there. Where that cannot be seen, both ADD (by `added`) and DEL have to refuse the configuration itself. Then
/// nothing is owed.
pub fn was_never_made(id: &ContainerId, failure: &Failure, added: Option<&CniError>, netns: Option<&Path>) -> bool {
    if failure.attachment.result.is_some() {
        return false;
    }
    match left(id, &failure.attachment, Place::of(netns)) {
        Left::Nothing => true,
        Left::Hidden => added.is_some_and(|added| is_of_configuration(added) && is_of_configuration(&failure.error)),
        Left::Something | Left::Unknown => false,
    }
}

/// Whether all that is left of `failure`, of an ADD that was just undone, is the link that its first plugin made and
/// neither of them removed: some programs leave it where their address plugin refuses the configuration.
pub fn is_link_alone(id: &ContainerId, failure: &Failure, netns: &Path) -> bool {
    let attachment = &failure.attachment;
    let Ok(network) = NetworkConfig::parse(attachment.config.get(), None) else { return false };
    let is_own = network.plugins.first().is_some_and(|first| MAKES_LINK.contains(&first.kind.as_str()));
    attachment.result.is_none()
        && is_own
        && network.plugins.iter().all(is_visible)
        && has_lease(&network, id, attachment) == Some(false)
        && has_link(attachment, Place::Namespace(netns)) == Some(true)
}

/// Whether a plugin refuses what it is given, before it works (CNI-ERR: 4, the variables; 6, the text; 7, the values).
fn is_of_configuration(error: &CniError) -> bool {
    [Code::Environment, Code::Decode, Code::InvalidConfig].map(Code::number).contains(&error.code)
}

/// Whether the plugins of `failure` never answered, and its undoing failed for the reason of its ADD (`added`).
pub fn is_refused(failure: &Failure, added: &CniError) -> bool {
    // ADD adds what may be the reason.
    failure.attachment.result.is_none() && added.msg.starts_with(&failure.error.msg)
}

/// Whether a debt is given up: it was tried often and for long, and nothing is left that this node can show. Of a
/// sandbox that still exists, whose DEL may still come, it has to be certain that nothing is left. It is told once, here.
pub fn is_settled(turn: &Turn, id: &ContainerId, attachment: &Attachment, place: Place<'_>) -> bool {
    let Some(debt) = attachment.debt.as_ref().filter(|_| attachment.state == State::Owed) else { return false };
    let tried = Duration::from_secs(record::now().saturating_sub(debt.since));
    if debt.attempts < ATTEMPTS || tried < SOON {
        return false;
    }
    let (needed, sandbox) = match (left(id, attachment, place), place) {
        (Left::Nothing, Place::Gone) => (SOON, "its sandbox is gone"),
        (Left::Nothing, Place::Namespace(_) | Place::Unseen) => (SOON, "its sandbox still exists"),
        // Else a mistake in a configuration makes as many debts as the kubelet makes attempts in a day.
        (Left::Hidden, Place::Gone) if attachment.refused => (SOON, "its sandbox is gone, and its ADD was refused"),
        (Left::Hidden, Place::Missing) if attachment.refused => {
            (SOON, "its namespace is missing, and its ADD was refused")
        }
        (Left::Hidden | Left::Unknown, Place::Gone) => (LATE, "its sandbox is gone"),
        // DEL came, and no other sandbox lives here to show where namespaces are.
        (Left::Nothing | Left::Hidden | Left::Unknown, Place::Missing) => (LATE, "its namespace is missing"),
        // It may show it later, or its DEL may come.
        (Left::Hidden | Left::Unknown, _) | (Left::Something, _) => return false,
    };
    let settled = tried >= needed;
    if settled {
        turn.warn(format!(
            "container {id}: network {} ({}) is given up after {} attempts in {} minutes: {sandbox}, and neither a link nor an address of it is left on this node; the last error: {}",
            attachment.network,
            attachment.ifname,
            debt.attempts,
            tried.as_secs() / 60,
            debt.error
        ));
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(config: &str) -> Attachment {
        let text = format!(r#"{{"call":"eth0","network":"ns/n","ifname":"net1","state":"owed","config":{config}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_cannot_be_looked_for_is_not_nothing() {
        let id = ContainerId::new("c").unwrap();
        let of =
            |plugins: &str| left(&id, &attachment(&format!(r#"{{"name":"none","plugins":[{plugins}]}}"#)), Place::Gone);
        let local = r#""ipam":{"type":"host-local","subnt":"10.0.0.0/24"}"#;
        for nothing in [
            format!(r#"{{"type":"macvlan",{local}}}"#),
            r#"{"type":"bridge"},{"type":"tuning"}"#.to_owned(),
            r#"{"type":"bridge","ipMasq":false,"ipam":{"type":"static"}}"#.to_owned(),
            r#"{"type":"host-device","device":"eth9"}"#.to_owned(),
        ] {
            assert_eq!(of(&nothing), Left::Nothing, "{nothing}");
        }
        for hidden in [
            r#"{"type":"macvlan","ipam":{"type":"whereabouts"}}"#,
            r#"{"type":"bridge","ipMasq":true}"#,
            r#"{"type":"bridge","macspoofchk":"perhaps"}"#,
            r#"{"type":"bridge"},{"type":"portmap"}"#,
            r#"{"type":"sriov"}"#,
        ] {
            assert_eq!(of(hidden), Left::Hidden, "{hidden}");
        }
        assert_eq!(left(&id, &attachment("7"), Place::Gone), Left::Unknown);
        assert_eq!(left(&id, &attachment(r#"{"name":"none","type":"macvlan"}"#), Place::Unseen), Left::Unknown);
    }

    #[test]
    fn a_lease_is_something() {
        // The pool has to be root's alone: below /tmp nothing is.
        if !crate::sys::is_root() {
            eprintln!("SKIP a_lease_is_something: needs root");
            return;
        }
        let folder = tempfile::tempdir_in("/var").unwrap();
        std::fs::create_dir(folder.path().join("n")).unwrap();
        let text = format!(
            r#"{{"name":"n","type":"macvlan","ipam":{{"type":"host-local","dataDir":"{}"}}}}"#,
            folder.path().display()
        );
        let (id, other) = (ContainerId::new("c").unwrap(), ContainerId::new("d").unwrap());
        assert_eq!(left(&id, &attachment(&text), Place::Gone), Left::Nothing);
        std::fs::write(folder.path().join("n/10.0.0.2"), "c\r\nnet1").unwrap();
        assert_eq!(left(&id, &attachment(&text), Place::Gone), Left::Something);
        assert_eq!(left(&other, &attachment(&text), Place::Gone), Left::Nothing);
    }
}
