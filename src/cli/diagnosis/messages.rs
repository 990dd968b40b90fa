//! The cause that a message names: of Plexus, of the runtime, or of a plugin.

use crate::cli::diagnosis::{Check, Fault};
use crate::cni::spelling;
use crate::delegate::kinds;
use std::borrow::Cow;

/// Words that are all in a message, and its cause. The first row that holds counts: the most exact rows are first.
const CAUSES: &[(&[&str], Fault)] = &[
    // A registry has its own "Unauthorized".
    (&["ErrImagePull"], Fault::ImageMissing),
    (&["ImagePullBackOff"], Fault::ImageMissing),
    (&["InvalidImageName"], Fault::ImageMissing),
    (&["ErrImageNeverPull"], Fault::ImageMissing),
    (&["Failed to pull image"], Fault::ImageMissing),
    (&["conf/components/ipam"], Fault::AddressesOff),
    (&["the cluster has whereabouts.cni.cncf.io"], Fault::Whereabouts),
    (&["its CRD is not installed"], Fault::CrdMissing),
    (&["plexusd may not"], Fault::TokenRefused),
    (&["Unauthorized"], Fault::TokenRefused),
    (&["is forbidden: User"], Fault::TokenRefused),
    (&["dmission policy"], Fault::PolicyMissing),
    (&["AdmissionPolicy"], Fault::PolicyMissing),
    (&["unreadable answer"], Fault::OldPlugin),
    (&["answered another question"], Fault::OldPlugin),
    (&["plexusd is not running"], Fault::DaemonDown),
    (&["plexusd does not answer"], Fault::DaemonDown),
    (&["plexusd closed the connection"], Fault::DaemonDown),
    (&["neither root nor the daemon"], Fault::DaemonDown),
    (&["failed to find plugin \"plexus\""], Fault::NotInstalled),
    (&["the NetworkAttachmentDefinition does not exist"], Fault::NetworkMissing),
    (&["is missing: no such file in"], Fault::PluginMissing),
    (&["failed to find plugin"], Fault::PluginMissing),
    (&["cannot be executed"], Fault::PluginMissing),
    (&["there is no link"], Fault::MasterMissing),
    (&["Link not found"], Fault::MasterMissing),
    (&["plexus-ipam", "(MAC "], Fault::AddressInUse),
    (&["no block is free"], Fault::PoolFull),
    (&["plexus-ipam", "none was leased"], Fault::AddressPool),
    (&["no address is free"], Fault::PoolFull),
    (&["no IP addresses available"], Fault::PoolFull),
    (&["plexus-ipam", "pool "], Fault::AddressPool),
    (&["may not use"], Fault::Isolation),
    (&["no device of resource"], Fault::DeviceMissing),
    (&["being uninstalled"], Fault::Draining),
    (&["annotation k8s.v1.cni.cncf.io/"], Fault::Annotation),
    (&["default network", "does not exist"], Fault::PrimaryMissing),
    (&["default network", "holds no network configuration"], Fault::PrimaryMissing),
    (&["cni plugin not initialized"], Fault::PrimaryMissing),
    (&["cni config uninitialized"], Fault::PrimaryMissing),
    (&["no CNI configuration file"], Fault::PrimaryMissing),
    // CRI-O's words.
    (&["No CNI configuration file"], Fault::PrimaryMissing),
    (&["unknown key"], Fault::NetworkBroken),
    (&["not a JSON"], Fault::NetworkBroken),
    (&["is not JSON"], Fault::NetworkBroken),
    (&["invalid JSON"], Fault::NetworkBroken),
    (&["cniVersion"], Fault::NetworkBroken),
];

/// The cause that `message` names; [`Fault::Other`] where it is none of the known ones.
pub fn cause_of(message: &str) -> Fault {
    let holds = |(words, _): &&(&[&str], Fault)| words.iter().all(|word| message.contains(word));
    let known = CAUSES.iter().find(holds).map_or(Fault::Other, |(_, fault)| *fault);
    // A plugin that asks the API server has a token of its own.
    if known == Fault::TokenRefused && refused_plugin(message).is_some() { Fault::Other } else { known }
}

/// The plugin that has no right for what it wants, where it is not Plexus itself.
fn refused_plugin(message: &str) -> Option<&str> {
    let kind = message.split_once("plugin ")?.1.split(':').next()?;
    let is_refused = ["Unauthorized", "is forbidden: User"].iter().any(|word| message.contains(word));
    let is_named = !kind.is_empty() && !kind.contains([' ', '"', '=']);
    // For plexus-ipam plexusd asks, with the token of Plexus.
    let is_own = ["plexusd may not", "plexus-ipam"].iter().any(|word| message.contains(word));
    (is_refused && is_named && !is_own).then_some(kind)
}

