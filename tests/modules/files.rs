//! The arrows between files: none makes a circle, so that every file can be read after those that it uses.

use crate::text::{paths, source, sources, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The longest that a file may be, and what half of them may be at most.
const LONGEST: usize = 400;
const HALF: usize = 150;

/// A module by its path in the crate, `["engine", "verbs", "add"]`.
type Module = Vec<String>;

#[test]
fn files_make_no_circle() {
    let arrows = arrows(&modules());
    for circle in circles(&arrows) {
        for module in &circle {
            let used: Vec<String> = arrows[module].intersection(&circle).map(|used| used.join("::")).collect();
            eprintln!("{} uses {}", module.join("::"), used.join(", "));
        }
        eprintln!();
    }
    assert!(circles(&arrows).is_empty(), "the files above use each other, directly or through others");
}

#[test]
fn files_are_short() {
    let mut lengths = Vec::new();
    for (_, file, _) in sources() {
        let lines = fs::read_to_string(source().join(&file)).unwrap().lines().count();
        assert!(lines <= LONGEST, "src/{} has {lines} lines: more than {LONGEST} are several subjects", file.display());
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let half = lengths[lengths.len() / 2];
    assert!(half <= HALF, "half of the files are longer than {half} lines");
}

#[test]
fn arrows_between_files_are_found() {
    let module = |text: &str| text.split("::").map(str::to_owned).collect::<Module>();
    let files = |texts: &[(&str, &str)]| {
        texts.iter().map(|(name, text)| (module(name), without_tests(text))).collect::<BTreeMap<_, _>>()
    };
    // A circle through a re-export, one through a path of a child, and `mod` and `pub use` alone, which are none.
    let through = files(&[
        ("a", "mod x;\nmod y;\npub use x::Thing;"),
        ("a::x", "use super::y;"),
        ("a::y", "fn f(_: crate::a::Thing) {}"),
        ("b", "mod z;\nfn f() { z::g() }"),
        ("b::z", "use crate::b::f;"),
        ("c", "mod one;"),
        ("c::one", "use super::super::a::Thing;\n#[cfg(test)]\nmod tests {\n use crate::b;\n}"),
    ]);
    let circle = |names: [&str; 2]| names.map(module).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(circles(&arrows(&through)), [circle(["a::x", "a::y"]), circle(["b", "b::z"])]);
}

/// Every module and its code.
fn modules() -> BTreeMap<Module, String> {
    let module = |file: &std::path::Path| {
        let mut parts: Module =
            file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        parts
    };
    sources().into_iter().map(|(_, file, text)| (module(&file), text)).collect()
}

/// Which module uses which. What a folder's `mod.rs` only passes on belongs to the file it comes from.
fn arrows(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let passed_on = passed_on(modules);
    let uses = |(module, text): (&Module, &String)| {
        let code = text.split_inclusive(';').filter(|part| !is_passing_on(part)).collect::<String>();
        let used = paths(&code).into_iter().filter_map(|path| {
            let absolute = absolute(module, &path, modules)?;
            let target = target(&absolute, modules, &passed_on)?;
            (target != *module).then_some(target)
        });
        (module.clone(), used.collect())
    };
    modules.iter().map(uses).collect()
}

/// `pub use`, `pub(super) use` …, at the end of `part`.
fn is_passing_on(part: &str) -> bool {
    let line = part.trim_start().lines().rfind(|line| line.contains("use ")).unwrap_or_default().trim_start();
    line.starts_with("pub") && line.split_once("use ").is_some_and(|(before, _)| !before.contains(['{', '=', '"']))
}

/// What modules pass on: the name as it is used, and where it comes from.
fn passed_on(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Module> {
    let mut found = BTreeMap::new();
    for (module, text) in modules {
        for part in text.split_inclusive(';').filter(|part| is_passing_on(part)) {
            let Some(at) = part.rfind("use ") else { continue };
            for path in paths(&part[at + 4..]) {
                let (Some(name), Some(from)) = (path.last(), absolute(module, &path, modules)) else { continue };
                found.insert([module.as_slice(), std::slice::from_ref(name)].concat(), from);
            }
        }
    }
    found
}

/// `path` as it is written in `module`, from the crate's root on; none where it leads to another crate.
fn absolute(module: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        // `pub(super)`, `pub(in crate::…)`.
        "super" if supers == path.len() => None,
        "crate" | "plexus" => Some(path[1..].to_vec()),
        "self" => Some([module.as_slice(), &path[1..]].concat()),
        "super" => Some([module.get(..module.len().checked_sub(supers)?)?, &path[supers..]].concat()),
        child => {
            let child = [module.as_slice(), &[child.to_owned()]].concat();
            (path.len() > 1 && modules.contains_key(&child)).then(|| [module.as_slice(), path].concat())
        }
    }
}

/// The module in which the thing at `path` stands.
fn target(path: &Module, modules: &BTreeMap<Module, String>, passed_on: &BTreeMap<Module, Module>) -> Option<Module> {
    let longest = (1..=path.len()).rev().map(|end| &path[..end]);
    for part in longest {
        // A module and a function in it may have one name.
        if modules.contains_key(part) {
            return Some(part.to_vec());
        }
        if let Some(from) = passed_on.get(part) {
            return target(from, modules, passed_on);
        }
    }
    None
}

/// The sets of modules that reach each other.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reached = |start: &Module| {
        let mut reached = BTreeSet::new();
        let mut next = vec![start];
        while let Some(module) = next.pop() {
            for used in arrows.get(module).into_iter().flatten() {
                if reached.insert(used) {
                    next.push(used);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = arrows.keys().map(|module| (module, reached(module))).collect();
    let mutual = |module: &Module| -> BTreeSet<Module> {
        let back = |other: &&&Module| reached.get(**other).is_some_and(|reached| reached.contains(module));
        reached[module].iter().filter(back).map(|other| (*other).clone()).collect()
    };
    arrows.keys().map(mutual).filter(|circle| !circle.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}
