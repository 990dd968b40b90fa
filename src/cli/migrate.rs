//! `plexusctl migrate`: turns a node's Multus configuration into ours, and says of every key what became of it.

use super::Error;
use super::config_document;
use super::migrate_keys::{Fate, fate};
use super::output::{Output, Tone};
use super::table::{Cell, Table};
use crate::cni::RawObject;
use crate::engine::Settings;
use crate::engine::settings::Primary;
use crate::sys::files;
use clap::Args;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A configuration is a few kilobytes.
const MAX_FILE: usize = 1 << 20;
/// The name Multus gives its network.
const MULTUS: &str = "multus-cni-network";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Multus' configuration: the one in the runtime's folder (00-multus.conf or .conflist), or the
    /// daemon's (daemon-config.json) where that names a default network
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Prints our list on stdout, and what became of each key on stderr.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let refuse = |mistakes: Vec<String>| Error::Multus { path: arguments.file.clone(), mistakes };
    let object = read(&arguments.file).map_err(|mistake| refuse(vec![mistake]))?;
    let (element, name) = element(&object).map_err(|mistake| refuse(vec![mistake]))?;
    let (keys, table) = translate(&element);
    review(&name, &keys).map_err(refuse)?;
    let capabilities = element.read("capabilities").map_err(|e| refuse(vec![e.to_string()]))?.unwrap_or_default();
    output.remark(table.render(false).trim_end());
    output.text(&config_document::migrated(&name, capabilities, keys)?.text)
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
fn translate(element: &RawObject) -> (BTreeMap<String, Box<RawValue>>, Table) {
    let mut keys = BTreeMap::new();
    let mut table = Table::new(["KEY", "OUTCOME", "WHY"]);
    for (key, value) in element.iter() {
        let fate = fate(key, value);
        let (outcome, why) = match fate {
            Fate::Kept(name, why) => {
                keys.insert(name.to_owned(), value.to_owned());
                (Cell::new("kept", Tone::Good), why.to_owned())
            }
            Fate::Changed(name, value, why) => {
                keys.insert(name.to_owned(), value);
                (Cell::new("changed", Tone::Waiting), why)
            }
            Fate::Elsewhere(why) => (Cell::new("kept", Tone::Good), why.to_owned()),
            Fate::NotNeeded(why) => (Cell::new("not needed", Tone::Plain), why.to_owned()),
            Fate::ByHand(why) => (Cell::new("by hand", Tone::Bad), why.to_owned()),
        };
        table.row(vec![key.into(), outcome, why.into()]);
    }
    (keys, table)
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
        mistakes.push("it names no default network (clusterNetwork or delegates): take the file Multus wrote into the runtime's folder".to_owned());
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
