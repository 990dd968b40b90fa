//! `--node` and `--all-nodes`: which commands take them, and why the others do not.

use crate::cli::Error;
use crate::cli::kubeconfig::ClusterAccess;
use crate::cli::remote::words::words;
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches};
use std::time::Duration;

/// Commands that a node can be asked.
pub const OF_NODES: [&str; 8] = ["get", "describe", "ipam", "gc", "natives", "doctor", "health", "version"];
/// The other commands, and why no node is asked.
pub const ELSEWHERE: [(&str, &str); 18] = [
    ("install", "it works on the machine where it runs; the DaemonSet runs it on each node"),
    ("uninstall", "it works on the machine where it runs; docs/install/uninstall.md removes Plexus from a cluster"),
    ("keep", "it is the container keeper of each Plexus pod"),
    ("migrate", "it converts a file of the machine where it runs"),
    ("config", "it works on the machine where it runs; the DaemonSet writes the configuration of each node"),
    ("why", "it asks the pod's own node without this option"),
    ("status", "it shows every node; -o wide also asks each of them"),
    ("topology", "it shows the nodes of a cluster with --cluster"),
    (
        "plan",
        "it reads manifests, or a pod of the cluster; --on-node means the machine where it runs, and doctor --node checks the networks of a node",
    ),
    ("lint", "it reads manifests; --on-node means the machine where it runs"),
    ("schema", "its answer is the same everywhere"),
    ("crd", "its answer is the same everywhere"),
    ("connectivity", "connectivity test has the option --node itself"),
    ("probe", "it works in the pods of connectivity test"),
    ("completion", "its answer is the same everywhere"),
    ("man", "its answer is the same everywhere"),
    ("__complete", "its answer is the same everywhere"),
    ("help", "its answer is the same everywhere"),
];
/// Options that are not passed to the nodes: they are about the way to them.
const LOCAL: [&str; 6] = ["node", "all_nodes", "node_timeout", "yes", "kubeconfig", "context"];
/// The options that name nodes.
const NODES: &str = "nodes";
/// Options of a command that mean the cluster, or files of this machine.
const NOT_OF_NODES: [&str; 5] = ["all_namespaces", "selector", "cluster", "watch", "files"];

/// Which nodes are asked.
#[derive(Clone, Debug, Args)]
pub struct NodeArguments {
    /// Run this on a node of the cluster, in the container keeper of its Plexus pod; can be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "all_nodes", help_heading = "Nodes of a cluster")]
    pub node: Vec<String>,

    /// Run this on every node of the cluster
    #[arg(long, help_heading = "Nodes of a cluster")]
    pub all_nodes: bool,

    /// Seconds to wait for the answer of a node
    #[arg(long, default_value_t = 60, value_name = "SECONDS", help_heading = "Nodes of a cluster")]
    pub node_timeout: u64,
}

/// A command line for nodes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which nodes.
    pub nodes: NodeArguments,
    /// Their cluster.
    pub access: ClusterAccess,
    /// The command line, without the program and without what is only for this machine.
    pub words: Vec<String>,
    /// How the answer is printed; empty for the usual way.
    pub format: String,
    /// It gives something up that cannot be brought back, and that was not confirmed.
    pub must_be_confirmed: bool,
    /// How long a node may take.
    pub limit: Duration,
}

/// `command` with the options; hidden where they only explain themselves.
pub fn extend(command: Command) -> Command {
    command.mut_subcommands(|sub| match sub.get_name() {
        // It has them itself, and puts the nodes into one archive.
        "report" => sub,
        "describe" | "ipam" => sub.mut_subcommands(take),
        name if OF_NODES.contains(&name) => take(sub),
        _ => explain(sub),
    })
}

fn take(command: Command) -> Command {
    let has = |command: &Command, id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    let is_of_cluster = has(&command, "kubeconfig");
    let command = if is_of_cluster { command } else { ClusterAccess::augment_args(command) };
    let not: Vec<&str> = NOT_OF_NODES.into_iter().filter(|id| has(&command, id)).collect();
    let command = NodeArguments::augment_args(command).group(ArgGroup::new(NODES).args(["node", "all_nodes"]));
    // A cluster is named for its nodes.
    let ways: &[&str] = if is_of_cluster { &["node_timeout"] } else { &["node_timeout", "kubeconfig", "context"] };
    let command = ways.iter().fold(command, |command, id| command.mut_arg(id, |one| one.requires(NODES)));
    let refuse = |one: Arg| one.conflicts_with_all(["node", "all_nodes"]);
    // What is added would describe the whole command.
    not.iter()
        .fold(command, |command, id| command.mut_arg(id, refuse))
        .about(Resettable::from(about))
        .long_about(Resettable::from(long))
}

fn explain(command: Command) -> Command {
    let node = Arg::new("node").long("node").hide(true).value_name("NAME").action(ArgAction::Append);
    command.arg(node).arg(Arg::new("all_nodes").long("all-nodes").hide(true).action(ArgAction::SetTrue))
}

