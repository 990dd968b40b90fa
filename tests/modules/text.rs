//! What the code of a file names: its paths, without tests and comments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but `lib.rs`: its folder, its path in `src`, and its code without tests.
pub fn sources() -> Vec<(String, PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let file = path.strip_prefix(source()).unwrap().to_owned();
                let Some(folder) = file.parent().and_then(|parent| parent.iter().next()) else { continue };
                let text = without_tests(&fs::read_to_string(&path).unwrap());
                sources.push((folder.to_string_lossy().into_owned(), file, text));
            }
        }
    }
    sources
}

/// `text` without its `#[cfg(test)]` items: a block ends at a brace in the first column.
pub fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let item = lines.by_ref().find(|line| !line.trim_start().starts_with("#[")).unwrap_or_default();
        if item.ends_with('{') {
            lines.by_ref().find(|line| line.starts_with('}'));
        }
    }
    kept
}

/// Every path `a::b::c` in `text`; `a::{b, c::d}` is `a::b` and `a::c::d`. Comments are passed over.
pub fn paths(text: &str) -> Vec<Vec<String>> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    // Where the braces of groups opened, by the path before them.
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut level = 0;
    let mut rest = code.as_str();
    while let Some(first) = rest.chars().next() {
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !word.is_empty() {
            rest = &rest[word.len()..];
            path.push(word);
            match rest.strip_prefix("::") {
                Some(after) => rest = after,
                None => found.push(std::mem::take(&mut path)),
            }
            if path.is_empty() {
                path = groups.get(&level).cloned().unwrap_or_default();
            }
            continue;
        }
        rest = &rest[first.len_utf8()..];
        match first {
            '{' => {
                level += 1;
                groups.insert(level, path.clone());
            }
            '}' => {
                groups.remove(&level);
                level = usize::saturating_sub(level, 1);
            }
            _ => {}
        }
        path = groups.get(&level).cloned().unwrap_or_default();
    }
    found
}
