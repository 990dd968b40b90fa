//! A row: what is given, what is called, and what has to come of it, of whoever carries it out.

pub use super::build::row;
pub use super::expected::{crash, refusal, success};
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