/// What of the command line is for nodes; none where it is for this machine. `command` is the parser.
///
/// # Errors
/// Nodes are named, and the command is not one that a node is asked.
pub fn requested(command: &Command, matches: &ArgMatches) -> Result<Option<Request>, Error> {
    let Some((name, leaf)) = matches.subcommand().filter(|(name, _)| *name != "report") else { return Ok(None) };
    let own = leaf.subcommand().map_or(leaf, |(_, deeper)| deeper);
    let is_given = |id: &str| {
        own.try_contains_id(id).unwrap_or_default() && own.value_source(id) == Some(ValueSource::CommandLine)
    };
    if !is_given("node") && !is_given("all_nodes") {
        return Ok(None);
    }
    if let Some((_, why)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return Err(Error::NotOfNodes { command: name.to_owned(), why });
    }
    let read = |e: clap::Error| Error::Name(e.to_string());
    let nodes = NodeArguments::from_arg_matches(own).map_err(read)?;
    let flag = |id: &str| is_given(id) && own.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(true);
    // A command that waits itself has to come to its end.
    let waits = own.try_get_one::<u64>("timeout").ok().flatten().copied().unwrap_or_default();
    Ok(Some(Request {
        access: ClusterAccess::from_arg_matches(own).map_err(read)?,
        words: words(command, matches, &LOCAL),
        format: format(own),
        must_be_confirmed: is_given("forgive") && !flag("dry_run") && !flag("yes"),
        limit: Duration::from_secs(nodes.node_timeout.max(waits.saturating_add(nodes.node_timeout / 2))),
        nodes,
    }))
}

/// The value of `-o`, as it was written.
fn format(matches: &ArgMatches) -> String {
    let mut raw = matches.try_get_raw("output").ok().flatten().into_iter().flatten();
    raw.next().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Option<Request>, Error> {
        let command = crate::cli::command();
        let matches = command.clone().try_get_matches_from(line.split(' ')).unwrap();
        requested(&command, &matches)
    }

    #[test]
    fn every_command_is_of_a_node_or_says_why_not() {
        for command in crate::cli::command().get_subcommands() {
            let name = command.get_name();
            let known = OF_NODES.contains(&name) || ELSEWHERE.iter().any(|(other, _)| *other == name);
            assert!(known || name == "report", "{name} is in neither list");
        }
    }

    #[test]
    fn a_command_is_still_described_as_itself() {
        let command = crate::cli::command();
        let about = command.find_subcommand("doctor").unwrap().get_about().unwrap().to_string();
        assert!(about.starts_with("Check whether this node"), "{about}");
    }

    #[test]
    fn what_is_not_of_nodes_says_so() {
        assert!(request("plexusctl get").unwrap().is_none());
        let refused = request("plexusctl install --node n1").unwrap_err();
        assert!(refused.to_string().contains("the machine where it runs") && refused.exit_code() == 2, "{refused}");
        assert!(request("plexusctl keep --all-nodes").is_err() && request("plexusctl migrate x --node n").is_err());
        let both = crate::cli::command().try_get_matches_from(["plexusctl", "get", "--node", "a", "-A"]);
        assert!(both.is_err(), "the cluster and a node");
        let nobody = crate::cli::command().try_get_matches_from(["plexusctl", "gc", "--context", "c"]);
        assert!(nobody.is_err(), "a cluster, and none of its nodes");
    }

    #[test]
    fn the_words_for_a_node_are_those_that_are_not_for_this_machine() {
        let words = |line: &str| request(line).unwrap().unwrap().words.join(" ");
        assert_eq!(
            words("plexusctl get --node a --node b -n x -o json --context c"),
            "get --namespace=x --output=json"
        );
        assert_eq!(words("plexusctl doctor --all-nodes --kubeconfig f --node-timeout 3"), "doctor");
        assert_eq!(words("plexusctl gc --node a --forgive c1 c2 --yes"), "gc --forgive c1 c2");
        assert_eq!(words("plexusctl gc --node a --forgive --dry-run"), "gc --dry-run --forgive");
        assert_eq!(words("plexusctl describe pod n/p --node a -o json"), "describe pod --output=json -- n/p");
        assert_eq!(words("plexusctl ipam who 10.0.0.1 --node a --at 7"), "ipam who --at=7 -- 10.0.0.1");
        assert_eq!(words("plexusctl health --node a --verbose --timeout 5"), "health --verbose --timeout=5");
    }

    #[test]
    fn what_gives_something_up_is_confirmed() {
        let asks = |line: &str| request(line).unwrap().unwrap().must_be_confirmed;
        assert!(asks("plexusctl gc --all-nodes --forgive") && asks("plexusctl gc --node a --forgive c"));
        assert!(!asks("plexusctl gc --all-nodes") && !asks("plexusctl gc --all-nodes --forgive --dry-run"));
        assert!(!asks("plexusctl gc --all-nodes --yes --forgive"));
        let waits = request("plexusctl gc --node a --timeout 100").unwrap().unwrap();
        assert_eq!(waits.limit, Duration::from_secs(130));
    }
}
