//! Where the node's files can be seen. Of the containers of a Plexus pod only the keeper has them.

use super::Error;
use super::kubeconfig::ClusterAccess;
use crate::api::StateDirectory;
use crate::sys::files;
use std::env;

/// What the manifests give the container of the daemon, and no other.
const POD: &str = "PLEXUS_POD_NAME";
/// The namespace of that pod.
const NAMESPACE: &str = "PLEXUS_POD_NAMESPACE";

/// How `command` is run in the container that sees the node's files. In a pod of Plexus it names that pod.
pub fn in_keeper(command: &str) -> String {
    let of = |key: &str| env::var(key).ok().filter(|value| !value.is_empty());
    let pod = of(POD).unwrap_or_else(|| "ds/plexus".to_owned());
    let namespace = of(NAMESPACE).unwrap_or_else(|| "kube-system".to_owned());
    format!("kubectl -n {namespace} exec {pod} -c keeper -- plexusctl {command}")
}

/// Whether `state` has something of a node. An uninstallation leaves it empty, and a workstation with a kubeconfig is none
/// because of that.
pub fn is_node(state: &StateDirectory) -> bool {
    is_of_node(state, ClusterAccess::is_configured())
}

fn is_of_node(state: &StateDirectory, has_cluster: bool) -> bool {
    // What cannot be listed is not empty.
    let is_empty = || files::entries(state.path()).is_ok_and(|entries| entries.is_empty());
    state.path().exists() && !(has_cluster && is_empty())
}

/// Checks that `command` does not look for the node's files in a container of Plexus' pod that does not have them.
///
/// # Errors
/// This is such a container.
pub fn check(state: &StateDirectory, command: &str) -> Result<(), Error> {
    if env::var_os(POD).is_none() || state.path().exists() {
        return Ok(());
    }
    Err(out_of_sight(state, command))
}

/// That `command` does not see the node's files.
pub fn out_of_sight(state: &StateDirectory, command: &str) -> Error {
    Error::OutOfSight { folder: state.path().to_owned(), there: in_keeper(command) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_state_directory_makes_no_node_of_a_workstation() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        assert!(!is_of_node(&state, true) && is_of_node(&state, false));
        std::fs::create_dir(state.sandboxes()).unwrap();
        assert!(is_of_node(&state, true));
        assert!(!is_of_node(&StateDirectory::new(folder.path().join("none")), false));
    }
}
