//! What is counted. No label is a pod, a network or a sandbox: their number has no bound.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// The daemon's counters. A clone counts on the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    questions: Family<Labels<2>, Counter>,
    question_duration: Histograms,
    publications: Family<Labels<1>, Counter>,
    publication_retries: Counter,
    publication_duration: Histogram,
    displacements: Family<Labels<1>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            questions: Family::default(),
            question_duration: Family::new_with_constructor(|| {
                Histogram::new([0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0])
            }),
            publications: Family::default(),
            publication_retries: Counter::default(),
            publication_duration: Histogram::new([0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0, 60.0, 600.0]),
            displacements: Family::default(),
        }
    }
}

impl Metrics {
    /// A question was answered, or not.
    pub fn answered(&self, question: &'static str, outcome: &'static str, took: Duration) {
        self.questions.get_or_create(&[("question", question), ("outcome", outcome)]).inc();
        self.question_duration.get_or_create(&[("question", question)]).observe(took.as_secs_f64());
    }

    /// A network status was dealt with.
    pub fn published(&self, outcome: &'static str, took: Duration) {
        self.publications.get_or_create(&[("outcome", outcome)]).inc();
        self.publication_duration.observe(took.as_secs_f64());
    }

    /// A try to publish a network status failed.
    pub fn publication_retried(&self) {
        self.publication_retries.inc();
    }

    /// A file of our installation (`configuration` or `plugin`) was displaced and put back `times` more.
    pub fn displaced(&self, file: &'static str, times: u64) {
        self.displacements.get_or_create(&[("file", file)]).inc_by(times);
    }

    /// Adds them to what is exported.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("questions", "Requests of the plugin and of plexusctl", self.questions.clone());
        let help = "Time to answer a request";
        registry.register_with_unit("question_duration", help, Unit::Seconds, self.question_duration.clone());
        registry.register("publications", "network-status updates that ended, by result", self.publications.clone());
        registry.register(
            "publication_retries",
            "Failed attempts to write a network-status",
            self.publication_retries.clone(),
        );
        let help = "Time from the first attempt to write a network-status to its end";
        registry.register_with_unit("publication_duration", help, Unit::Seconds, self.publication_duration.clone());
        let help = "Files of Plexus that another agent removed or changed, and that were restored";
        registry.register("displacements", help, self.displacements.clone());
    }
}