/// The cause for which Plexus' pod is not ready: its readiness probe names the check that waits.
pub fn of_readiness(message: &str) -> Fault {
    match cause_of(message) {
        Fault::Other if message.contains("installation:") => Fault::Displaced,
        Fault::Other if message.contains("policy:") => Fault::PolicyMissing,
        Fault::Other => Fault::DaemonDown,
        known => known,
    }
}

/// The same, and what of a probe's message is the reason.
pub fn of_plexus(message: &str) -> (Fault, &str) {
    (of_readiness(message), message.split_once("not ready: ").map_or(message, |(_, why)| why).trim())
}

/// The additional network that a message of the plugin is about: it begins with it.
pub fn network_of(message: &str) -> Option<&str> {
    let name = message.strip_prefix("network ")?.split([' ', ':']).next()?;
    name.contains('/').then_some(name)
}

/// `check` with the type that is probably meant where the program of a plugin is missing: that is more probable than a
/// program of nearly the same name.
pub fn with_near_type(check: Check) -> Check {
    let kind =
        check.finding.split_once(" is missing: no such file in").and_then(|(before, _)| before.rsplit(' ').next());
    match kind.and_then(kinds::meant) {
        Some(meant) => {
            // A plugin of a former release does not ask.
            let is_asked = check.finding.contains("did you mean");
            let hint = if is_asked { String::new() } else { spelling::hint(Some(format!("{meant:?}"))) };
            let finding = format!("{}{hint}", check.finding);
            let remedy = "Correct the type in the configuration of the network; if it is meant, install its program in the plugin directory of the node.";
            Check { finding, ..check }.remedied_by(remedy)
        }
        None => check,
    }
}

/// What the runtime writes before the type of the plugin that failed.
const PLUGIN: &str = "plugin type=\"";
/// What it writes before the plugin's answer.
const FAILED: &str = "failed (add): ";
/// The same of DEL.
const NOT_DELETED: &str = "failed (delete): ";
/// The plugins that fail under their own name although the runtime calls Plexus: runtimes make the loopback interface themselves.
const CALLED_BESIDE: [&str; 2] = ["plexus", "loopback"];

/// A failed sandbox, by the runtime's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox<'a> {
    /// The cause.
    pub fault: Fault,
    /// What Plexus answered, or what the runtime told.
    pub answer: &'a str,
    /// The plugin that answered, where the runtime called another one than Plexus.
    pub stranger: Option<&'a str>,
}

/// Of the runtime's message about a sandbox who answered what. What a plugin passes on from another one is part of its answer.
pub fn of_sandbox(message: &str) -> Sandbox<'_> {
    let named = message.split_once(PLUGIN).and_then(|(_, rest)| {
        let (kind, rest) = rest.split_once('"')?;
        Some((kind, rest.split_once(FAILED)?.1.trim()))
    });
    let (stranger, answer) = match named {
        Some((kind, answer)) => (Some(kind).filter(|kind| !CALLED_BESIDE.contains(kind)), answer),
        None => (None, message.rsplit_once("desc = ").map_or(message, |(_, rest)| rest).trim()),
    };
    let fault = if stranger.is_some() { Fault::Displaced } else { cause_of(answer) };
    Sandbox { fault, answer, stranger }
}

/// What the plugin answered to DEL, by the kubelet's message about a sandbox that it cannot remove; with the name of the plugin
/// where that is not Plexus.
pub fn of_removal(message: &str) -> String {
    // The kubelet puts the runtime's message into quotes.
    let message = message.replace("\\\"", "\"");
    let message = message.trim().trim_end_matches('"');
    let Some((before, answer)) = message.split_once(NOT_DELETED) else {
        return message.rsplit_once("desc = ").map_or(message, |(_, rest)| rest).trim().to_owned();
    };
    let kind = before.rsplit_once(PLUGIN).and_then(|(_, rest)| rest.split('"').next());
    match kind.filter(|kind| !CALLED_BESIDE.contains(kind)) {
        Some(kind) => format!("the plugin {kind}, which is not Plexus, answered: {}", answer.trim()),
        None => answer.trim().to_owned(),
    }
}

