//! `plexusctl plan`: what ADD would do for a pod, without doing it.
//!
//! Planned by the code that plans at each call, so it cannot answer anything else.

mod default_route;
mod document;
mod elsewhere;
pub mod rehearse;
mod rows;
pub mod subjects;

use super::kubeconfig::{ClusterAccess, namespace};
use super::output::{Format, Output};
use super::settings_of_node::SettingsArguments;
use super::{Error, Verdict};
use crate::api::RunDirectory;
use crate::cli::objects::Objects;
pub use crate::cli::plan::document::Document;
use crate::cli::plan::document::PodPlan;
use crate::cli::plan::rehearse::Stage;
use crate::cli::plan::subjects::Subject;
use crate::engine::Settings;
use clap::Args;
use std::path::{Path, PathBuf};

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all pods can be attached, 1 a pod is refused.\n\nAs ADD, it stops at the first refusal of a pod: plan again after you corrected it.\n\nBefore pods exist:\n  kubectl get net-attach-def -A -o yaml | plexusctl plan pod.yaml -"
)]
pub struct Arguments {
    /// Manifests with pods, or with Deployments and other objects that have a template of pods, and with
    /// NetworkAttachmentDefinitions; directories of them; `-` for stdin. Or a pod of this node or of a cluster: NAMESPACE/NAME, or NAME
    #[arg(value_name = "FILE|POD", required = true)]
    subjects: Vec<PathBuf>,

    /// Directory with more NetworkAttachmentDefinitions; pods in it are not planned
    #[arg(long, value_name = "DIRECTORY")]
    source_directory: Option<PathBuf>,

    /// Namespace of objects that name none
    #[arg(short, long, default_value = "default", value_parser = namespace)]
    namespace: String,

    /// Also look at this machine: the programs of plugins, masters, bridges, directories of addresses. Needs root. It is
    /// always done for a pod of this node
    #[arg(long)]
    on_node: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    access: ClusterAccess,

    #[command(flatten)]
    settings: SettingsArguments,

    /// Plugin directory of the runtime
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "DIRECTORY")]
    cni_bin_dir: PathBuf,

    /// Run directory, with the daemon's socket [default: from the configuration]
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", value_name = "DIRECTORY")]
    run_directory: Option<PathBuf>,
}

/// Prints the plans; refused where one of them is.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let mut settings = arguments.settings.read()?;
    if let Some(run) = &arguments.run_directory {
        settings.run = RunDirectory::new(run);
    }
    let may_look = rehearse::may_look();
    if arguments.on_node {
        may_look.as_ref().map_err(|why| Error::Networks { what: "--on-node".to_owned(), why: why.clone() })?;
    }
    if let Some(subject) = arguments.subjects.iter().find(|subject| subjects::is_nothing(subject)) {
        let why = "there is no such file; a pod is NAMESPACE/NAME, or NAME".to_owned();
        return Err(Error::Networks { what: subject.display().to_string(), why });
    }
    let (named, files): (Vec<PathBuf>, Vec<PathBuf>) =
        arguments.subjects.iter().cloned().partition(|subject| subjects::is_name(subject));
    let (mut plans, mut unknown): (Vec<PodPlan>, Option<Error>) = (Vec::new(), None);
    for name in &named {
        match arguments.pod(&name.display().to_string(), &settings, may_look.is_ok()) {
            Ok(plan) => plans.push(plan),
            // It does not hide the others.
            Err(e) => unknown = unknown.or(Some(e)),
        }
    }
    let mut objects = Objects::default();
    objects.add_files(&files, &arguments.namespace);
    let planned = objects.pods.len();
    let more: Vec<PathBuf> = arguments.source_directory.iter().cloned().collect();
    objects.add_files(&more, &arguments.namespace);
    for pod in &objects.pods[..planned] {
        let object = objects.object_of(pod);
        plans.push(match Subject::of_files(pod, &objects, &settings) {
            Ok(subject) => rehearse::plan(&subject, &settings, arguments.stage(arguments.on_node)),
            Err(why) => PodPlan::impossible(object, why.to_string(), arguments.on_node),
        });
    }
    let is_refused = plans.iter().any(|plan| plan.refused.is_some());
    if !(plans.is_empty() && unknown.is_some()) {
        print(arguments, plans, &files, &objects, output)?;
    }
    unknown.map_or(Ok(()), Err)?;
    objects.all_read()?;
    Ok(if is_refused { Verdict::Refused } else { Verdict::Well })
}

impl Arguments {
    /// The plan of the pod `name`: of the cluster that the command line names; else of this node by its daemon, and where that
    /// cannot tell, of the cluster that kubectl would ask.
    fn pod(&self, name: &str, settings: &Settings, may_look: bool) -> Result<PodPlan, Error> {
        if !self.access.is_given() {
            match Subject::of_daemon(name, settings) {
                Ok(subject) => return Ok(rehearse::plan(&subject, settings, self.stage(may_look))),
                Err(e) if !ClusterAccess::is_configured() => return Err(e),
                // With the usual manifests the daemon may not read pods. A person may.
                Err(_) => {}
            }
        }
        let subject = Subject::of_cluster(name, &self.access.open()?, settings)?;
        Ok(rehearse::plan(&subject, settings, self.stage(self.on_node)))
    }

    fn stage(&self, is_on_node: bool) -> Stage<'_> {
        if is_on_node { Stage::OnNode { programs: &self.cni_bin_dir } } else { Stage::Elsewhere }
    }
}

fn print(
    arguments: &Arguments,
    plans: Vec<PodPlan>,
    files: &[PathBuf],
    objects: &Objects,
    output: &mut Output,
) -> Result<(), Error> {
    if plans.is_empty() && objects.unread.is_empty() {
        let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
        output.remark(format!("{}: no pod and no object with a template of pods.", names.join(", ")));
    }
    let not_seen = elsewhere::remark(&plans).into_iter().chain(elsewhere::remark_on_pools(&plans));
    let not_seen: Vec<String> = not_seen.collect();
    match arguments.output {
        Format::Json => output.json(&Document { version: VERSION, pods: plans }),
        Format::Table => plans.iter().enumerate().try_for_each(|(number, plan)| {
            if number > 0 {
                output.text("\n")?;
            }
            rows::print(plan, output)
        }),
    }?;
    not_seen.into_iter().for_each(|remark| output.remark(remark));
    Ok(())
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}
