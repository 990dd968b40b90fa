//! Why a command failed: one line, with the object's name and what to do about it.

use crate::engine::planning::disk::DiskError;
use crate::sys::is_root;
use crate::sys::trusted::Untrusted;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answer could not be printed.
    #[error("the answer cannot be printed: {0}")]
    Output(#[source] io::Error),
    /// The records cannot be read.
    #[error("the records in {folder} cannot be read: {source}{}", hint(.source, "name another directory with --state-directory"))]
    Records {
        /// Where they are.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The API server did not answer.
    #[error("{0}")]
    Cluster(#[from] crate::cluster::Unanswered),
    /// The same of a list of all namespaces.
    #[error("{0}; to see one namespace, name it with --namespace")]
    AllNamespaces(crate::cluster::Unanswered),
    /// No object can have that name.
    #[error("{0}")]
    Name(String),
    /// There is no such pod.
    #[error("pod {name} does not exist{hint}", name = .0, hint = of_workload(.0))]
    NoPod(String),
    /// The node has no record of the pod, and the API server was not asked.
    #[error("pod {0} has no record on this node; name the cluster with --kubeconfig, or run this on the pod's node")]
    NoRecord(String),
    /// A directory cannot be read.
    #[error("{folder} cannot be read: {source}{}", hint(.source, "name another directory with --cni-conf-dir"))]
    Directory {
        /// Which one.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Some of the files cannot be read; the others were shown.
    #[error("{} of the files cannot be read: {}", files.len(), files.join(", "))]
    Unread {
        /// Which ones.
        files: Vec<String>,
    },
    /// No configuration of a default network.
    #[error("{source}; {}", remedy(.source))]
    Primary {
        /// What is wrong with it, or with the folder.
        source: DiskError,
    },
    /// There is no file but ours and Multus'.
    #[error(
        "{folder} contains no configuration of a cluster network{ignored}; install one first, or name its file with --primary"
    )]
    NoPrimary {
        /// Where one was looked for.
        folder: PathBuf,
        /// What is there instead.
        ignored: String,
    },
    /// The default network would call us again.
    #[error(
        "{path} cannot be the default network: it delegates to {kind}, which would never end; name the cluster's own network with --primary"
    )]
    Recursion {
        /// Which file.
        path: PathBuf,
        /// The plugin's type.
        kind: String,
    },
    /// A runtime would not read the folder that chaining relies on.
    #[error("{path} cannot be chained behind: {why}; use --mode delegate")]
    NotChainable {
        /// The primary's file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The file of settings is no usable one.
    #[error("settings in {}: {}; `plexusctl schema --settings` lists the keys, docs/configuration.md describes them", path.display(), mistakes.join("; "))]
    Settings {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<String>,
    },
    /// The file of settings has paths that are not absolute.
    #[error("settings in {}: {}; docs/configuration.md describes the keys", path.display(), mistakes.join("; "))]
    Relative {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<String>,
    },
    /// Multus' configuration cannot be turned into ours.
    #[error("Multus' configuration {}: {}", path.display(), mistakes.join("; "))]
    Multus {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        mistakes: Vec<String>,
    },
    /// Networks, or the configuration they are judged by, cannot be read.
    #[error("{what}: {why}")]
    Networks {
        /// Which file or folder.
        what: String,
        /// Why.
        why: String,
    },
    /// The plugin did not sweep.
    #[error("{} did not sweep: {why}", plugin.display())]
    Sweep {
        /// Which program.
        plugin: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no trace of Plexus.
    #[error(
        "Plexus is not installed here: {} contains no configuration of it, and neither {} nor {} exists; run this on the node, or name the plugin with --plugin",
        folder.display(), plugin.display(), state.display()
    )]
    NotInstalled {
        /// The runtime's folder.
        folder: PathBuf,
        /// The plugin's program.
        plugin: PathBuf,
        /// The state directory.
        state: PathBuf,
    },
    /// The folder of the records does not exist here.
    #[error(
        "the files of the node cannot be seen here: {} does not exist; run it in the container keeper: {there}", folder.display()
    )]
    OutOfSight {
        /// Where they were looked for.
        folder: PathBuf,
        /// The command line that works.
        there: String,
    },
    /// Nodes are named to a command that no node is asked.
    #[error("{command} takes no --node and no --all-nodes: {why}")]
    NotOfNodes {
        /// The command.
        command: String,
        /// Why.
        why: &'static str,
    },
    /// A file would be overwritten.
    #[error("{path} exists, and was not overwritten; --force overwrites it, --output names another file")]
    Exists {
        /// Which one.
        path: PathBuf,
    },
    /// There is nobody to ask.
    #[error("the cluster has no node that runs Linux, and no Plexus pod")]
    NoNodes,
    /// What would be given up on several nodes was not confirmed.
    #[error("nothing is forgiven: it was not confirmed for {0} nodes; --yes confirms it")]
    UnconfirmedNodes(usize),
    /// Debts cannot be forgiven.
    #[error("the debts in {} cannot be forgiven: {why}", folder.display())]
    Forgive {
        /// Where the records are.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// The plugin that should be installed.
    #[error("the plugin {path} cannot be read: {source}; name it with --plugin")]
    Plugin {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another file than the plugin.
    #[error("{path} is not the Plexus plugin, and was not installed: name the plugin with --plugin")]
    NoPlugin {
        /// Which file.
        path: PathBuf,
    },
    /// A plugin that was built for something else than nodes.
    #[error(
        "{path} is built with the daemon's libraries and is not the plugin that nodes run: build that with `make plugin`, and name target/plugin/plexus with --plugin"
    )]
    WrongBuild {
        /// Which program.
        path: PathBuf,
    },
    /// A program of somebody else has the name of the address plugin.
    #[error(
        "{path} is not a link to the plugin of Plexus, and was not replaced: remove it if nobody needs it, or install without --address-program (Helm: ipam.program)"
    )]
    ForeignProgram {
        /// Which file.
        path: PathBuf,
    },
    /// Multus is what the runtime calls.
    #[error(
        "{path} is Multus' configuration, and the runtime takes it before {ours}: delete Multus' DaemonSet, then install with --replace-multus, which renames the file"
    )]
    BesideMultus {
        /// Multus' file.
        path: PathBuf,
        /// Ours.
        ours: PathBuf,
    },
    /// Somebody else than root could have written it, and we are root.
    #[error("{path} {why}: as root, plexusctl uses only what nobody but root can change")]
    Untrusted {
        /// Which file or directory.
        path: PathBuf,
        /// Who could change it.
        why: String,
    },
    /// Somebody else may write what the plugin believes.
    #[error("nothing is deleted: {0}")]
    NotOurs(String),
    /// A person was asked and did not say yes.
    #[error("not uninstalled: it was not confirmed, and nothing was changed; --yes confirms it")]
    Unconfirmed,
    /// What is to go cannot be removed.
    #[error("{path} cannot be removed: {source}{}", hint(.source, "see that its directory is writable"))]
    Remove {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder that plugin, daemon and keeper share.
    #[error("the directories that the plugin shares with plexusd cannot be prepared: {0}")]
    Folder(#[from] crate::keeper::folders::FolderError),
    /// What keeps the installation cannot begin.
    #[error("the installation cannot be kept: {what}: {source}")]
    Keep {
        /// What does not work.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("signals cannot be caught: {0}")]
    Signals(#[source] io::Error),
    /// A probe cannot begin.
    #[error("probe on {interface}: {why}")]
    Probe {
        /// Its interface.
        interface: String,
        /// Why.
        why: String,
    },
    /// Connectivity cannot be tested.
    #[error("connectivity cannot be tested: {0}")]
    Connectivity(String),
    /// A person ended the command.
    #[error("interrupted; the probe pods are deleted")]
    Interrupted,
    /// Pods of a test could not be deleted.
    #[error(
        "the probe pods {} are not deleted: {why}; `plexusctl connectivity clean` deletes them", pods.join(", ")
    )]
    Leftovers {
        /// `<namespace>/<name>` of each.
        pods: Vec<String>,
        /// Why.
        why: String,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written: {source}{}", hint(.source, "see that its directory is writable"))]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Why the objects of `namespace`, or of all, were not listed. Who may not list all may often list some.
    pub fn unlisted(why: crate::cluster::Unanswered, namespace: Option<&String>) -> Self {
        let is_all = namespace.is_none() && why.is_forbidden();
        if is_all { Error::AllNamespaces(why) } else { Error::Cluster(why) }
    }

    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Relative { .. } | Error::NotOfNodes { .. } => 2,
            _ => 1,
        }
    }
}

