//! A delegate that writes down how it was called and does what it is told.

use super::node;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One set of files a call lies here.
pub const LOG: &str = "/run/node/log";

/// A program of sh(1). It records environment, stdin, its own namespace and the time, then does what
/// the file of its verb beside it says, or answers as a plugin that made `CNI_IFNAME`. In such a file:
/// `$stdin` (the file), `$version` (of the configuration), `$log`, `$here` (a folder of the plugin's
/// own), `fail <code> <message>`, `result` (the answer it gives without a file).
const PROGRAM: &str = r#"#!/bin/sh
start=$(date +%s%N)
plugin=${0##*/}
here=$0.d
log=/run/node/log/$start.$$
stdin=$log.stdin
cat >"$stdin"
readlink /proc/self/ns/net >"$log.netns"
env -0 >"$log.env"
trap 'date +%s%N >"$log.stop"' EXIT
version=$(sed -n '/"cniVersion"/{s/.*"cniVersion" *: *"\([^"]*\)".*/\1/p;q}' "$stdin")
fail() { printf '{"cniVersion":"%s","code":%d,"msg":"%s"}' "$version" "$1" "$2"; exit 1; }
result() {
    case $version in
    0.1.0|0.2.0) printf '{"cniVersion":"%s","ip4":{"ip":"10.99.0.2/24"},"dns":{}}' "$version" ;;
    0.*) printf '{"cniVersion":"%s","interfaces":[{"name":"%s","mac":"02:00:00:00:00:01","sandbox":"%s"}],"ips":[{"version":"4","address":"10.99.0.2/24","interface":0}],"dns":{}}' "$version" "$CNI_IFNAME" "$CNI_NETNS" ;;
    *) printf '{"cniVersion":"%s","interfaces":[{"name":"%s","mac":"02:00:00:00:00:01","sandbox":"%s"}],"ips":[{"address":"10.99.0.2/24","interface":0}]}' "$version" "$CNI_IFNAME" "$CNI_NETNS" ;;
    esac
}
echo "$plugin" >"$log.plugin.new"
mv "$log.plugin.new" "$log.plugin"
if [ -e "$here/$CNI_COMMAND" ]; then . "$here/$CNI_COMMAND"; exit 0; fi
if [ "$CNI_COMMAND" = ADD ]; then result; fi
exit 0
"#;

/// An installed recorder.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Its plugin type.
    pub name: String,
    program: PathBuf,
}

impl Recorder {
    /// Installs one as the plugin `name` in `bin`.
    pub fn install(bin: &Path, name: &str) -> Self {
        let recorder = Recorder { name: name.to_owned(), program: bin.join(name) };
        node::write_program(&recorder.program, PROGRAM);
        fs::create_dir_all(recorder.folder()).unwrap();
        recorder
    }

    /// The folder beside the program, `$here` in scripts.
    pub fn folder(&self) -> PathBuf {
        let mut folder = self.program.clone().into_os_string();
        folder.push(".d");
        folder.into()
    }

    /// What it does on `verb`: commands of sh(1).
    pub fn on(&self, verb: &str, script: &str) -> &Self {
        node::write(&self.folder().join(verb), script);
        self
    }

    /// What it prints on ADD.
    pub fn answers(&self, result: &Value) -> &Self {
        self.on("ADD", &format!("cat <<'END'\n{result}\nEND\n"))
    }

    /// It does again what it does without being told.
    pub fn as_usual(&self, verb: &str) -> &Self {
        // Nothing may have been told.
        let _ = fs::remove_file(self.folder().join(verb));
        self
    }

    /// Removes the program.
    pub fn uninstall(&self) {
        fs::remove_file(&self.program).unwrap();
    }

    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its calls, in the order in which they began.
    pub fn calls(&self) -> Vec<Recorded> {
        Recorded::all().into_iter().filter(|call| call.plugin == self.name).collect()
    }

    /// Its calls of `verb`.
    pub fn calls_of(&self, verb: &str) -> Vec<Recorded> {
        self.calls().into_iter().filter(|call| call.verb() == verb).collect()
    }

    /// Its only call of `verb`.
    #[track_caller]
    pub fn call_of(&self, verb: &str) -> Recorded {
        let mut calls = self.calls_of(verb);
        assert_eq!(calls.len(), 1, "calls of {verb} to {}: {calls:?}", self.name);
        calls.remove(0)
    }
}

/// One call of a recorder.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The recorder's name.
    pub plugin: String,
    /// Every variable it was started with.
    pub environment: BTreeMap<String, String>,
    /// What it read.
    pub stdin: String,
    /// The network namespace it ran in, e.g. `net:[4026531840]`.
    pub netns: String,
    /// When it began, in nanoseconds.
    pub start: u128,
    /// When it ended by itself.
    pub stop: Option<u128>,
}

impl Recorded {
    /// All calls that were recorded, in the order in which they began.
    pub fn all() -> Vec<Recorded> {
        let mut calls: Vec<Recorded> = fs::read_dir(LOG)
            .unwrap()
            .flatten()
            .filter_map(|entry| Recorded::read(entry.path().to_str()?.strip_suffix(".plugin")?))
            .collect();
        calls.sort_by_key(|call| call.start);
        calls
    }

    fn read(log: &str) -> Option<Recorded> {
        let part = |name: &str| fs::read_to_string(format!("{log}.{name}")).ok();
        let variables = part("env")?;
        let pairs = variables.split('\0').filter_map(|pair| pair.split_once('='));
        Some(Recorded {
            plugin: part("plugin")?.trim().to_owned(),
            environment: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            stdin: part("stdin")?,
            netns: part("netns")?.trim().to_owned(),
            start: Path::new(log).file_name()?.to_str()?.split_once('.')?.0.parse().ok()?,
            stop: part("stop").and_then(|stop| stop.trim().parse().ok()),
        })
    }

    /// A variable; empty where it was not set.
    pub fn env(&self, key: &str) -> &str {
        self.environment.get(key).map_or("", String::as_str)
    }

    /// `CNI_COMMAND`.
    pub fn verb(&self) -> &str {
        self.env("CNI_COMMAND")
    }

    /// What it read, as JSON.
    pub fn config(&self) -> Value {
        serde_json::from_str(&self.stdin).unwrap()
    }
}
