//! `plexusctl migrate`: turns a node's Multus configuration into ours, and says of every key what became of it.

use super::output::{Output, Tone};
use super::{Error, Verdict, trust};
use crate::cli::config::multus_keys::{Fate, fate};
use crate::cli::config::{document, keys};
use crate::cli::output::table::{Cell, Table};
use crate::cni::RawObject;
use crate::cni::json;
use crate::engine::Settings;
use crate::engine::settings::Primary;
use crate::sys::files::{self, Durability};
use clap::Args;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes.
const MAX_FILE: usize = 1 << 20;
/// The name Multus gives its network.
const MULTUS: &str = "multus-cni-network";

#[derive(Debug, Args)]
pub struct Arguments {
    /// CNI file of Multus (/etc/cni/net.d/00-multus.conf), or daemon-config.json of its thick daemon if that sets
    /// clusterNetwork
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Write a settings file instead of a list (`-` for stdout), for `config --settings`, `install --settings` and
    /// conf/base/settings.json; `install` finds the default network
    #[arg(long, value_name = "SETTINGS")]
    settings: Option<PathBuf>,
}

/// What was made of Multus' keys.
struct Migrated {
    keys: BTreeMap<String, Box<RawValue>>,
    table: Table,
    by_hand: bool,
}

/// Prints our list on stdout, or writes our settings, and what became of each key on stderr; not well where something
/// is left to a person.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let refuse = |mistakes: Vec<String>| Error::Multus { path: arguments.file.clone(), mistakes };
    let object = read(&arguments.file).map_err(|mistake| refuse(vec![mistake]))?;
    let (element, name) = element(&object).map_err(|mistake| refuse(vec![mistake]))?;
    let mut migrated = translate(&element);
    review(&name, &migrated.keys).map_err(refuse)?;
    let capabilities = element.read("capabilities").map_err(|e| refuse(vec![e.to_string()]))?.unwrap_or_default();
    if let Some(file) = &arguments.settings {
        leave_to_install(&mut migrated);
        output.remark_table(&migrated.table);
        write_settings(file, capabilities, migrated.keys, output)?;
    } else {
        output.remark_table(&migrated.table);
        output.document(&document::migrated(&name, capabilities, migrated.keys)?.text)?;
    }
    Ok(if migrated.by_hand { Verdict::NotWell } else { Verdict::Well })
}

/// The default network is no setting: `install` finds its file. Further delegates have to become something else.
fn leave_to_install(migrated: &mut Migrated) {
    let row = |key: &str, outcome: Cell, why: &str| vec![Cell::from(key), outcome, why.into()];
    if let Some(named) = migrated.keys.remove("clusterNetwork") {
        let (outcome, why, by_hand) = match place(&named) {
            Place::Runtimes => (
                Cell::new("not needed", Tone::Plain),
                "not a setting: install uses the first file of the runtime's directory that does not belong to Plexus or Multus, or the file of --primary",
                false,
            ),
            Place::Elsewhere => (
                Cell::new("manual", Tone::Bad),
                "not a setting, and not in the runtime's directory: install has to get this file with --primary",
                true,
            ),
            Place::Name => (
                Cell::new("manual", Tone::Bad),
                "not a setting, and only a name: write the configuration into a file, which install has to get with --primary",
                true,
            ),
        };
        migrated.table.row(row("(settings) clusterNetwork", outcome, why));
        migrated.by_hand |= by_hand;
    }
    let why = "the list gets the name of the default network; records with the former name stay in /var/lib/cni/results, and can be deleted once the pods of before are gone";
    migrated.table.row(row("(settings) name", Cell::new("not needed", Tone::Plain), why));
    if let Some(delegates) = migrated.keys.remove("delegates") {
        let several = json::parse::<Vec<RawObject>>(delegates.get()).is_ok_and(|list| list.len() > 1);
        let why = if several {
            "no setting: write the first into a file of the runtime's directory, make NetworkAttachmentDefinitions of the others and name them in networksForAllPods"
        } else {
            "no setting: write it into a file of the runtime's directory"
        };
        migrated.table.row(row("(settings) delegates", Cell::new("manual", Tone::Bad), why));
        migrated.by_hand = true;
    }
}

/// Where the default network of Multus is.
enum Place {
    /// A file of the runtime's directory, where `install` looks.
    Runtimes,
    /// Another file, or a directory.
    Elsewhere,
    /// The name of a NAD, or of a configuration in a file.
    Name,
}

fn place(named: &RawValue) -> Place {
    let path = json::parse::<PathBuf>(named.get()).unwrap_or_default();
    match path.parent() {
        Some(folder) if folder == Path::new("/etc/cni/net.d") => Place::Runtimes,
        _ if path == Path::new("/etc/cni/net.d") => Place::Runtimes,
        _ if path.is_absolute() => Place::Elsewhere,
        _ => Place::Name,
    }
}