/// What a person can do about a file that gives no default network.
fn remedy(error: &DiskError) -> &'static str {
    match error {
        DiskError::Invalid { .. } | DiskError::Unreadable { .. } => {
            "fix or remove it, or name the file of the cluster's own network with --primary"
        }
        _ => "name the file of the cluster's own network with --primary",
    }
}

/// The hint where a person names the object that makes the pods.
fn of_workload(name: &str) -> String {
    const KINDS: [&str; 12] = [
        "deployment",
        "deploy",
        "replicaset",
        "rs",
        "statefulset",
        "sts",
        "daemonset",
        "ds",
        "job",
        "cronjob",
        "cj",
        "vmi",
    ];
    let Some((kind, object)) = name.split_once('/') else { return String::new() };
    let kind = kind.split('.').next().unwrap_or_default();
    if !KINDS.iter().any(|known| kind == *known || kind.strip_suffix('s') == Some(known)) {
        return String::new();
    }
    format!("; name one of the pods of {kind} {object}: kubectl get pods lists them")
}

/// What helps is most often to be root; otherwise `other`.
fn hint(error: &io::Error, other: &str) -> String {
    if let Some(command) = Untrusted::remedy(error) {
        return format!("; see who changed it, then run as root: {command}");
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied if !is_root() => "; run this as root".to_owned(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; the directory may be protected by SELinux or mounted read-only".to_owned()
        }
        _ => format!("; {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_workload_leads_to_its_pods() {
        assert!(Error::NoPod("deployments/web".into()).to_string().ends_with("kubectl get pods lists them"));
        assert_eq!(Error::NoPod("default/web".into()).to_string(), "pod default/web does not exist");
    }

    #[test]
    fn root_is_not_told_to_be_root() {
        let written = |kind: io::ErrorKind| Error::Write { path: "/etc/cni/net.d/x".into(), source: kind.into() };
        let hints =
            [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem].map(|kind| written(kind).to_string());
        assert_eq!(hints[0].contains("SELinux"), is_root(), "{hints:?}");
        assert_eq!(hints[0].contains("run this as root"), !is_root(), "{hints:?}");
        assert!(hints[1].contains("SELinux or mounted read-only"), "{hints:?}");
    }
}
