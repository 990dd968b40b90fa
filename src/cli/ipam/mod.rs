//! `plexusctl ipam`: the addresses that this node gives to pods, who has one, and who had one; and the pools of a cluster.

mod check;
mod cluster;
mod holding;
mod idle;
mod leases;
mod node;
mod nodes;
mod read;
mod records;
mod show;
mod who;

pub use check::Document as CheckDocument;
pub use cluster::check::Document as CheckClusterDocument;
pub use cluster::show::Document as ShowClusterDocument;
pub use leases::Document as LeasesDocument;
pub use nodes::{Document as CheckNodesDocument, is_meant as is_check_of_all_nodes, run as check_all_nodes};
pub use show::Document as ShowDocument;
pub use who::Document as WhoDocument;

use super::output::{Format, Output};
use super::{Error, Verdict, directories, get, sight, trust};
use crate::api::StateDirectory;
use crate::cli::kubeconfig::ClusterAccess;
use crate::cluster::Inquiry;
use clap::{Args, Subcommand};
use node::{Node, time};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the pools that this node has addresses of; from a workstation, the pools of the cluster
    Show(WideArguments),
    /// List the addresses that pods of this node have
    Leases(PoolArguments),
    /// Show which pods of this node have or had an address, and when
    Who(WhoArguments),
    /// Check that addresses, blocks and records of this node agree; from a workstation, that pools, blocks and nodes do, and
    /// with --all-nodes that all of these do
    Check(WideArguments),
}

#[derive(Debug, Args)]
struct PoolArguments {
    /// Only this pool
    #[arg(value_name = "POOL")]
    pool: Option<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "On a node this is about that node. With --cluster, --kubeconfig or --context, and where the state directory does not exist or is empty, it is about the AddressPools of the cluster."
)]
struct WideArguments {
    /// Pools of the cluster, also on a node
    #[arg(long)]
    cluster: bool,

    #[command(flatten)]
    access: ClusterAccess,

    #[command(flatten)]
    of: PoolArguments,
}

impl WideArguments {
    /// The way to the cluster, where that is meant.
    fn inquiry(&self) -> Result<Option<Inquiry>, Error> {
        let is_named = self.cluster || self.access.is_given();
        let is_meant = is_named || (ClusterAccess::is_configured() && !sight::is_node(&self.of.common.state()?));
        is_meant.then(|| self.access.open()).transpose()
    }
}

#[derive(Debug, Args)]
struct WhoArguments {
    /// The address, without a prefix length
    #[arg(value_name = "ADDRESS")]
    address: IpAddr,

    /// Only who had it at this time: RFC 3339, for example 2026-11-29T08:00:00Z, or seconds of Unix time
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<u64>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// State directory, with the addresses in use [default: from the configuration]
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,

    /// Run directory, with the blocks of this node [default: from the configuration]
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", value_name = "DIRECTORY")]
    run_directory: Option<PathBuf>,

    /// CNI configuration directory of the runtime, which contains the configuration of Plexus
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    cni_conf_dir: PathBuf,
}

impl Common {
    fn state(&self) -> Result<StateDirectory, Error> {
        directories::state(self.state_directory.as_deref(), &self.cni_conf_dir)
    }

    fn node(&self, command: &str) -> Result<Node, Error> {
        let state = self.state()?;
        let run = directories::run(self.run_directory.as_deref(), &self.cni_conf_dir)?;
        sight::check(&state, command)?;
        trust::check(state.path())?;
        let is_node = sight::is_node(&state);
        Ok(Node { state, run, is_node })
    }
}

/// Prints what is asked for; not well where `check` finds something, and where this is no node.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let (common, words) = match &arguments.what {
        What::Show(of) => (&of.of.common, "ipam show"),
        What::Leases(of) => (&of.common, "ipam leases"),
        What::Who(of) => (&of.common, "ipam who"),
        What::Check(of) => (&of.of.common, "ipam check"),
    };
    if let What::Show(of) | What::Check(of) = &arguments.what
        && let Some(inquiry) = of.inquiry()?
    {
        let only = of.of.pool.as_deref();
        if matches!(arguments.what, What::Check(_)) {
            return cluster::check::run(&inquiry, only, common.output, output);
        }
        cluster::show::run(&inquiry, only, common.output, output)?;
        return Ok(Verdict::Well);
    }
    let node = common.node(words)?;
    let format = common.output;
    // Where this is no node, that is told of no pool.
    let only = |of: &PoolArguments| of.pool.clone().filter(|_| node.is_node);
    let verdict = match &arguments.what {
        What::Show(of) => show::run(&node, only(&of.of).as_deref(), format, output)?,
        What::Leases(of) => leases::run(&node, only(of).as_deref(), format, output)?,
        What::Who(of) => who::run(&node, of.address.to_canonical(), of.at, format, output)?,
        What::Check(of) => check::run(&node, only(&of.of).as_deref(), format, output)?,
    };
    if !node.is_node {
        output.error(nowhere(&arguments.what, &node, words));
        return Ok(Verdict::NotWell);
    }
    Ok(verdict)
}

/// What helps who is neither on a node nor has a cluster.
fn nowhere(what: &What, node: &Node, words: &str) -> String {
    match what {
        What::Show(_) | What::Check(_) => format!(
            "there is neither a node of Plexus here ({} does not exist) nor a kubeconfig ($KUBECONFIG, ~/.kube/config): name the cluster with --kubeconfig, or run this on a node",
            node.state.path().display()
        ),
        What::Leases(_) | What::Who(_) => get::not_a_node(&node.state, words),
    }
}
