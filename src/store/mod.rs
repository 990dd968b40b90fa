//! The record of what is attached on this node: crash journal, cache for DEL, CHECK and GC, and what
//! `plexusctl` shows, all in one file a sandbox.
//!
//! It has one writer, the plugin, which holds the sandbox's lock while it writes.

pub mod record;
pub mod salvage;

pub use record::{Attachment, Debt, Record, State};

use crate::api::StateDirectory;
use crate::api::layout::DAMAGED;
use crate::cni::ContainerId;
use crate::cni::json;
use crate::sys::files::{self, Durability};
use crate::sys::trusted::{self, Folder};
use nix::errno::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

/// A record is a few kilobytes; what is longer is none.
const MAX_RECORD: usize = 16 << 20;

/// So many damaged records of one container are kept in one second.
const MAX_SAME_SECOND: u32 = 1000;

/// The folder of records.
#[derive(Clone, Debug)]
pub struct Store {
    folder: StateDirectory,
}

/// What is known of a sandbox.
#[derive(Debug)]
pub enum Found {
    /// Nothing: it was made before us, its record is gone, or everything is deleted already.
    Nothing,
    /// Its record.
    Record(Record),
    /// Its record is damaged; this could still be read of it. It stays where it is until [`Store::restore`].
    Salvaged {
        /// What could be read.
        record: Record,
        /// One line for the log.
        damage: String,
    },
}

impl Store {
    /// The store in `folder`.
    pub fn new(folder: &StateDirectory) -> Self {
        Store { folder: folder.clone() }
    }

    /// Writes `record` so that every later reader sees it whole.
    ///
    /// # Errors
    /// It is not written; the record before it, if any, still stands.
    pub fn write(&self, record: &Record, durability: Durability) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        if text.len() > MAX_RECORD {
            // Nobody could read it again.
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MAX_RECORD} bytes")));
        }
        trusted::replace(&self.folder.record(&record.container_id), &text, 0o600, durability)
    }

    /// Forces a record that was written [`Durability::Cached`] to the disk.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn sync(&self, id: &ContainerId) -> io::Result<()> {
        files::sync(&self.folder.record(id))
    }

    /// Reads the record of `id`, and changes nothing.
    ///
    /// # Errors
    /// The disk cannot be read: nothing is known of the record then, and it must not be replaced.
    pub fn look(&self, id: &ContainerId) -> io::Result<Found> {
        let path = self.folder.record(id);
        let text = match trusted::read_bytes_bounded(&path, MAX_RECORD) {
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if is_no_record(&e) => return Ok(salvaged(id, "", &e.to_string())),
            Err(e) => return Err(e),
        };
        match json::parse::<Record>(&text) {
            Ok(record) if record.container_id == *id => Ok(Found::Record(record)),
            Ok(record) => Ok(salvaged(id, &text, &format!("it is of container {}", record.container_id))),
            Err(e) => Ok(salvaged(id, &text, &e.to_string())),
        }
    }

    /// Writes `record` in place of a damaged one of the same container, which is kept in the folder `damaged`.
    /// Answers where. At every moment one of the two is the record: a call that is killed loses nothing.
    ///
    /// # Errors
    /// The damaged record is still in its place, and nothing of it is lost.
    pub fn restore(&self, record: &Record, durability: Durability) -> io::Result<PathBuf> {
        // No link is followed: it could lead a record, whose text may be anybody's, into a folder of configurations.
        let from = Folder::open(&self.folder.sandboxes())?;
        let to = Folder::open(self.folder.path())?.beneath(DAMAGED, 0o700)?;
        let name = format!("{}.json", record.container_id);
        let (aside, moved) = keep(&from, &name, &to, &format!("{}.{}", record.container_id, record::now()))?;
        self.write(record, durability).inspect_err(|_| {
            if moved {
                // The error that matters is the one above.
                let _ = to.move_to(OsStr::new(&aside), &from, OsStr::new(&name));
            }
        })?;
        Ok(to.path().join(aside))
    }

    /// Removes the record of `id`; one that is not there is removed.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, id: &ContainerId) -> io::Result<()> {
        trusted::remove(&self.folder.record(id))
    }

    /// The containers that have a record, in no order.
    ///
    /// # Errors
    /// The folder is there and cannot be read, or somebody else may write there.
    pub fn list(&self) -> io::Result<Vec<ContainerId>> {
        let folder = match Folder::open(&self.folder.sandboxes()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let id = |name: &OsString| ContainerId::new(name.to_str()?.strip_suffix(".json")?).ok();
        Ok(folder.names()?.iter().filter_map(id).collect())
    }

    /// Reads every record for showing: damaged ones are left alone and named. One that is removed
    /// meanwhile is not there.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn survey(&self) -> io::Result<(Vec<Record>, Vec<ContainerId>)> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for id in self.list()? {
            match trusted::read_bounded(&self.folder.record(&id), MAX_RECORD) {
                Ok(None) => {}
                Ok(Some(text)) => match json::parse::<Record>(&text) {
                    Ok(record) => records.push(record),
                    Err(_) => damaged.push(id),
                },
                Err(_) => damaged.push(id),
            }
        }
        damaged.sort();
        Ok((records, damaged))
    }
}

