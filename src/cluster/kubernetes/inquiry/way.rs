//! The way to a cluster that a kubeconfig has, and why there is none.

use crate::cluster::error::of_kubeconfig;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::path::Path;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The configuration of `context` in the file `kubeconfig`, else where kubectl looks, else that of a pod.
pub(in crate::cluster) async fn configuration(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Config, String> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            let file = file(path)?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| of_kubeconfig(&e))?
        }
        None => match of_environment(&options).await {
            Ok(config) => config,
            // A pod has no kubeconfig, and its account's token.
            Err(why) => Config::incluster().map_err(|_| why)?,
        },
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.default_retry = false;
    Ok(config)
}

/// The files of `$KUBECONFIG` together, as for kubectl without those that do not exist; else `~/.kube/config`.
async fn of_environment(options: &KubeConfigOptions) -> Result<Config, String> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let files: Vec<_> = std::env::split_paths(&named).filter(|path| path.exists()).collect();
    if files.is_empty() {
        return Config::from_kubeconfig(options).await.map_err(|e| without_a_way(&e));
    }
    let mut merged = Kubeconfig::default();
    for path in files {
        merged = merged.merge(file(&path)?).map_err(|e| of_kubeconfig(&e))?;
    }
    Config::from_custom_kubeconfig(merged, options).await.map_err(|e| without_a_way(&e))
}

/// What is in the file `path`. Of a text that cannot be read, the error of the library does not name the file.
fn file(path: &Path) -> Result<Kubeconfig, String> {
    Kubeconfig::read_from(path).map_err(|e| match e {
        KubeconfigError::ReadConfig(..) => of_kubeconfig(&e),
        other => of_kubeconfig(&other).replacen("kubeconfig:", &format!("kubeconfig {}:", path.display()), 1),
    })
}

/// Why there are no credentials: `reason` names neither file nor program.
pub(super) fn without_credentials(user: &AuthInfo, reason: &str) -> String {
    let files = [
        ("client-certificate", &user.client_certificate),
        ("client-key", &user.client_key),
        ("tokenFile", &user.token_file),
    ];
    let missing = |(key, path): (&str, &Option<String>)| {
        let path = path.as_deref()?;
        std::fs::metadata(path).err().map(|e| format!("kubeconfig: {key} {path}: {e}"))
    };
    if let Some(missing) = files.into_iter().find_map(missing) {
        return missing;
    }
    match user.exec.as_ref().and_then(|exec| exec.command.as_deref()) {
        Some(program) => format!("kubeconfig: the program {program}, which gets the credentials: {reason}"),
        None => reason.to_owned(),
    }
}

/// Why there is no way to a cluster, and what to do.
fn without_a_way(error: &KubeconfigError) -> String {
    let hint = match error {
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet => {
            "`kubectl config get-contexts` lists them"
        }
        _ => "name one with --kubeconfig",
    };
    format!("{}; {hint}", of_kubeconfig(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_files_the_one_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let why = file(&path).unwrap_err();
        assert!(why.starts_with(&format!("kubeconfig {}: ", path.display())), "{why}");
        std::fs::write(&path, "contexts: 7").unwrap();
        let why = file(&path).unwrap_err();
        assert!(why.starts_with(&format!("kubeconfig {}: ", path.display())), "{why}");
    }
}
