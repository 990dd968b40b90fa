//! Every record of the node, read once.

use crate::cni::ContainerId;
use crate::engine::Turn;
use crate::store::{Found, Record, Store};
use std::collections::BTreeMap;
use std::io;

/// What the records tell. One that cannot be read now is in none of the parts but counted.
#[derive(Debug, Default)]
pub struct Survey {
    /// Whole records.
    pub records: BTreeMap<String, Record>,
    /// What could be read of damaged ones.
    pub salvaged: BTreeMap<String, Record>,
    /// Those that cannot be read now.
    pub unreadable: Vec<ContainerId>,
}

impl Survey {
    /// Reads all records.
    ///
    /// # Errors
    /// They cannot be listed: then nothing is known of any sandbox.
    pub fn read(store: &Store) -> io::Result<Self> {
        let mut survey = Survey::default();
        for id in store.list()? {
            match store.look(&id) {
                Ok(Found::Record(record)) => drop(survey.records.insert(id.to_string(), record)),
                Ok(Found::Salvaged { record, .. }) => drop(survey.salvaged.insert(id.to_string(), record)),
                // Deleted meanwhile.
                Ok(Found::Nothing) => {}
                Err(_) => survey.unreadable.push(id),
            }
        }
        Ok(survey)
    }

    /// Whole and damaged ones.
    pub fn all(&self) -> impl Iterator<Item = &Record> + Clone {
        self.records.values().chain(self.salvaged.values())
    }

    /// Takes over what a record holds now; an empty one is not there any more.
    pub fn update(&mut self, record: Record) {
        let id = record.container_id.to_string();
        self.salvaged.remove(&id);
        if record.attachments.is_empty() {
            self.records.remove(&id);
        } else {
            self.records.insert(id, record);
        }
    }
}

/// As [`Survey::read`]; says why there is none.
pub fn read(turn: &Turn) -> Option<Survey> {
    let failed = |e: &io::Error| turn.warn(format!("nothing is swept, because the records cannot be listed: {e}"));
    Survey::read(&turn.store).inspect_err(failed).ok()
}
