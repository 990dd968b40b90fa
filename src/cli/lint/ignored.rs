//! Findings that the author of a manifest has silenced.

use super::rule::Finding;
use crate::cli::objects::Objects;
use crate::cluster::manifests::tree::Node;

/// In a file, after `#`.
const COMMENT: &str = "lint: ignore ";
/// On an object: rules, separated by commas.
const ANNOTATION: &str = "plexus.dev/lint-ignore";

/// Whether the file or the object of `finding` silences its rule.
pub fn is_ignored(objects: &Objects, finding: &Finding) -> bool {
    // What cannot be read was not checked, whatever its author wrote into it.
    let Some(object) = finding.found.object.map(|number| &objects.all[number]) else { return false };
    let annotation =
        object.root.below(&["metadata", "annotations", ANNOTATION]).and_then(Node::text).unwrap_or_default();
    let source = &objects.sources[finding.found.place.source];
    let comments = source.text.lines().filter_map(|line| line.split_once('#')?.1.trim().strip_prefix(COMMENT));
    comments.chain([annotation]).any(|list| names(list, finding.rule.id))
}

fn names(list: &str, id: &str) -> bool {
    list.split([',', ' ']).any(|word| word == id)
}
