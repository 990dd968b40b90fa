//! What can be wrong, by name, with the step that mends it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cause. The names are stable: scripts compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The configuration of the default network cannot be found or read.
    PrimaryMissing,
    /// The master interface of a network does not exist on the node.
    MasterMissing,
    /// Another agent's configuration is first: the runtime does not call Plexus.
    Displaced,
    /// The program of a plugin does not exist on the node.
    PluginMissing,
    /// A selected NAD does not exist.
    NetworkMissing,
    /// The configuration of a NAD cannot be used.
    NetworkBroken,
    /// The daemon does not run, or does not answer.
    DaemonDown,
    /// Plugin and daemon are of releases that do not understand each other.
    OldPlugin,
    /// A pool has no free address, or only a few.
    PoolFull,
    /// The API server does not know a kind of objects.
    CrdMissing,
    /// Something about an AddressPool: it does not exist, makes no sense, is not for this pod or node, or was not confirmed.
    AddressPool,
    /// Another device has an address of the pool.
    AddressInUse,
    /// The daemon has no rights for addresses of the cluster.
    AddressesOff,
    /// The cluster has whereabouts, which gives the addresses of its sections itself.
    Whereabouts,
    /// The API server refuses the daemon's token.
    TokenRefused,
    /// The admission policy that guards the token is missing.
    PolicyMissing,
    /// Plexus is being uninstalled.
    Draining,
    /// The pod may not use a network of that namespace.
    Isolation,
    /// The pod has no device for the network.
    DeviceMissing,
    /// The pod uses the node's network.
    HostNetwork,
    /// The annotation cannot be read.
    Annotation,
    /// The pod has no node.
    NoNode,
    /// The image of a container cannot be pulled.
    ImageMissing,
    /// The node is not ready.
    NodeNotReady,
    /// Plexus is not installed on the node.
    NotInstalled,
    /// The pod runs, and its network-status does not have a selected network.
    StatusMissing,
    /// A removal failed and is retried, or a record cannot be read.
    Debt,
    /// The interfaces of a pod differ from its record.
    Drift,
    /// Another user can write a directory of Plexus.
    Untrusted,
    /// Nothing can be written to a directory, or it is none.
    Unwritable,
    /// Something else.
    // Also a name that only another release knows.
    #[serde(other)]
    Other,
}

/// What to do about a pool.
const LOOK_AT_POOL: &str =
    "`kubectl get addresspools`, `plexusctl ipam show` and `plexusctl ipam check` show what is wrong with the pool.";
/// What to do where a CRD is not installed.
const INSTALL_CRD: &str = "Install it: `plexusctl crd | kubectl apply --server-side -f -` for networks, `kubectl apply --server-side -k crd/addresses` for addresses.";
/// What to do about an address that another device has.
const EXCLUDE: &str = "Exclude the address in the AddressPool (ranges[].exclude), or remove the device with the MAC that the message names.";
/// What to do where addresses of the cluster are off.
const SWITCH_ON: &str = "Add conf/components/ipam to your overlay, or set ipam.enabled=true of the Helm chart.";
/// What to do while whereabouts is in the cluster.
const CHANGE_OVER: &str = "Wait until no pod has an address of whereabouts (`kubectl get ippools.whereabouts.cni.cncf.io -A -o yaml` lists none), then delete its CRDs: docs/how-to/from-whereabouts.md.";
/// What to do about an uninstallation.
const CANCEL: &str = "Wait for its end; to cancel it, apply the manifests again as you installed them (Helm: `--set uninstall=false`), or run `plexusctl uninstall --cancel` on a node that was installed by hand.";
/// What to do after the end of an uninstallation.
const UNINSTALLED: &str = "Delete the objects of Plexus that are left: `kubectl delete -k conf/uninstall` (Helm: `helm uninstall`). To use additional networks again, apply the manifests as you installed them.";
/// What to do about an image that cannot be pulled.
const PULL_IMAGE: &str =
    "Correct the name of the image, or let the node pull it: kubectl describe pod shows each attempt.";
/// What to do about changed interfaces.
const FIND_OUT: &str = "Find out who changes the pod's interfaces (`plexusctl describe pod` shows each difference), then delete the pod so that it is created again.";

impl Fault {
    /// The next step where Plexus was uninstalled from the node of the pod.
    pub fn after_uninstallation() -> &'static str {
        UNINSTALLED
    }

    /// The next step, in one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Fault::PrimaryMissing => {
                "Install the cluster's own network on this node, or correct the key clusterNetwork of Plexus' configuration."
            }
            Fault::MasterMissing => {
                "Correct the key master of the network, create the interface on that node, or keep the pod off that node."
            }
            Fault::Displaced => {
                "Remove or rename the other agent's file, and stop that agent from displacing Plexus (Cilium: cni.exclusive=false)."
            }
            Fault::PluginMissing => {
                "Install the program in the plugin directory of the node, or use a plugin that is built in."
            }
            Fault::NetworkMissing => {
                "Create the NetworkAttachmentDefinition, or correct the pod's annotation (write namespace/name for another namespace)."
            }
            Fault::NetworkBroken => {
                "Correct the configuration of the network: a waiting pod then starts by itself, a running pod must be created again."
            }
            Fault::DaemonDown => {
                "Look at the Plexus pod of that node: kubectl get pods -A -l app.kubernetes.io/name=plexus -o wide."
            }
            Fault::OldPlugin => {
                "Restart the Plexus pod of that node: its init container installs the plugin of its own release."
            }
            Fault::PoolFull => {
                "Enlarge the range of the network, or run `plexusctl gc` on the node to release addresses of deleted pods."
            }
            Fault::CrdMissing => INSTALL_CRD,
            Fault::AddressPool => LOOK_AT_POOL,
            Fault::AddressInUse => EXCLUDE,
            Fault::AddressesOff => SWITCH_ON,
            Fault::Whereabouts => CHANGE_OVER,
            Fault::TokenRefused => {
                "Apply the manifests again: the ClusterRole plexus, its binding and the ServiceAccount give the daemon its rights."
            }
            Fault::PolicyMissing => {
                "Apply conf/base/admission-policy.yaml again (Helm: repeat `helm upgrade`): without it the daemon publishes no network-status."
            }
            Fault::Draining => CANCEL,
            Fault::Isolation => {
                "Move the network to the pod's namespace, or allow its namespace in the setting globalNamespaces."
            }
            Fault::DeviceMissing => "Add the network's resource to resources.limits of a container.",
            Fault::HostNetwork => "Remove hostNetwork: true from the pod: the runtime calls no CNI plugin for it.",
            Fault::Annotation => "Correct the annotation k8s.v1.cni.cncf.io/networks in the pod's template.",
            Fault::NoNode => "Look at the scheduler's reason: kubectl describe pod shows it.",
            Fault::ImageMissing => PULL_IMAGE,
            Fault::NodeNotReady => "Repair the node first: kubectl describe node shows the conditions.",
            Fault::NotInstalled => "Install Plexus on this node with `plexusctl install`, or restart its Plexus pod.",
            Fault::StatusMissing => "Delete the pod so that it is created again, then run this command again.",
            Fault::Debt => "Remove the cause that the message names, then run `plexusctl gc` on the node.",
            Fault::Drift => FIND_OUT,
            Fault::Untrusted => "Give the directory back to root, with mode 0755 or less.",
            Fault::Unwritable => {
                "Make room on that file system or mount it writable (`df` and `mount` show it), or restore the directory."
            }
            Fault::Other => "Read the message: docs/how-to/debug.md lists the common causes.",
        }
    }
}
