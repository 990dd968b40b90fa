//! `plexusctl report`: one archive for a bug report, of a node or of a cluster.

mod archive;
mod cluster;
mod mask;
mod node;
mod own;

use super::directories::NodeDirectories;
use super::kubeconfig::ClusterAccess;
use super::output::Output;
use super::remote::options::NodeArguments;
use super::{Error, Verdict, get, sight, trust};
use crate::cli::output::counted::{counted, counted_with};
use crate::sys::files::{self, Durability};
use archive::Archive;
use clap::Args;
use cluster::Wanted;
use k8s_openapi::jiff::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It names pods, addresses and configurations: for its owner only.
const MODE: u32 = 0o600;

#[derive(Debug, Args)]
#[command(
    after_help = "On a node it is about that node. With the options of a cluster, and where the state directory does not exist or is empty, it is about the cluster and its nodes, which needs pods/exec and pods/log. MASKED.txt in the archive lists what was masked."
)]
pub struct Arguments {
    /// File to write; `-` for stdout
    #[arg(short, long, default_value = "plexus-report.tar.gz", value_name = "FILE")]
    output: PathBuf,

    /// Overwrite the file
    #[arg(long)]
    force: bool,

    /// Lines of each log of the cluster
    #[arg(long, default_value_t = 2000, value_name = "NUMBER")]
    lines: u32,

    #[command(flatten)]
    nodes: NodeArguments,

    #[command(flatten)]
    access: ClusterAccess,

    #[command(flatten)]
    directories: NodeDirectories,
}

/// Writes the archive. What cannot be seen is in it with its reason.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let is_pipe = arguments.output == Path::new("-");
    if !is_pipe && !arguments.force && arguments.output.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: arguments.output.clone() });
    }
    let state = arguments.directories.state()?;
    let is_node = sight::is_node(&state);
    let mut archive = Archive::default();
    if arguments.is_of_cluster(is_node) {
        let wanted = Wanted {
            access: &arguments.access,
            nodes: &arguments.nodes.node,
            lines: arguments.lines,
            limit: Duration::from_secs(arguments.nodes.node_timeout),
        };
        cluster::collect(&wanted, &mut archive, output)?;
    } else if is_node {
        trust::check(state.path())?;
        node::collect(&arguments.directories, &mut archive, output)?;
    } else {
        output.error(get::not_a_node(&state, "report"));
        return Ok(Verdict::NotWell);
    }
    output.progress("");
    let (count, masked) = archive.count();
    let failed = |source: io::Error| Error::Write { path: arguments.output.clone(), source };
    let bytes = archive.pack(Timestamp::now()).map_err(failed)?;
    if is_pipe {
        output.bytes(&bytes)?;
        return Ok(Verdict::Well);
    }
    // A directory that was mistyped is not made.
    let directory = arguments.output.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        let why = format!("{} is not a directory", directory.display());
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    files::replace(&arguments.output, &bytes, MODE, Durability::Cached).map_err(failed)?;
    output.remark(format!(
        "{}: {}, {} KiB; {} masked (MASKED.txt lists the places). Read it before you give it to others.",
        arguments.output.display(),
        counted(count, "file"),
        bytes.len().div_ceil(1024),
        counted_with(masked, "value", "is")
    ));
    Ok(Verdict::Well)
}

impl Arguments {
    fn is_of_cluster(&self, is_node: bool) -> bool {
        let named = !self.nodes.node.is_empty() || self.nodes.all_nodes || self.access.is_given();
        named || (!is_node && ClusterAccess::is_configured())
    }
}
