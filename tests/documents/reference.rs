//! The reference pages are complete: each is compared with what the source defines.

use crate::pages::{self, page, root};
use std::collections::BTreeSet;
use std::fs;

/// What follows `begin` in the source, up to the quote that ends the string.
fn strings_after(begin: &str) -> BTreeSet<String> {
    let source: String =
        pages::sources().into_iter().filter(|page| page.name.starts_with("src/")).map(|page| page.text).collect();
    // A call may go over lines.
    let source: String = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    let found = source.split(begin).skip(1).filter_map(|rest| rest.split_once('"'));
    found
        .map(|(text, _)| text.to_owned())
        .filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect()
}

fn first_cells(name: &str, section: &str) -> Vec<String> {
    page(name).table(section).into_iter().map(|mut cells| cells.remove(0)).collect()
}

fn unique(cells: Vec<String>) -> BTreeSet<String> {
    let count = cells.len();
    let set: BTreeSet<String> = cells.into_iter().collect();
    assert_eq!(set.len(), count, "a row stands twice: {set:?}");
    set
}

#[test]
fn every_metric_is_described() {
    let calls = [".register(\"", ".register_with_unit(\"", " gauge(\""];
    let registered: BTreeSet<String> = calls.iter().flat_map(|call| strings_after(call)).collect();
    assert!(registered.len() > 12, "the calls that register metrics are not found any more: {registered:?}");
    let described = unique(first_cells("docs/reference/metrics.md", "Metrics"));
    let base = |name: &String| {
        let name = name.strip_prefix("plexus_").unwrap_or_else(|| panic!("{name} does not begin with plexus_"));
        ["_total", "_seconds", "_info"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    assert_eq!(described.iter().map(base).collect::<BTreeSet<_>>(), registered);
}

#[test]
fn every_event_is_described() {
    let calls = ["\"Normal\", \"", "\"Warning\", \"", "announce_on_node(\""];
    let written: BTreeSet<String> = calls.iter().flat_map(|call| strings_after(call)).collect();
    assert!(written.len() >= 5, "the calls that write events are not found any more: {written:?}");
    assert_eq!(unique(first_cells("docs/reference/events.md", "Events")), written);
}

#[test]
fn every_exit_code_is_described() {
    let source = pages::sources().into_iter().find(|page| page.name == "src/cli/mod.rs").unwrap().text;
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let written: BTreeSet<String> = rows.filter(|cell| cell.parse::<u8>().is_ok()).map(str::to_owned).collect();
    assert_eq!(written.len(), 5, "{written:?}");
    assert_eq!(unique(first_cells("docs/reference/codes.md", "Exit codes of plexusctl")), written);
    let help = plexus::cli::command().get_after_help().unwrap().to_string();
    assert!(written.iter().all(|code| help.contains(&format!("{code} "))), "{help}");
}

#[test]
fn every_cni_code_is_described() {
    let source = fs::read_to_string(root().join("src/cni/error.rs")).unwrap();
    let (_, numbers) = source.split_once("pub fn number(self)").unwrap();
    let ours =
        numbers.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" => ")?.1.parse::<u32>().ok());
    let mut expected: BTreeSet<String> = ours.map(|code| code.to_string()).collect();
    assert!(expected.len() > 10, "{expected:?}");
    // 51 and 999 are of plugins, built-in ones included.
    expected.extend(["51", "999"].map(str::to_owned));
    let cells = first_cells("docs/reference/codes.md", "CNI error codes");
    let described = cells.iter().flat_map(|cell| cell.split(", ")).map(str::to_owned).collect();
    assert_eq!(unique(described), expected);
}

#[test]
fn every_annotation_and_every_key_of_a_selection_is_described() {
    use plexus::nad::{DEFAULT_NETWORK, NETWORK_STATUS, NETWORKS, PARALLEL, RESOURCE_NAME};
    let text = page("docs/reference/annotations.md").text;
    for annotation in [NETWORKS, NETWORK_STATUS, DEFAULT_NETWORK, RESOURCE_NAME, PARALLEL] {
        assert!(text.contains(&format!("\n## `{annotation}`")), "{annotation}");
    }
    let source = fs::read_to_string(root().join("src/nad/selection.rs")).unwrap();
    let (_, keys) = source.split_once("const KEYS").unwrap();
    let (keys, _) = keys.split_once("];").unwrap();
    let mut expected: BTreeSet<String> = keys.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    // The former name of `interface`.
    assert!(expected.remove("interfaceRequest"));
    let described = unique(first_cells("docs/reference/annotations.md", "`k8s.v1.cni.cncf.io/networks` (on pods)"));
    assert_eq!(described, expected);
}

#[test]
fn every_key_of_the_network_status_is_described() {
    let whole = plexus::nad::NetworkStatus {
        interface: "net1".into(),
        ips: vec!["10.0.0.1".parse().unwrap()],
        mac: "02:00:00:00:00:01".into(),
        mtu: 1500,
        default: true,
        device_info: serde_json::value::RawValue::from_string("{}".into()).ok(),
        gateway: vec!["10.0.0.1".parse().unwrap()],
        ..Default::default()
    };
    let whole = serde_json::to_value(whole).unwrap();
    let expected: BTreeSet<String> = whole.as_object().unwrap().keys().cloned().collect();
    assert_eq!(unique(first_cells("docs/reference/network-status.md", "The annotation network-status")), expected);
}

/// The page for a pod that does not start quotes messages.
#[test]
fn every_message_that_is_explained_exists() {
    let sources = pages::sources().into_iter().filter(|page| page.name.starts_with("src/"));
    let source: String = sources.map(|page| page.text).collect();
    let rows = page("docs/how-to/debug.md").table("A pod does not start");
    let quoted: Vec<&str> = rows.iter().flat_map(|row| row[0].split('`').filter(|part| part.contains(' '))).collect();
    assert!(quoted.len() > 5, "{quoted:?}");
    for message in quoted.into_iter().filter(|part| !["(", ",", "…"].iter().any(|begin| part.trim().starts_with(begin)))
    {
        assert!(source.contains(message), "docs/how-to/debug.md explains {message:?}, and no source has it");
    }
}

/// The page has the metrics that a daemon serves, by name and type.
#[test]
fn the_metrics_of_a_daemon_are_those_of_the_page() {
    let rows = page("docs/reference/metrics.md").table("Metrics");
    let folder = tempfile::tempdir().unwrap();
    let address = crate::support::http::free_address();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    let arguments = ["--source-directory", manifests.to_str().unwrap(), "--metrics-address", &address.to_string()];
    let daemon = crate::support::daemon::Daemon::in_folder(folder.path(), &arguments);
    let mut text = String::new();
    crate::support::eventually("the daemon serves its metrics", || {
        if std::net::TcpStream::connect(address).is_ok() {
            text = crate::support::http::get(address, "/metrics");
        }
        !text.is_empty()
    });
    drop(daemon);
    let served: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert!(served.len() > 6, "{text}");
    for (name, kind) in served {
        let ends = ["", "_total", "_info"].map(|end| format!("{name}{end}"));
        let row = rows.iter().find(|row| ends.contains(&row[0]));
        assert_eq!(row.map(|row| row[1].as_str()), Some(kind), "{name}");
    }
}
