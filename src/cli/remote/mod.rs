//! A node's commands from a workstation: they run in the container `keeper` of the node's Plexus pod.

pub mod answer;
pub mod nodes;
pub mod options;
mod words;

use super::output::Output;
use super::{Error, Verdict};
use crate::cli::output::counted::{counted, counted_with};
use crate::cluster::{Inquiry, Job};
use crate::cni::json;
use answer::Answer;
use nodes::{KEEPER, Target};
use options::Request;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

/// So many nodes are asked at one time.
const AT_ONCE: usize = 8;
/// How long a node may take for its part of a page.
const PART_LIMIT: Duration = Duration::from_secs(20);
/// The program, which the image has in its path.
const PROGRAM: &str = "plexusctl";

/// Runs the command line on its nodes, and prints what they answer; as bad as the worst of them.
pub fn run(request: &Request, output: &mut Output) -> Result<Verdict, Error> {
    let inquiry = request.access.open()?;
    let targets = nodes::find(&inquiry, &request.nodes.node)?;
    if targets.is_empty() {
        return Err(Error::NoNodes);
    }
    confirm(request, targets.len(), output)?;
    let mut words = request.words.clone();
    // On a node there is no context whose namespace it could be.
    if words.first().is_some_and(|word| word == "describe") && !words.iter().any(|word| word.starts_with("--namespace"))
    {
        words.insert(2.min(words.len()), format!("--namespace={}", inquiry.namespace()));
    }
    let answers = ask(&inquiry, &targets, &words, request.limit, output);
    answer::print(&answers, &request.format, output)?;
    Ok(answer::verdict(&answers))
}

/// Runs `words` on the nodes, each for `limit` at most. A person at a terminal sees how far it is.
pub fn ask(inquiry: &Inquiry, targets: &[Target], words: &[String], limit: Duration, output: &Output) -> Vec<Answer> {
    let job = |(namespace, pod): &(String, String)| Job {
        namespace: namespace.clone(),
        pod: pod.clone(),
        container: KEEPER.to_owned(),
        words: [vec![PROGRAM.to_owned()], words.to_vec()].concat(),
    };
    let jobs: Vec<Job> = targets.iter().filter_map(|target| target.pod.as_ref().ok()).map(job).collect();
    let mut ended = 0;
    let progress =
        |ended: usize| output.progress(&format!("{ended} of {} done …", counted_with(jobs.len(), "node", "is")));
    progress(ended);
    let results = inquiry.execute(&jobs, AT_ONCE, limit, || {
        ended += 1;
        progress(ended);
    });
    output.progress("");
    let mut results = results.into_iter().map(|result| result.map_err(|e| e.to_string()));
    let answer = |target: &Target| {
        let result = match &target.pod {
            Ok(_) => results.next().unwrap_or_else(|| Err("it was not asked".to_owned())),
            Err(why) => Err(why.clone()),
        };
        Answer { node: target.node.clone(), result }
    };
    targets.iter().map(answer).collect()
}

/// The document that `words` print on `node`.
///
/// # Errors
/// The node cannot be asked, or has no answer.
pub fn document<T: DeserializeOwned>(
    inquiry: &Inquiry,
    node: &str,
    words: &[&str],
    output: &Output,
) -> Result<T, String> {
    let plexus = inquiry.daemons(Some(node)).map_err(|e| e.to_string())?;
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let answers = ask(inquiry, &[nodes::target(node, &plexus)], &words, PART_LIMIT, output);
    let answer = answers.first().ok_or("it was not asked")?;
    json::parse_bytes(&answer.done()?.stdout).map_err(|e| format!("its answer cannot be read: {e}"))
}

/// What is given up on several nodes cannot be brought back: a person is asked, a script must have said so.
fn confirm(request: &Request, nodes: usize, output: &Output) -> Result<(), Error> {
    if !request.must_be_confirmed || nodes < 2 {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Error::UnconfirmedNodes(nodes));
    }
    output.remark(format!(
        "Failed removals are dropped on {}; their leftovers stay. Continue? [y/N]",
        counted(nodes, "node")
    ));
    let mut answer = String::new();
    // A terminal that cannot be read does not say yes.
    let _ = io::stdin().lock().take(64).read_line(&mut answer);
    let is_yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(Error::UnconfirmedNodes(nodes)) }
}
