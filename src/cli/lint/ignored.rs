//! Findings that the author of a manifest has silenced.

use super::rule::Finding;
use crate::cli::objects::Objects;
use crate::cluster::manifests::tree::Node;

/// In a file, after `#`.
const COMMENT: &str = "lint: ignore ";
/// On an object: rules, separated by commas.
const ANNOTATION: &str = "plexus.dev/lint-ignore";

/// The rules that files and objects silence.
pub struct Ignored<'a> {
    objects: &'a Objects,
    /// The lists of each file.
    comments: Vec<Vec<&'a str>>,
}

impl<'a> Ignored<'a> {
    /// Reads each file of `objects` once.
    pub fn of(objects: &'a Objects) -> Self {
        let list = |line: &'a str| line.split_once('#')?.1.trim().strip_prefix(COMMENT);
        let comments = objects.sources.iter().map(|source| source.text.lines().filter_map(list).collect()).collect();
        Ignored { objects, comments }
    }

    /// Whether the file or the object of `finding` silences its rule.
    pub fn has(&self, finding: &Finding) -> bool {
        // What cannot be read was not checked, whatever its author wrote into it.
        let Some(object) = finding.found.object.map(|number| &self.objects.all[number]) else { return false };
        let annotation =
            object.root.below(&["metadata", "annotations", ANNOTATION]).and_then(Node::text).unwrap_or_default();
        let comments = self.comments[finding.found.place.source].iter().copied();
        comments.chain([annotation]).any(|list| names(list, finding.rule.id))
    }
}

fn names(list: &str, id: &str) -> bool {
    list.split([',', ' ']).any(|word| word == id)
}
