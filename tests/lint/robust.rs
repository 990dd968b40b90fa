//! Manifests that are cut off or changed by accident: lint reports, it does not stop, and its places exist.

use super::rules::manifests;
use plexus::cli::lint::check;
use plexus::cli::lint::rules;
use plexus::engine::Settings;

#[test]
fn no_manifest_stops_lint() {
    let settings = Settings::parse(r#"{"name":"x","cniVersion":"1.0.0"}"#).unwrap();
    let judge = |text: &str| {
        for finding in check(text, false, &settings, None) {
            assert!(finding.found.place.at <= text.len() && !finding.found.text.is_empty(), "{text}");
        }
    };
    for rule in rules::all() {
        let text = manifests(rule.bad);
        let begins = text.char_indices().map(|(at, _)| at);
        // Another step for each rule, so that together they cut everywhere.
        for at in begins.step_by(31 + usize::from(rule.id.as_bytes()[4] % 7)) {
            judge(&text[..at]);
            for other in ["\u{e9}", "\"", "{", "\\", "\n"] {
                judge(&format!("{}{other}{}", &text[..at], &text[at..]));
            }
        }
    }
}