/// Writes what `config --settings` takes; that is made sure of.
fn write_settings(
    file: &Path,
    capabilities: BTreeMap<String, bool>,
    mut keys: BTreeMap<String, Box<RawValue>>,
    output: &mut Output,
) -> Result<(), Error> {
    let invalid = |e: serde_json::Error| Error::Output(e.into());
    if !capabilities.is_empty() {
        keys.insert("capabilities".to_owned(), to_raw_value(&capabilities).map_err(invalid)?);
    }
    let text = serde_json::to_string_pretty(&keys).map_err(invalid)? + "\n";
    keys::review(file, &text)?;
    if file == Path::new("-") {
        return output.document(&text);
    }
    trust::check_links(file)?;
    replaceable(file)
        .and_then(|target| files::replace(&target, text.as_bytes(), 0o644, Durability::Synced))
        .map_err(|source| Error::Write { path: file.to_owned(), source })?;
    output.remark(format!("wrote {}", file.display()));
    Ok(())
}

/// The file to which `file` leads. A device, a FIFO and the like is not replaced: others use it.
fn replaceable(file: &Path) -> io::Result<PathBuf> {
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => std::fs::canonicalize(file),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file (the file name - writes to stdout)",
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(file.to_owned()),
        Err(e) => Err(e),
    }
}

fn read(path: &Path) -> Result<RawObject, String> {
    let text = files::read_bounded(path, MAX_FILE).map_err(|e| e.to_string())?.ok_or("there is no such file")?;
    RawObject::parse(&text).map_err(|e| format!("not a JSON object: {e}"))
}

/// Multus' own keys, and the name the runtime knows its network by. In a list that is the element of Multus.
fn element(object: &RawObject) -> Result<(RawObject, String), String> {
    let name = object.read::<String>("name").map_err(|e| e.to_string())?;
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| MULTUS.to_owned());
    let Some(plugins) = object.read::<Vec<RawObject>>("plugins").map_err(|e| e.to_string())? else {
        return Ok((object.clone(), name));
    };
    let is_multus = |plugin: &RawObject| {
        plugin.read::<String>("type").ok().flatten().is_some_and(|kind| kind.starts_with("multus"))
    };
    let element =
        plugins.into_iter().find(is_multus).ok_or("its list has no plugin of the type multus or multus-shim")?;
    Ok((element, name))
}

/// Our keys, and a line for each of Multus'.
fn translate(element: &RawObject) -> Migrated {
    let mut keys = BTreeMap::new();
    let mut by_hand = false;
    let mut table = Table::new(["KEY", "RESULT", "WHY"]);
    for (key, value) in element.iter() {
        let fate = match value.get() {
            r#""""# => Fate::NotNeeded("it is empty: the default counts"),
            _ => fate(key, value),
        };
        let is_renamed = |name: &str| !name.eq_ignore_ascii_case(key);
        let (outcome, why) = match fate {
            Fate::Kept(name, why) if is_renamed(name) => {
                keys.insert(name.to_owned(), value.to_owned());
                (Cell::new("renamed", Tone::Good), format!("now {name}: {why}"))
            }
            Fate::Kept(name, why) => {
                keys.insert(name.to_owned(), value.to_owned());
                (Cell::new("kept", Tone::Good), why.to_owned())
            }
            Fate::Changed(name, value, why) => {
                keys.insert(name.to_owned(), value);
                let why = if is_renamed(name) { format!("now {name}: {why}") } else { why };
                (Cell::new("changed", Tone::Waiting), why)
            }
            Fate::Elsewhere(why) => (Cell::new("kept", Tone::Good), why.to_owned()),
            Fate::NotNeeded(why) => (Cell::new("not needed", Tone::Plain), why.to_owned()),
            Fate::ByHand(why) => {
                by_hand = true;
                (Cell::new("manual", Tone::Bad), why.to_owned())
            }
        };
        table.row(vec![key.into(), outcome, why.into()]);
    }
    Migrated { keys, table, by_hand }
}

/// What the plugin would say of `keys`; without a default network it would be chained, which Multus is not.
fn review(name: &str, keys: &BTreeMap<String, Box<RawValue>>) -> Result<(), Vec<String>> {
    let mut object = RawObject::default();
    object.set_value("name", name);
    object.set_value("cniVersion", "1.0.0");
    for (key, value) in keys {
        object.set(key, value.clone());
    }
    let (settings, mut mistakes) = Settings::review(&object.to_json()).map_err(|e| vec![e.to_string()])?;
    if mistakes.is_empty() && matches!(settings.primary, Primary::Chained) {
        mistakes.push("it names no default network (clusterNetwork or delegates): use the file that Multus wrote to the runtime's directory".to_owned());
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests;
