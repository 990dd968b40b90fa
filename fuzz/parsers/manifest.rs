//! Manifests in the daemon's folder: YAML or JSON, several documents a file.

use super::{assert_is_dns_name, text};
use plexus::cluster::manifests::manifest;

/// A file counts as a whole or not at all, and a mistake is one line.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match manifest::read(text) {
        Ok(objects) => {
            for definition in &objects.definitions {
                assert_is_dns_name(definition.nad.namespace());
                assert_is_dns_name(definition.nad.name());
            }
        }
        Err(e) => assert!(!e.to_string().contains('\n'), "{e}"),
    }
}
