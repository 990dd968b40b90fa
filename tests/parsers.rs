//! What fuzzing has found so far is dealt with: `fuzz/corpus`, through the functions that are fuzzed (`make fuzz`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../fuzz/parsers/mod.rs"]
mod parsers;

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The inputs of `target`.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let archive = fuzz().join(format!("corpus/{target}.tar.gz"));
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(status.success(), "{target}: {status}");
    fs::read_dir(folder.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn every_input_that_was_found_is_dealt_with() {
    for (target, run) in parsers::ALL {
        let inputs = corpus(target);
        assert!(inputs.len() > 50, "{target}: only {} inputs", inputs.len());
        for input in inputs {
            let outcome = panic::catch_unwind(|| run(&input));
            assert!(outcome.is_ok(), "{target}: {}", input.escape_ascii());
        }
    }
}

#[test]
fn every_parser_is_fuzzed() {
    let listed: BTreeSet<String> = parsers::ALL.iter().map(|(target, _)| (*target).to_owned()).collect();
    let names = |folder: &str, ending: &str| -> BTreeSet<String> {
        let names = fs::read_dir(fuzz().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| Some(name.to_str()?.strip_suffix(ending)?.to_owned())).collect()
    };
    assert_eq!(names("targets", ".rs"), listed);
    assert_eq!(names("corpus", ".tar.gz"), listed);
}
