//! Links between documents lead to files and headings that exist.

use crate::pages;
use std::fs;

#[test]
fn links_between_documents_lead_somewhere() {
    for page in pages::all() {
        let document = pages::root().join(&page.name);
        let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            assert!(file.exists(), "{} links to {target}", document.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                assert!(
                    text.lines().any(|line| anchor(line).as_deref() == Some(heading)),
                    "{} links to {target}, and no heading has that name",
                    document.display()
                );
            }
        }
    }
}

/// The name by which a heading is linked to.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}
