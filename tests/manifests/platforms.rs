//! The page of the platforms has the directories of the manifests, and the values of the chart that mean the same.

use super::chart::SAME;
use super::{PLACES, ROOT};
use std::collections::BTreeSet;

/// The rows of the first table of the page, cell by cell, without links and code quotes.
fn rows() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/install/platforms.md")).unwrap();
    let cell = |cell: &str| {
        let text = cell.trim().trim_matches('`');
        text.strip_prefix('[').and_then(|text| text.split(']').next()).unwrap_or(text).to_owned()
    };
    let lines = page.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split(" | ").map(cell).collect()).collect()
}

#[test]
fn the_platforms_have_the_directories_and_values_of_the_manifests() {
    let rows = rows();
    assert!(rows.len() > 8, "{rows:?}");
    for row in &rows {
        let [platform, manifests, helm, conf, bin] = row.as_slice() else { panic!("{row:?}") };
        let folder = manifests.strip_prefix("conf/").unwrap();
        let place =
            PLACES.iter().find(|place| place.folder == folder).unwrap_or_else(|| panic!("{platform}: {folder}"));
        assert_eq!((conf.as_str(), bin.as_str()), (place.conf, place.bin), "{platform}");
        let values = SAME.iter().find(|(same, _)| *same == folder).unwrap().1;
        let values = values.join(",").replace('"', "");
        assert_eq!(helm, if values.is_empty() { "the defaults" } else { values.as_str() }, "{platform}");
    }
    // The overlays that are for a platform, and not for a property of a cluster.
    let named: BTreeSet<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    let of_properties = ["overlays/dra", "overlays/pod-watch"];
    for place in PLACES.iter().filter(|place| !of_properties.contains(&place.folder)) {
        assert!(named.contains(format!("conf/{}", place.folder).as_str()), "{} has no row", place.folder);
    }
}