/// Gives the file `name` a second name in the folder `to`, that of its container and time. What can have no second
/// name (a folder, or a file on such a file system) is moved. Answers the new name, and whether it was moved.
fn keep(from: &Folder, name: &str, to: &Folder, aside: &str) -> io::Result<(String, bool)> {
    // Two in one second have different names.
    for number in 0..=MAX_SAME_SECOND {
        let aside = if number == 0 { aside.to_owned() } else { format!("{aside}-{number}") };
        match from.link_to(OsStr::new(name), to, OsStr::new(&aside)) {
            Ok(()) => return Ok((aside, false)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                from.move_to(OsStr::new(name), to, OsStr::new(&aside))?;
                return Ok((aside, true));
            }
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there are too many files {aside}")))
}

/// Whether what lies there will not become a record by waiting: it is too long, no file, a symbolic link (open(2):
/// ELOOP, because no link is followed) or a socket (ENXIO).
fn is_no_record(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput)
        || [Errno::ELOOP, Errno::ENXIO].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

fn salvaged(id: &ContainerId, text: &str, why: &str) -> Found {
    let record = salvage::read(id, text);
    let damage =
        format!("the record of {id} is damaged ({why}), {} attachments could be read of it", record.attachments.len());
    Found::Salvaged { record, damage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn sample(id: &str) -> Record {
        let text = format!(
            r#"{{"version":1,"containerId":"{id}","netns":"/run/netns/x","created":7,"attachments":[
            {{"call":"eth0","network":"cbr0","ifname":"eth0","default":true,"state":"attached","config":{{"name":"cbr0","type":"a","n":123456789012345678901}},"args":"A=1"}},
            {{"call":"eth0","network":"ns/b","ifname":"net1","state":"planned","config":{{"name":"b","type":"b"}}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_record_survives_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&StateDirectory::new(folder.path()));
        let record = sample("c1");
        store.write(&record, Durability::Cached).unwrap();
        let Found::Record(read) = store.look(&record.container_id).unwrap() else { panic!("not found") };
        assert_eq!(read.attachments[0].config.get(), r#"{"name":"cbr0","type":"a","n":123456789012345678901}"#);
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&record.container_id));
        store.remove(&record.container_id).unwrap();
        store.remove(&record.container_id).unwrap();
        assert!(matches!(store.look(&record.container_id).unwrap(), Found::Nothing));
    }

    #[test]
    fn a_record_cut_anywhere_is_used_and_kept() {
        // FAULT-12
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let store = Store::new(&state);
        let id = ContainerId::new("c1").unwrap();
        let whole = serde_json::to_string(&sample("c1")).unwrap();
        let second = whole.find(r#"{"call":"eth0","network":"ns/b""#).unwrap();
        files::make_folder(&state.sandboxes()).unwrap();
        for length in 0..whole.len() {
            std::fs::write(state.record(&id), &whole[..length]).unwrap();
            let Found::Salvaged { record, damage } = store.look(&id).unwrap() else { panic!("{length}: not salvaged") };
            let expected = if length < second {
                usize::from(length >= second - 1)
            } else {
                1 + usize::from(length >= whole.len() - 2)
            };
            assert_eq!(record.attachments.len(), expected, "{length}: {damage}");
            // Whether it is gone can be told by the namespace: half of a path would be another one's.
            let headed = length > whole.find(r#"[{"#).unwrap();
            let netns = record.netns.as_deref().map(|path| path.to_str().unwrap());
            assert_eq!((netns, record.created), if headed { (Some("/run/netns/x"), 7) } else { (None, 0) }, "{length}");
            assert!(record.incomplete && damage.contains("damaged"), "{length}: {damage}");
            // FAULT-2, H7: what was read is the record from now on, and the damaged one is kept beside it.
            let aside = store.restore(&record, Durability::Cached).unwrap();
            assert_eq!(std::fs::read(aside).unwrap(), &whole.as_bytes()[..length]);
            let Found::Record(read) = store.look(&id).unwrap() else { panic!("{length}: not restored") };
            assert_eq!((read.attachments.len(), read.incomplete), (expected, true));
        }
    }

    #[test]
    fn what_is_no_record_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let (store, id) = (Store::new(&state), ContainerId::new("c1").unwrap());
        files::make_folder(&state.sandboxes()).unwrap();
        let whole = serde_json::to_vec(&sample("c1")).unwrap();
        type Maker<'a> = (&'a str, &'a dyn Fn(&std::path::Path), usize);
        let makers: [Maker<'_>; 5] = [
            ("regular file", &|path| std::fs::create_dir(path).unwrap(), 0),
            ("regular file", &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(), 0),
            ("longer than", &|path| std::fs::File::create(path).unwrap().set_len(1 << 30).unwrap(), 0),
            ("ends too early", &|path| std::fs::write(path, "").unwrap(), 0),
            ("expected", &|path| std::fs::write(path, [&whole, [0xff].as_slice()].concat()).unwrap(), 2),
        ];
        for (why, make, attachments) in makers {
            make(&state.record(&id));
            let Found::Salvaged { record, damage } = store.look(&id).unwrap() else { panic!("{why}: not salvaged") };
            assert!(damage.contains("damaged"), "{damage}");
            assert_eq!(record.attachments.len(), attachments, "{damage}");
            store.restore(&record, Durability::Cached).unwrap();
            let Found::Record(_) = store.look(&id).unwrap() else { panic!("{why}: not restored") };
            store.remove(&id).unwrap();
        }
    }

    #[test]
    fn a_damaged_record_that_cannot_be_kept_is_not_replaced() {
        // M6
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let (store, id) = (Store::new(&state), ContainerId::new("c1").unwrap());
        store.write(&sample("c1"), Durability::Cached).unwrap();
        let whole = std::fs::read(state.record(&id)).unwrap();
        let damaged = &whole[..whole.len() - 2];
        std::fs::write(state.record(&id), damaged).unwrap();
        std::fs::write(state.damaged(), "no folder").unwrap();
        let Found::Salvaged { record, .. } = store.look(&id).unwrap() else { panic!("not salvaged") };
        store.restore(&record, Durability::Cached).unwrap_err();
        assert_eq!(std::fs::read(state.record(&id)).unwrap(), damaged);
    }

    #[test]
    fn a_pod_that_cannot_exist_is_no_damage() {
        let text = serde_json::to_string(&sample("c1")).unwrap();
        let of = |pod: &str| text.replace(r#""netns""#, &format!(r#""pod":{pod},"netns""#));
        let read = |pod: &str| serde_json::from_str::<Record>(&of(pod)).unwrap().pod.map(|pod| pod.to_string());
        assert_eq!(read(r#"{"namespace":"ns","name":"p"}"#).as_deref(), Some("ns/p"));
        assert_eq!(read(r#"{"namespace":"ns","name":"P_"}"#), None);
        assert_eq!(read("null"), None);
    }

    #[test]
    fn a_state_of_a_later_release_is_no_damage() {
        let text = serde_json::to_string(&sample("c1")).unwrap().replace(r#""attached""#, r#""suspended""#);
        let record: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(record.attachments[0].state, State::Planned);
        let states: Vec<String> = [State::Planned, State::Attached, State::Owed]
            .iter()
            .map(|state| serde_json::to_string(state).unwrap())
            .collect();
        assert_eq!(states, [r#""planned""#, r#""attached""#, r#""owed""#]);
        assert_eq!(serde_json::from_str::<State>(r#""owed""#).unwrap(), State::Owed);
    }

    #[test]
    fn a_record_that_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&StateDirectory::new(folder.path()));
        let mut record = sample("c1");
        store.write(&record, Durability::Cached).unwrap();
        record.attachments[0].result = RawValue::from_string(format!("\"{}\"", "x".repeat(MAX_RECORD))).ok();
        assert_eq!(store.write(&record, Durability::Cached).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let Found::Record(record) = store.look(&record.container_id).unwrap() else { panic!("the one before is gone") };
        assert!(record.attachments[0].result.is_none());
    }

    #[test]
    fn somebody_elses_record_is_not_used_as_ours() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(folder.path());
        let store = Store::new(&state);
        store.write(&sample("other"), Durability::Cached).unwrap();
        let id = ContainerId::new("c1").unwrap();
        std::fs::rename(state.record(&ContainerId::new("other").unwrap()), state.record(&id)).unwrap();
        let Found::Salvaged { record, .. } = store.look(&id).unwrap() else { panic!("taken for ours") };
        assert_eq!(record.attachments.len(), 0);
    }
}
