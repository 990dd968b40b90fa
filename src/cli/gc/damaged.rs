//! Damaged records, which `plexusctl gc` keeps.

use crate::api::StateDirectory;
use crate::cli::output::Output;
use crate::store::Store;
use crate::sys::files;

/// What is kept of damaged records.
#[derive(Debug)]
pub struct Kept {
    /// Records that cannot be read, in their place.
    pub records: usize,
    /// Damaged texts that were moved aside.
    pub files: usize,
}

impl Kept {
    /// In the state directory; none where it cannot be seen.
    pub fn of(state: &StateDirectory) -> Self {
        let (_, records) = Store::new(state).survey().unwrap_or_default();
        Kept { records: records.len(), files: files::entries(&state.damaged()).map_or(0, |entries| entries.len()) }
    }

    /// Tells how many there are, and where.
    pub fn tell(&self, state: &StateDirectory, output: &Output) {
        let counted = |number: usize| {
            if number == 1 { "1 damaged record is".to_owned() } else { format!("{number} damaged records are") }
        };
        if self.records > 0 {
            output.remark(format!(
                "{} in {}: the DEL of the pod, or a cleanup after its end, settles each.",
                counted(self.records),
                state.sandboxes().display()
            ));
        }
        if self.files > 0 {
            output.remark(format!(
                "{} kept in {}: Plexus does not use these files. Delete them when nobody needs them for a bug report.",
                counted(self.files),
                state.damaged().display()
            ));
        }
    }
}
