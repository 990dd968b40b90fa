//! A row: what is given, what is called, and what has to come of it, of whoever carries it out.

use serde_json::{Map, Value};

/// Part of the setting that only code can make.
pub type Deed = fn(&super::subject::World<'_>);
/// A look that only code can take: what is wrong, if anything is.
pub type Judge = fn(&super::subject::World<'_>) -> Result<(), String>;

/// One case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case and what is to happen, in a line of the table.
    pub what: &'static str,
    /// The clauses that say so; empty for habits of Multus that manifests rely on.
    pub clauses: &'static str,
    pub given: Given,
    pub steps: Vec<Step>,
    pub expected: Expected,
    /// Whether a DEL follows, which has to delete in reverse what was attached.
    pub is_deleted: bool,
    /// What Multus does instead, and why that is so.
    pub multus: Peer,
    /// What libcni does instead; only rows about the default network's list can be carried out by it.
    pub libcni: Peer,
}

/// How somebody else compares.
#[derive(Clone, Debug)]
pub enum Peer {
    /// As the row says.
    Same,
    /// It has a fault: this is what happens instead.
    Fault(&'static str, Box<Expected>),
    /// It decides otherwise: this is what happens instead.
    Otherwise(&'static str, Box<Expected>),
    /// The case is not for it.
    NotAsked,
}

/// The setting, beside the networks every row has: see `subject::furnish`.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub annotations: Vec<(&'static str, String)>,
    /// Networks by `namespace/name`; none for an empty `spec`.
    pub networks: Vec<(&'static str, Option<String>)>,
    pub primary: Option<Value>,
    /// Keys of the configuration; `null` takes one away.
    pub config: Vec<(&'static str, Value)>,
    pub offered: Map<String, Value>,
    /// What a recorder does on a verb.
    pub scripts: Vec<(&'static str, &'static str, String)>,
    pub namespace: Option<&'static str>,
    pub is_unknown_pod: bool,
    pub deeds: Vec<Deed>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Step {
    pub verb: &'static str,
    pub config: Vec<(&'static str, Value)>,
    pub environment: Vec<(&'static str, &'static str)>,
    /// Done before it.
    pub before: Vec<Deed>,
}

/// What has to come of the last call.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub end: End,
    /// Calls of delegates, of all steps, as `VERB plugin interface`.
    pub calls: Option<Vec<&'static str>>,
    pub looks: Vec<Look>,
}

#[derive(Clone, Debug, Default)]
pub enum End {
    #[default]
    Success,
    /// It fails and says all of these words.
    Refusal(Vec<&'static str>, Code),
    /// It ends without an answer, saying this on stderr.
    Crash(&'static str),
}

/// The code of a refusal.
#[derive(Clone, Copy, Debug)]
pub enum Code {
    Any,
    /// Ours; others may have another one.
    Ours(u32),
    /// Everybody's who tells one.
    Every(u32),
}

#[derive(Clone, Debug)]
pub enum Look {
    /// A delegate's stdin at a JSON pointer; null for what is absent.
    Stdin(&'static str, &'static str, Value),
    /// A part of a delegate's stdin, byte for byte.
    Text(&'static str, &'static str),
    /// A part of a variable of a delegate.
    Variable(&'static str, &'static str, &'static str),
    /// No such part.
    NoVariable(&'static str, &'static str, &'static str),
    /// The answer at a JSON pointer.
    Answer(&'static str, Value),
    /// The network status at a JSON pointer.
    Status(&'static str, Value),
    /// Anything else, in words.
    Judge(&'static str, Judge),
}

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

/// What is expected: success, and nothing said about calls.
pub fn success() -> Expected {
    Expected::default()
}

/// A refusal before any delegate is called.
pub fn refusal(words: &[&'static str]) -> Expected {
    Expected { end: End::Refusal(words.to_vec(), Code::Any), calls: Some(Vec::new()), looks: Vec::new() }
}

/// A crash before any delegate is called.
pub fn crash(words: &'static str) -> Expected {
    Expected { end: End::Crash(words), calls: Some(Vec::new()), looks: Vec::new() }
}

impl Expected {
    pub fn calls(mut self, calls: &[&'static str]) -> Self {
        self.calls = Some(calls.to_vec());
        self
    }

    /// The same of somebody else, whose words are not ours.
    pub fn in_other_words(mut self) -> Self {
        if let End::Refusal(words, code) = &mut self.end {
            words.clear();
            if let Code::Ours(_) = code {
                *code = Code::Any;
            }
        }
        self
    }

    pub fn code(self, code: u32) -> Self {
        self.with_code(Code::Every(code))
    }

    pub fn our_code(self, code: u32) -> Self {
        self.with_code(Code::Ours(code))
    }

    fn with_code(mut self, code: Code) -> Self {
        if let End::Refusal(_, own) = &mut self.end {
            *own = code;
        }
        self
    }

    pub fn sees(mut self, call: &'static str, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Stdin(call, pointer, value));
        self
    }

    pub fn text(mut self, call: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::Text(call, part));
        self
    }

    pub fn variable(mut self, call: &'static str, variable: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::Variable(call, variable, part));
        self
    }

    pub fn no_variable(mut self, call: &'static str, variable: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::NoVariable(call, variable, part));
        self
    }

    pub fn answer(mut self, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Answer(pointer, value));
        self
    }

    pub fn status(mut self, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Status(pointer, value));
        self
    }

    pub fn judge(mut self, what: &'static str, judge: Judge) -> Self {
        self.looks.push(Look::Judge(what, judge));
        self
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
