//! What is known of a probe, and the judgement of a pod that starts or does not. Pure.

use crate::cli::connectivity::image;
use crate::cli::connectivity::layout::Probe;
use crate::cli::connectivity::manifest::INTERFACE;
use crate::cli::diagnosis::{Fault, cause_of, of_sandbox, pulling};
use crate::cli::pods::networks::{PodNetworks, Standing};
use crate::cli::probe::words::{Measured, Target};
use crate::cluster::{SeenEvent, SeenPod};
use std::net::IpAddr;
use std::time::Duration;

/// A failure of the sandbox counts after so many attempts, or once the pod has waited for [`PATIENCE`].
const ATTEMPTS: u32 = 2;
/// After that a reason for which a pod waits is taken for final.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a probe measures nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, by name.
    pub fault: Fault,
    /// The reason, in one sentence.
    pub why: String,
}

impl Trouble {
    /// The cause that `why` names.
    pub fn of(why: &str) -> Self {
        Trouble { fault: cause_of(why), why: why.to_owned() }
    }
}

/// A probe, and what came of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which one.
    pub probe: Probe,
    /// The addresses of its interface, or why it has none.
    pub start: Result<Vec<IpAddr>, Trouble>,
    /// MTU of its interface, once it has printed that.
    pub mtu: Option<usize>,
    /// What it measures, and what it measured.
    pub targets: Vec<(Target, Option<Measured>)>,
    /// Why a measurement is missing.
    pub silence: Option<String>,
}

impl Found {
    /// `probe`, which has not measured.
    pub fn new(probe: Probe, start: Result<Vec<IpAddr>, Trouble>) -> Self {
        Found { probe, start, mtu: None, targets: Vec::new(), silence: None }
    }

    /// Its first address of the family.
    pub fn address(&self, is_v4: bool) -> Option<IpAddr> {
        self.start.iter().flatten().copied().find(|address| address.is_ipv4() == is_v4)
    }
}

/// What the probe numbered `at` measures: every other one of its network, by its first address of each family. An
/// address that is its own, too, would be answered without a packet.
pub fn targets(found: &[Found], at: usize) -> Vec<Target> {
    let Some(own) = found.get(at) else { return Vec::new() };
    let is_own = |address: &IpAddr| own.start.iter().flatten().any(|one| one == address);
    let others =
        found.iter().filter(|other| other.probe.network == own.probe.network && other.probe.pod != own.probe.pod);
    let of_family = |other: &Found, is_v4| {
        let address = other.address(is_v4).filter(|address| !is_own(address))?;
        own.address(is_v4).map(|_| Target { name: other.probe.pod.clone(), address })
    };
    others.flat_map(|other| [true, false].map(|is_v4| of_family(other, is_v4))).flatten().collect()
}

/// Whether the pod of `probe` has started, or will not; `None` while that is open. `events` are the pod's.
pub fn judge(
    probe: &Probe,
    pod: Option<&SeenPod>,
    events: &[SeenEvent],
    waited: Duration,
) -> Option<Result<Vec<IpAddr>, Trouble>> {
    let Some(pod) = pod else { return Some(Err(Trouble::of("its pod was deleted by somebody else"))) };
    let ended = matches!(pod.phase.as_str(), "Failed" | "Succeeded");
    if ended || pod.deleting {
        let why = pod.waits.as_deref().unwrap_or("its pod has ended");
        return Some(Err(Trouble::of(why)));
    }
    if pod.phase == "Running" {
        return attached(probe, pod).map(Ok);
    }
    let failed = || events.iter().filter(|event| event.reason == SeenEvent::SANDBOX_FAILED);
    let attempts: u32 = failed().map(|event| event.count).sum();
    if let Some(event) = failed().next_back().filter(|_| attempts >= ATTEMPTS || waited >= PATIENCE) {
        let sandbox = of_sandbox(&event.message);
        return Some(Err(Trouble { fault: sandbox.fault, why: sandbox.finding() }));
    }
    if let Some(why) = image::refused(pod, events, waited >= PATIENCE) {
        return Some(Err(Trouble { fault: Fault::ImageMissing, why }));
    }
    let why = pod.waits.as_deref().filter(|_| waited >= PATIENCE)?;
    let fault = if pod.node.is_none() { Fault::NoNode } else { cause_of(why) };
    Some(Err(Trouble { fault, why: why.to_owned() }))
}

/// Why the pod of `probe` has not started in time.
pub fn late(probe: &Probe, pod: Option<&SeenPod>, events: &[SeenEvent], waited: Duration) -> Trouble {
    if let Some(Err(trouble)) = judge(probe, pod, events, waited.max(PATIENCE)) {
        return trouble;
    }
    let limit = waited.as_secs();
    match pod {
        Some(pod) if pod.phase == "Running" => Trouble {
            fault: Fault::StatusMissing,
            why: format!("its network-status has no {INTERFACE} of {} after {limit} s", probe.network),
        },
        _ => {
            let pulling =
                pulling(events).map(|image| (Fault::ImageMissing, format!(": the image {image} is being pulled")));
            let (fault, what) = pulling.unwrap_or((Fault::Other, String::new()));
            Trouble { fault, why: format!("its pod does not run after {limit} s{what}") }
        }
    }
}

