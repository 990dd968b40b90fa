//! The environment, before anything reads it.

/// Forgets variables of ours that are set to nothing: a manifest that leaves a value empty means the default.
///
/// To be called before the process has a second thread.
pub fn forget_empty() {
    let is_ours = |name: &str| name.starts_with("PLEXUS_") || ["KUBECONFIG", "NODE_NAME"].contains(&name);
    let empty: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| value.is_empty() && name.to_str().is_some_and(is_ours))
        .map(|(name, _)| name)
        .collect();
    for name in empty {
        // SAFETY: the caller promises that there is no other thread, which could read the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
}
