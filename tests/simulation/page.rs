//! Whether the page with the rules has each of them, and tells the truth about what notices it.

use crate::plan::RULES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The rules that the models leave out, with the models.
fn of_models() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(Path::new(ROOT).join("src/ipam")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Some((_, rest)) = text.split_once("enum Without {\n") else { continue };
        let variants = rest.split_once("}\n").unwrap().0.lines().filter_map(|line| line.trim().strip_suffix(','));
        let model = format!("`{}`", path.file_stem().unwrap().to_str().unwrap());
        for rule in variants.filter(|line| line.chars().all(char::is_alphanumeric) && *line != "Nothing") {
            all.entry(rule.to_owned()).or_default().insert(model.clone());
        }
    }
    all
}

#[test]
fn the_page_has_each_rule_and_what_notices_it() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/evidence/address-rules.md")).unwrap();
    let (models, mut named) = (of_models(), BTreeSet::new());
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let rule = cells[0].trim_matches('`');
        assert!(named.insert(rule.to_owned()), "{rule} is there twice");
        let of_rule = models.get(rule).unwrap_or_else(|| panic!("no model tries {rule}"));
        assert_eq!(cells[2], of_rule.iter().cloned().collect::<Vec<_>>().join(", "), "{rule}");
        let known = RULES.into_iter().find(|known| format!("{known:?}") == rule);
        let known = known.unwrap_or_else(|| panic!("the simulation does not try {rule}"));
        assert_eq!(cells[3], known.noticed_by().to_string(), "{rule}");
    }
    let all: BTreeSet<String> = models.into_keys().chain(RULES.map(|rule| format!("{rule:?}"))).collect();
    assert_eq!(named, all);
    // CI tries so many seeds.
    RULES.into_iter().for_each(|rule| assert!(rule.noticed_by() < 10_000, "{rule:?} is noticed too late"));
}