fn attached(probe: &Probe, pod: &SeenPod) -> Option<Vec<IpAddr>> {
    let networks = PodNetworks::of(pod).networks;
    let network = probe.network.to_string();
    let own = networks.into_iter().find(|one| {
        one.state == Standing::Attached && one.network == network && one.interface.as_deref() == Some(INTERFACE)
    })?;
    Some(own.addresses.iter().filter_map(|address| address.parse().ok()).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nad::NadRef;

    /// The probe of the network n/lan on `node`, with these addresses.
    pub fn found(node: &str, addresses: &[&str]) -> Found {
        let probe = Probe {
            place: node.into(),
            node: node.into(),
            network: NadRef::new("n", "lan").unwrap(),
            resource: None,
            namespace: "n".into(),
            pod: format!("plexus-probe-r-{node}"),
        };
        Found::new(probe, Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()))
    }

    fn pod(phase: &str, status: Option<&str>) -> SeenPod {
        SeenPod { phase: phase.into(), status: status.map(str::to_owned), ..SeenPod::default() }
    }

    fn event(message: &str, count: u32) -> SeenEvent {
        SeenEvent { reason: "FailedCreatePodSandBox".into(), message: message.into(), count, ..SeenEvent::default() }
    }

    #[test]
    fn a_pod_that_starts_has_addresses() {
        let probe = found("a", &[]).probe;
        let short = Duration::from_secs(1);
        let status = r#"[{"name":"cbr0","interface":"eth0","ips":["10.1.1.2"],"default":true,"dns":{}},
            {"name":"n/lan","interface":"net1","ips":["10.2.0.1","fd00::1"],"dns":{}}]"#;
        assert_eq!(judge(&probe, Some(&pod("Pending", None)), &[], short), None);
        assert_eq!(judge(&probe, Some(&pod("Running", None)), &[], short), None);
        let addresses = judge(&probe, Some(&pod("Running", Some(status))), &[], short).unwrap().unwrap();
        assert_eq!(addresses, ["10.2.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    }

    #[test]
    fn a_pod_that_does_not_start_has_a_reason() {
        let probe = found("a", &[]).probe;
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let message = "rpc error: code = Unknown desc = failed to setup network: plugin type=\"plexus\" name=\"cbr0\" failed (add): network n/lan (net1): plugin macvlan: master eth9: there is no link eth9 on this node";
        let pending = pod("Pending", None);
        // Once may be a daemon that starts.
        assert_eq!(judge(&probe, Some(&pending), &[event(message, 1)], short), None);
        for (count, waited) in [(2, short), (1, long)] {
            let trouble = judge(&probe, Some(&pending), &[event(message, count)], waited).unwrap().unwrap_err();
            assert_eq!(trouble.fault, Fault::MasterMissing);
            assert!(trouble.why.starts_with("network n/lan (net1): plugin macvlan: master eth9"), "{trouble:?}");
        }
        let unscheduled = SeenPod { waits: Some("it has no node: 1 Insufficient x/vf".into()), ..pod("Pending", None) };
        assert_eq!(judge(&probe, Some(&unscheduled), &[], short), None);
        assert_eq!(judge(&probe, Some(&unscheduled), &[], long).unwrap().unwrap_err().fault, Fault::NoNode);
        assert!(judge(&probe, None, &[], short).unwrap().unwrap_err().why.contains("deleted"));
        let old = SeenPod { waits: Some("container probe: Error: exit".into()), ..pod("Failed", None) };
        assert!(judge(&probe, Some(&old), &[], short).unwrap().unwrap_err().why.contains("exit"));
        assert_eq!(late(&probe, Some(&pod("Running", None)), &[], long).fault, Fault::StatusMissing);
        assert!(late(&probe, Some(&pending), &[], long).why.contains("60 s"));
        let pulling = SeenEvent { reason: "Pulling".into(), message: "Pulling image \"a/b\"".into(), ..event("", 1) };
        let slow = late(&probe, Some(&pending), &[pulling], long);
        assert_eq!(slow.fault, Fault::ImageMissing);
        assert_eq!(slow.why, "its pod does not run after 60 s: the image a/b is being pulled");
        let refused =
            SeenPod { waits: Some("container probe: ErrImagePull: x/y:1: not found".into()), ..pod("Pending", None) };
        let trouble = judge(&probe, Some(&refused), &[], short).unwrap().unwrap_err();
        assert!(trouble.fault == Fault::ImageMissing && trouble.why.ends_with("x/y:1: not found"), "{trouble:?}");
    }

    #[test]
    fn targets_are_the_others_of_the_network_by_family() {
        let mut all = vec![found("a", &["10.0.0.1", "fd00::1"]), found("b", &["10.0.0.2"]), found("c", &["fd00::3"])];
        all.push(Found::new(found("d", &[]).probe, Err(Trouble::of("x"))));
        let names = |at| targets(&all, at).into_iter().map(|one| one.address.to_string()).collect::<Vec<_>>();
        assert_eq!(names(0), ["10.0.0.2", "fd00::3"]);
        assert_eq!(names(1), ["10.0.0.1"]);
        assert_eq!(names(3), [""; 0]);
        let twins = [found("a", &["10.0.0.1"]), found("b", &["10.0.0.1"])];
        assert!(targets(&twins, 0).is_empty(), "its own address answers always");
    }
}
