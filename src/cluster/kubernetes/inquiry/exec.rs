//! A command in a container, by API server and kubelet, as `kubectl exec` runs it: without a terminal, and bounded.

use super::{Inquiry, Unanswered};
use crate::cluster::error::reason;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest that a command may print. An archive of a node has a few megabytes.
const LONGEST: u64 = 64 << 20;
/// So much of it waits to be read.
const BUFFER: usize = 64 << 10;

/// A command in a container.
#[derive(Clone, Debug)]
pub struct Job {
    /// The namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Program and arguments.
    pub words: Vec<String>,
}

/// A command that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub code: u8,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed beside.
    pub stderr: Vec<u8>,
}

impl Inquiry {
    /// Runs `jobs`, `at_once` of them at one time, each for `limit` at most; calls `ended` after each. The results are in
    /// the order of the jobs.
    pub fn execute(
        &self,
        jobs: &[Job],
        at_once: usize,
        limit: Duration,
        mut ended: impl FnMut(),
    ) -> Vec<Result<Finished, Unanswered>> {
        let run = |(at, job)| async move { (at, run(self.client.clone(), job, limit).await) };
        let mut found: Vec<(usize, _)> = Vec::with_capacity(jobs.len());
        self.runtime.block_on(async {
            let mut results = stream::iter(jobs.iter().enumerate().map(run)).buffer_unordered(at_once);
            while let Some(result) = results.next().await {
                found.push(result);
                ended();
            }
        });
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, result)| result).collect()
    }
}

async fn run(client: Client, job: &Job, limit: Duration) -> Result<Finished, Unanswered> {
    match tokio::time::timeout(limit, attached(client, job)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Late { what: label(job), seconds: limit.as_secs() }),
    }
}

async fn attached(client: Client, job: &Job) -> Result<Finished, Unanswered> {
    let refused = |reason: String| Unanswered::Refused { what: label(job), reason };
    let api: Api<Pod> = Api::namespaced(client, &job.namespace);
    let params = AttachParams {
        container: Some(job.container.clone()),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: Some(BUFFER),
        ..AttachParams::default()
    };
    let mut process = api.exec(&job.pod, job.words.clone(), &params).await.map_err(|e| match &e {
        kube::Error::Api(status) if status.is_forbidden() => {
            Unanswered::NoExec { what: label(job), reason: reason(&e), namespace: job.namespace.clone() }
        }
        _ => refused(reason(&e)),
    })?;
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    // Both at one time: a command that fills one of them waits.
    let (stdout, stderr) = futures::future::join(read(stdout), read(stderr)).await;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let (stdout, stderr) = (stdout.map_err(refused)?, stderr.map_err(refused)?);
    let code = code(status).map_err(refused)?;
    Ok(Finished { code, stdout, stderr })
}

async fn read(source: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut found = Vec::new();
    let Some(source) = source else { return Ok(found) };
    source.take(LONGEST + 1).read_to_end(&mut found).await.map_err(|e| e.to_string())?;
    if found.len() as u64 > LONGEST {
        return Err(format!("the command printed more than {} MiB", LONGEST >> 20));
    }
    Ok(found)
}

/// The exit code that the kubelet reports; an error where the command did not run to its end.
fn code(status: Option<Status>) -> Result<u8, String> {
    let status = status.ok_or("the connection ended before the command did")?;
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.into_iter().filter_map(|details| details.causes).flatten();
    let code = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode")).find_map(|cause| cause.message);
    let message = status.message.unwrap_or_else(|| "the command did not run".to_owned());
    code.and_then(|code| code.parse().ok()).ok_or(message)
}

fn label(job: &Job) -> String {
    format!("container {} of pod {}/{}", job.container, job.namespace, job.pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::json;

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        let status = |text: &str| code(Some(json::parse::<Status>(text).unwrap()));
        assert_eq!(status(r#"{"metadata":{},"status":"Success"}"#), Ok(0));
        let failed = r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code",
            "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        assert_eq!(status(failed), Ok(3));
        let broken = r#"{"metadata":{},"status":"Failure","reason":"InternalError","message":"no such container"}"#;
        assert_eq!(status(broken), Err("no such container".to_owned()));
        assert!(code(None).unwrap_err().contains("connection ended"));
    }
}
