//! `plexusctl lint`: errors in manifests, before a pod meets them.

mod admitted;
pub mod found;
mod ignored;
pub mod judged;
pub mod judgement;
mod machine;
mod report;
pub mod rule;
pub mod rules;
mod sarif;

use super::kubeconfig::{ClusterAccess, namespace};
use super::objects::Objects;
use super::output::Output;
use super::settings_of_node::SettingsArguments;
use super::{Error, Verdict};
use crate::cli::lint::judged::{Judged, Machine};
pub use crate::cli::lint::report::Document;
use crate::cli::lint::report::Report;
use crate::cli::lint::rule::{Finding, Needs, Severity};
use crate::cluster::listing;
use crate::engine::Settings;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Two lines for each finding: place and problem, then the fix
    #[default]
    Text,
    /// One JSON document; members are added, never changed
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 no error, 1 an error was found (with --strict: or a warning, or nothing was checked).\n\nA comment `# lint: ignore PX018` in a file, or the annotation plexus.dev/lint-ignore on an object, silences a rule there."
)]
pub(super) struct Arguments {
    /// Manifests with NetworkAttachmentDefinitions, AddressPools, pods, and objects with a template of pods; directories of
    /// them; `-` for stdin. With --settings it may be missing: then only the settings are checked
    #[arg(value_name = "FILE", required_unless_present_any = ["cluster", "kubeconfig", "context", "settings"], conflicts_with_all = ["cluster", "kubeconfig", "context"])]
    files: Vec<PathBuf>,

    /// Judge the objects of a cluster; also meant by --kubeconfig and --context
    #[arg(long)]
    cluster: bool,

    #[command(flatten)]
    access: ClusterAccess,

    /// Namespace of objects that name none; with --cluster: only objects of this namespace
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,

    /// Also judge by this machine: the programs of plugins, and its bridges
    #[arg(long)]
    on_node: bool,

    /// Exit code 1 also for warnings, and where nothing was checked
    #[arg(long)]
    strict: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Shape,

    #[command(flatten)]
    settings: SettingsArguments,

    /// Plugin directory of the runtime, for --on-node
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "DIRECTORY")]
    cni_bin_dir: PathBuf,
}

/// Prints what is wrong; refused where something is.
pub(super) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let settings = arguments.settings.read()?;
    let is_cluster = arguments.cluster || arguments.access.is_given();
    let objects = if is_cluster { arguments.of_cluster(output)? } else { arguments.of_files() };
    let machine = arguments.on_node.then(|| {
        let own = settings.bin_dir.clone().into_iter();
        machine::look(own.chain([arguments.cni_bin_dir.clone()]).collect())
    });
    let report = Report::of(&objects, findings(&objects, &settings, machine));
    match arguments.output {
        Shape::Text if arguments.files.is_empty() && !is_cluster => tell_settings(arguments, output),
        Shape::Text => report.print(output)?,
        Shape::Json => output.json(&report.document())?,
        Shape::Sarif => output.standard_json(&sarif::log(&report))?,
    }
    objects.all_read()?;
    let are_only_settings = arguments.files.is_empty() && !is_cluster;
    let is_warned = report.count(Severity::Warning) > 0 || (report.is_empty() && !are_only_settings);
    let is_refused = report.count(Severity::Error) > 0 || (arguments.strict && is_warned);
    Ok(if is_refused { Verdict::Refused } else { Verdict::Well })
}

/// Nothing but settings was checked, and whatever is wrong with them is an error before.
fn tell_settings(arguments: &Arguments, output: &Output) {
    if let Some(file) = &arguments.settings.settings {
        output.remark(format!("{}: no problem found in the settings.", file.display()));
    }
}

impl Arguments {
    fn of_files(&self) -> Objects {
        let mut objects = Objects::default();
        objects.add_files(&self.files, self.namespace.as_deref().unwrap_or("default"));
        objects
    }

    fn of_cluster(&self, output: &Output) -> Result<Objects, Error> {
        let failed = |why: String| Error::Networks { what: "the cluster".to_owned(), why };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| failed(e.to_string()))?;
        let access = listing::Access {
            kubeconfig: self.access.kubeconfig.as_deref(),
            context: self.access.context.as_deref(),
            namespace: self.namespace.as_deref(),
            patience: listing::PATIENCE,
        };
        let listed = runtime.block_on(listing::list(&access)).map_err(|why| {
            let is_all = access.namespace.is_none() && why.contains(" is forbidden: ");
            let hint = if is_all { "; to judge one namespace, name it with --namespace" } else { "" };
            failed(format!("{why}{hint}"))
        })?;
        for (what, why) in &listed.refused {
            output.remark(format!("warning: {what} cannot be listed, and are not judged: {why}"));
        }
        let only_namespace = self.namespace.clone();
        let pools_are_unknown = listed.pools_are_unknown;
        let mut objects = Objects { is_cluster: true, only_namespace, pools_are_unknown, ..Objects::default() };
        listed.objects.iter().for_each(|object| objects.add_object(object));
        Ok(objects)
    }
}

/// What all rules find in the manifests `text`; `is_cluster`: as if they were all objects of a cluster.
pub fn check(text: &str, is_cluster: bool, settings: &Settings, machine: Option<Machine>) -> Vec<Finding> {
    let mut objects = Objects { is_cluster, ..Objects::default() };
    objects.add_text("manifests", text.to_owned(), "default");
    findings(&objects, settings, machine)
}

/// What all rules find in `objects`, in the order of the places; what is to be ignored is left out.
pub(super) fn findings(objects: &Objects, settings: &Settings, machine: Option<Machine>) -> Vec<Finding> {
    let judged = Judged::new(objects, settings, machine);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules::all() {
        let is_judged = match rule.needs {
            Needs::Files => true,
            Needs::Cluster => objects.is_cluster,
            Needs::Node => judged.machine.is_some(),
        };
        if is_judged {
            findings.extend((rule.judge)(&judged).into_iter().map(|found| Finding { rule, found }));
        }
    }
    let ignored = ignored::Ignored::of(objects);
    findings.retain(|finding| !ignored.has(finding));
    findings.sort_by(|a, b| (a.found.place, a.rule.id).cmp(&(b.found.place, b.rule.id)));
    findings.dedup_by(|a, b| a.rule.id == b.rule.id && a.found.place == b.found.place && a.found.text == b.found.text);
    findings
}
