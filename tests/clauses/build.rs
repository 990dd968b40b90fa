//! Saying what a row is.

use super::expected::{refusal, success};
use super::row::{Deed, Expected, Given, Peer, Row, Step};
use serde_json::Value;

/// A row of one ADD; without more it has to succeed, and a DEL then deletes in reverse what was attached.
pub fn row(what: &'static str, clauses: &'static str) -> Row {
    let step = Step { verb: "ADD", config: Vec::new(), environment: Vec::new(), before: Vec::new() };
    Row {
        what,
        clauses,
        given: Given::default(),
        steps: vec![step],
        expected: Expected::default(),
        is_deleted: true,
        multus: Peer::Same,
        libcni: Peer::NotAsked,
    }
}

impl Row {
    /// The annotation that selects networks.
    pub fn networks(self, text: impl ToString) -> Self {
        self.annotation(plexus::nad::NETWORKS, text)
    }

    /// The annotation that replaces the default network.
    pub fn default_network(self, text: impl ToString) -> Self {
        self.annotation(plexus::nad::DEFAULT_NETWORK, text)
    }

    fn annotation(mut self, key: &'static str, text: impl ToString) -> Self {
        self.given.annotations.push((key, text.to_string()));
        self
    }

    /// A network attachment definition.
    pub fn nad(mut self, nad: &'static str, config: impl ToString) -> Self {
        self.given.networks.push((nad, Some(config.to_string())));
        self
    }

    /// One without a configuration.
    pub fn empty_nad(mut self, nad: &'static str) -> Self {
        self.given.networks.push((nad, None));
        self
    }

    /// The default network's configuration.
    pub fn primary(mut self, config: Value) -> Self {
        self.given.primary = Some(config);
        self
    }

    /// A key of the meta plugin's configuration; `null` takes it away.
    pub fn config(mut self, key: &'static str, value: Value) -> Self {
        self.given.config.push((key, value));
        self
    }

    /// What the runtime offers by capability.
    pub fn offered(mut self, key: &str, value: Value) -> Self {
        self.given.offered.insert(key.to_owned(), value);
        self
    }

    /// What a delegate does on a verb.
    pub fn script(mut self, plugin: &'static str, verb: &'static str, script: impl ToString) -> Self {
        self.given.scripts.push((plugin, verb, script.to_string()));
        self
    }

    /// What a delegate answers on ADD.
    pub fn answers(self, plugin: &'static str, result: &Value) -> Self {
        self.script(plugin, "ADD", format!("cat <<'END'\n{result}\nEND\n"))
    }

    /// The pod's namespace.
    pub fn namespace(mut self, namespace: &'static str) -> Self {
        self.given.namespace = Some(namespace);
        self
    }

    /// Anything else that has to be there.
    pub fn with(mut self, deed: Deed) -> Self {
        self.given.deeds.push(deed);
        self
    }

    /// Another verb than ADD.
    pub fn only(mut self, verb: &'static str) -> Self {
        self.steps[0].verb = verb;
        self
    }

    /// It is not looked at what DEL does: another row does that.
    pub fn del_aside(mut self) -> Self {
        self.is_deleted = false;
        self
    }

    /// The pod is not known, neither to the runtime nor to the cluster.
    pub fn of_unknown_pod(mut self) -> Self {
        self.given.is_unknown_pod = true;
        self
    }

    /// A further call.
    pub fn then(mut self, verb: &'static str) -> Self {
        self.steps.push(Step { verb, config: Vec::new(), environment: Vec::new(), before: Vec::new() });
        self
    }

    fn last(&mut self) -> &mut Step {
        self.steps.last_mut().unwrap()
    }

    /// A key of the configuration of the last step alone.
    pub fn key(mut self, key: &'static str, value: Value) -> Self {
        self.last().config.push((key, value));
        self
    }

    /// A variable of the last step.
    pub fn env(mut self, key: &'static str, value: &'static str) -> Self {
        self.last().environment.push((key, value));
        self
    }

    /// Done before the last step.
    pub fn before(mut self, deed: Deed) -> Self {
        self.last().before.push(deed);
        self
    }

    /// What has to come of it.
    pub fn expect(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    /// It succeeds with these calls.
    pub fn calls(self, calls: &[&'static str]) -> Self {
        self.expect(success().calls(calls))
    }

    /// It is refused before any delegate is called.
    pub fn refused(self, words: &[&'static str]) -> Self {
        self.expect(refusal(words).our_code(7))
    }

    /// Multus has a fault here.
    pub fn multus_fault(mut self, why: &'static str, instead: Expected) -> Self {
        self.multus = Peer::Fault(why, Box::new(instead));
        self
    }

    /// Multus decides otherwise.
    pub fn multus_otherwise(mut self, why: &'static str, instead: Expected) -> Self {
        self.multus = Peer::Otherwise(why, Box::new(instead));
        self
    }

    /// The case means nothing to Multus.
    pub fn not_multus(mut self) -> Self {
        self.multus = Peer::NotAsked;
        self
    }

    /// libcni does the same.
    pub fn libcni(mut self) -> Self {
        self.libcni = Peer::Same;
        self
    }

    /// libcni does something else.
    pub fn libcni_otherwise(mut self, why: &'static str, instead: Expected) -> Self {
        self.libcni = Peer::Otherwise(why, Box::new(instead));
        self
    }
}