impl Sandbox<'_> {
    /// The failure in a sentence.
    pub fn finding(&self) -> String {
        match self.stranger {
            Some(kind) => {
                format!("the runtime called the plugin {kind} and not Plexus; {kind} answered: {}", self.answer)
            }
            None => self.answer.to_owned(),
        }
    }

    /// The next step.
    pub fn remedy(&self) -> Cow<'static, str> {
        let of_stranger = "Run `plexusctl doctor` on the node: it shows whether another CNI configuration than that of Plexus is first (with Cilium, set cni.exclusive=false). Where Plexus is chained behind that plugin, mend what it names.";
        match refused_plugin(self.answer) {
            _ if self.stranger.is_some() => of_stranger.into(),
            Some(kind) => format!("Correct the credentials or the rights of the plugin {kind}: the message has what the API server refused.").into(),
            None => self.fault.remedy().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_plexus_have_causes() {
        let table = [
            ("network default/lam: the NetworkAttachmentDefinition does not exist", Fault::NetworkMissing),
            ("network default/a (net1): plugin dhcpd is missing: no such file in /opt/cni/bin", Fault::PluginMissing),
            (
                "network default/a: plugin macvlan: master bond9: there is no link bond9 on this node",
                Fault::MasterMissing,
            ),
            ("network default/a: plugin host-local: no address is free in 10.1.2.1-10.1.2.6", Fault::PoolFull),
            (
                "network default/a: plugin plexus-ipam: pool lan: another device has 10.9.0.1 (MAC 02:00:00:00:00:02)",
                Fault::AddressInUse,
            ),
            ("default network cbr0: /etc/cni/net.d/cbr0 does not exist", Fault::PrimaryMissing),
            ("plexusd is not running (/run/plexus/daemon/plexusd.sock: No such file or directory)", Fault::DaemonDown),
            ("plexusd sent an unreadable answer: unknown variant", Fault::OldPlugin),
            ("pod a/b: plexusd may not get, list and watch pods: grant it", Fault::TokenRefused),
            ("failed to find plugin \"plexus\" in path [/opt/cni/bin]", Fault::NotInstalled),
            ("Network plugin returns error: cni plugin not initialized", Fault::PrimaryMissing),
            ("annotation k8s.v1.cni.cncf.io/networks of pod a/b: not a JSON list", Fault::Annotation),
            (
                "annotation k8s.v1.cni.cncf.io/networks of pod a/b: network c/d is in namespace c, which pods of namespace a may not use",
                Fault::Isolation,
            ),
            (
                "container web: ErrImagePull: failed to pull and unpack image \"x/y:1\": 401 Unauthorized",
                Fault::ImageMissing,
            ),
            ("container web: ImagePullBackOff: Back-off pulling image \"x/y:1\"", Fault::ImageMissing),
            ("a dragon", Fault::Other),
        ];
        for (message, fault) in table {
            assert_eq!(cause_of(message), fault, "{message}");
        }
    }

    #[test]
    fn who_answered_the_runtime_is_told() {
        let outer = "rpc error: code = Unknown desc = failed to setup network for sandbox \"c1\": ";
        let of = |rest: &str| {
            let message = format!("{outer}{rest}");
            let Sandbox { fault, answer, stranger } = of_sandbox(&message);
            (fault, answer.to_owned(), stranger.map(str::to_owned))
        };
        let flannel = "plugin type=\"flannel\" name=\"cbr0\" failed (add): open /run/flannel/subnet.env: no such file";
        let other = (Fault::Displaced, "open /run/flannel/subnet.env: no such file".into(), Some("flannel".into()));
        assert_eq!(of(flannel), other);
        // A program that Plexus called passes on what its own plugin answered.
        let nested = "network default/a (net1): plugin x: plugin type=\"bridge\" failed (add): no address is free";
        let ours = format!("plugin type=\"plexus\" name=\"cbr0\" failed (add): {nested}");
        assert_eq!(of(&ours), (Fault::PoolFull, nested.to_owned(), None));
        let loopback =
            "plugin type=\"loopback\" failed (add): failed to find plugin \"loopback\" in path [/opt/cni/bin]";
        assert_eq!((of(loopback).0, of(loopback).2), (Fault::PluginMissing, None));
        assert_eq!(of_sandbox("a: b desc = c desc = d").answer, "d");
        let told = of_sandbox(flannel);
        assert!(told.finding().starts_with("the runtime called the plugin flannel and not Plexus"), "{told:?}");
        assert!(told.remedy().contains("plexusctl doctor"), "{told:?}");
    }

    #[test]
    fn a_probe_that_fails_names_the_cause() {
        let table = [
            ("Readiness probe failed: not ready: installation: 05-cilium.conflist sorts first\n", Fault::Displaced),
            ("not ready: policy: the ValidatingAdmissionPolicy is missing", Fault::PolicyMissing),
            ("not ready: definitions: plexusd may not get, list and watch them", Fault::TokenRefused),
            ("not ready: definitions: no answer", Fault::DaemonDown),
        ];
        for (message, fault) in table {
            assert_eq!(of_readiness(message), fault, "{message}");
        }
        assert_eq!(of_plexus(table[0].0).1, "installation: 05-cilium.conflist sorts first");
    }
}
