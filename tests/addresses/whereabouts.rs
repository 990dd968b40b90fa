//! Sections of whereabouts, given to the program of whereabouts 0.9 and to the plugin under its name: what each answers.

use super::{Machine, ROOT, apply, server_alone};
use crate::support::apiserver::ApiServer;
use crate::support::asset::asset;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is given to both.
struct Case {
    what: &'static str,
    section: Value,
    /// `+a` is ADD of pod a, `-a` DEL, `?a` CHECK.
    steps: &'static str,
    /// Pairs of `CNI_ARGS`.
    arguments: &'static str,
    /// The addresses that may be given: `first-last` or a single one.
    addresses: &'static [&'static str],
    /// A word for each step. Addresses are numbers, in the order in which they come: which one is free first is not compared.
    whereabouts: &'static str,
    plexus: &'static str,
}

type Addresses = &'static [&'static str];

fn same(what: &'static str, section: Value, addresses: Addresses, steps: &'static str, both: &'static str) -> Case {
    Case { what, section, steps, arguments: "", addresses, whereabouts: both, plexus: both }
}

/// What both answer alike.
#[expect(clippy::too_many_lines, reason = "a table")]
fn alike() -> Vec<Case> {
    let with_routes = json!({"range": "10.9.11.0/24", "dns": {"nameservers": ["10.9.11.53"], "search": ["x.y"]},
        "routes": [{"dst": "10.0.0.0/8", "gw": "10.9.11.254"}]});
    let routes_and_dns =
        r#"1/24;[{"dst":"10.0.0.0/8","gw":"10.9.11.254"}];{"nameservers":["10.9.11.53"],"search":["x.y"]}"#;
    let from_to = json!({"range": "10.9.4.0/24", "range_start": "10.9.4.20", "range_end": "10.9.4.21"});
    let backwards = json!({"range": "10.9.6.0/24", "range_start": "10.9.6.252", "range_end": "10.9.6.5"});
    let excluding = json!({"range": "10.9.7.0/29", "exclude": ["10.9.7.1", "10.9.7.2/31"]});
    let two = json!({"ipRanges": [{"range": "10.9.8.0/30"}, {"range": "fd00:9:8::/126"}]});
    let before = json!({"range": "10.9.9.0/30", "ipRanges": [{"range": "10.9.10.0/30"}]});
    let full = json!({"ipRanges": [{"range": "10.9.26.0/29"}, {"range": "10.9.27.10-10.9.27.10/24"}]});
    let fixed = json!({"addresses": [{"address": "10.9.12.7/24", "gateway": "10.9.12.1"}]});
    vec![
        same(
            "a small range",
            json!({"range": "10.9.1.0/29"}),
            &["10.9.1.1-10.9.1.6"],
            "+a +b +c +d +e +f +g -c +h",
            "1/29 2/29 3/29 4/29 5/29 6/29 error ok 3/29",
        ),
        same("host bits", json!({"range": "10.9.2.85/30"}), &["10.9.2.85-10.9.2.86"], "+a +b +c", "1/30 2/30 error"),
        same(
            "first-last/length",
            json!({"range": "10.9.3.10-10.9.3.11/24"}),
            &["10.9.3.10-10.9.3.11"],
            "+a +b +c",
            "1/24 2/24 error",
        ),
        same("range_start and range_end", from_to, &["10.9.4.20-10.9.4.21"], "+a +b +c", "1/24 2/24 error"),
        same(
            "a start outside of the range",
            json!({"range": "10.9.5.0/30", "range_start": "10.8.0.1"}),
            &["10.9.5.1-10.9.5.2"],
            "+a +b +c",
            "1/30 2/30 error",
        ),
        same("an end before the start", backwards, &["10.9.6.252-10.9.6.254"], "+a +b +c +d", "1/24 2/24 3/24 error"),
        same("exclude", excluding, &["10.9.7.4-10.9.7.6"], "+a +b +c +d", "1/29 2/29 3/29 error"),
        same("IPv6", json!({"range": "fd00:9::/126"}), &["fd00:9::1-fd00:9::2"], "+a +b +c", "1/126 2/126 error"),
        same(
            "two families",
            two,
            &["10.9.8.1-10.9.8.2", "fd00:9:8::1-fd00:9:8::2"],
            "+a +b +c",
            "1/30,2/126 3/30,4/126 error",
        ),
        same("range before ipRanges", before, &["10.9.9.1-10.9.9.2", "10.9.10.1-10.9.10.2"], "+a", "1/30,2/30"),
        same("routes and DNS", with_routes, &["10.9.11.1-10.9.11.254"], "+a", routes_and_dns),
        same("no range", fixed, &["10.9.12.7"], "+a", "1/24>10.9.12.1"),
        same(
            "an unknown key",
            json!({"range": "10.9.13.0/24", "colour": "blue"}),
            &["10.9.13.1-10.9.13.254"],
            "+a",
            "1/24",
        ),
        same(
            "a second range that is full",
            full,
            &["10.9.26.1-10.9.26.6", "10.9.27.10"],
            "+a +b -a",
            "1/29,2/24 error ok",
        ),
        same("a range that is none", json!({"range": "10.9.0.0/33"}), &[], "+a", "error"),
        same(
            "an exclusion that is none",
            json!({"range": "10.9.14.0/24", "exclude": ["nonsense"]}),
            &[],
            "+a",
            "error",
        ),
        same(
            "DEL of a pod that is unknown, and DEL twice",
            json!({"range": "10.9.15.0/30"}),
            &["10.9.15.1-10.9.15.2"],
            "-x +a -a -a",
            "ok 1/30 ok ok",
        ),
    ]
}

/// The table in `docs/how-to/from-whereabouts.md`.
#[expect(clippy::too_many_lines, reason = "a table")]
fn unlike() -> Vec<Case> {
    let other = |what, section, addresses, steps, whereabouts, plexus| Case {
        plexus,
        ..same(what, section, addresses, steps, whereabouts)
    };
    let families =
        json!({"ipRanges": [{"range": "10.9.21.0/30"}, {"range": "fd00:9:21::/126"}], "gateway": "10.9.21.9"});
    let asked = other(
        "IP in CNI_ARGS",
        json!({"range": "10.9.28.0/24"}),
        &["10.9.28.1-10.9.28.254"],
        "+a",
        "1/24,2/24",
        "1/24",
    );
    vec![
        other(
            "the gateway",
            json!({"range": "10.9.20.0/30", "gateway": "10.9.20.1"}),
            &["10.9.20.1-10.9.20.2"],
            "+a +b +c",
            "1/30>10.9.20.1 2/30>10.9.20.1 error",
            "1/30>10.9.20.1 error error",
        ),
        other(
            "a gateway of another family",
            families,
            &["10.9.21.1-10.9.21.2", "fd00:9:21::1-fd00:9:21::2"],
            "+a",
            "1/30>10.9.21.9,2/126>10.9.21.9",
            "1/30>10.9.21.9,2/126",
        ),
        other(
            "/31",
            json!({"range": "10.9.22.0/31"}),
            &["10.9.22.0-10.9.22.1"],
            "+a +b +c",
            "error error error",
            "1/31 2/31 error",
        ),
        other(
            "the order",
            json!({"range": "10.9.23.0/29"}),
            &["10.9.23.1-10.9.23.6"],
            "+a +b -a +c",
            "1/29 2/29 ok 1/29",
            "1/29 2/29 ok 3/29",
        ),
        other(
            "a misspelt key",
            json!({"range": "10.9.24.0/24", "exlude": ["10.9.24.1"]}),
            &["10.9.24.1-10.9.24.254"],
            "+a",
            "1/24",
            "error",
        ),
        other(
            "CHECK",
            json!({"range": "10.9.25.0/24"}),
            &["10.9.25.1-10.9.25.254"],
            "+a ?a -a ?a",
            "1/24 error ok error",
            "1/24 ok ok error",
        ),
        Case { arguments: ";IP=10.9.28.5/24", ..asked },
    ]
}

/// Calls `program`; answers its addresses and the rest of the answer, or one word.
fn call(
    program: &Path,
    environment: &[(&str, &Path)],
    section: &Value,
    (verb, pod, arguments): (&str, &str, &str),
) -> Result<Value, &'static str> {
    let config = json!({"cniVersion": "1.0.0", "name": "net", "type": "other", "ipam": section});
    let mut command = Command::new(program);
    command.env_clear().envs(environment.iter().map(|(name, path)| (*name, path.as_os_str())));
    command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", pod).env("CNI_IFNAME", "net1");
    command.env("CNI_NETNS", "/run/netns/x").env("CNI_PATH", "/opt/cni/bin");
    let names =
        format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID={pod}");
    command.env("CNI_ARGS", names + arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err("error");
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "ok")
}

/// An answer as a word; `seen` has the addresses so far.
fn word(answer: &Value, case: &Case, seen: &mut Vec<IpAddr>) -> String {
    let mut addresses = Vec::new();
    for ip in answer["ips"].as_array().unwrap() {
        let (address, length) = ip["address"].as_str().unwrap().split_once('/').unwrap();
        let address: IpAddr = address.parse().unwrap();
        assert!(case.addresses.iter().any(|part| is_in(part, address)), "{}: {address} is not expected", case.what);
        let number = seen.iter().position(|one| *one == address).unwrap_or_else(|| {
            seen.push(address);
            seen.len() - 1
        });
        let gateway = ip["gateway"].as_str().map(|gateway| format!(">{gateway}")).unwrap_or_default();
        addresses.push(format!("{}/{length}{gateway}", number + 1));
    }
    let mut text = addresses.join(",");
    for more in [&answer["routes"], &answer["dns"]] {
        let is_empty = more.as_array().map_or_else(|| more.as_object().is_none_or(|of| of.is_empty()), Vec::is_empty);
        if !is_empty {
            write!(text, ";{more}").unwrap();
        }
    }
    text
}

/// Whether `address` is in `part`: an address, or `first-last`.
fn is_in(part: &str, address: IpAddr) -> bool {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    (first.parse::<IpAddr>().unwrap()..=last.parse().unwrap()).contains(&address)
}

/// The answers of one of both to all cases. Each case has a name of a network of its own.
fn answers(cases: &[Case], program: &Path, environment: &[(&str, &Path)], more: &Value) -> Vec<String> {
    let answer = |(number, case): (usize, &Case)| {
        let mut section = case.section.clone();
        section["type"] = json!("whereabouts");
        section["network_name"] = json!(format!("net{number}"));
        for (key, value) in more.as_object().unwrap() {
            section[key] = value.clone();
        }
        let mut seen = Vec::new();
        let mut step = |step: &str| {
            let (verb, pod) = step.split_at(1);
            let verb = match verb {
                "+" => "ADD",
                "-" => "DEL",
                _ => "CHECK",
            };
            let pod = format!("{pod}{number}");
            match call(program, environment, &section, (verb, &pod, case.arguments)) {
                Ok(answer) => word(&answer, case, &mut seen),
                Err(word) => word.to_owned(),
            }
        };
        case.steps.split(' ').map(&mut step).collect::<Vec<_>>().join(" ")
    };
    cases.iter().enumerate().map(answer).collect()
}

/// Case 38 of the design. Plexus comes first: with the CRDs of whereabouts in the cluster it gives no such address.
#[test]
fn the_program_of_whereabouts_answers_alike_or_as_the_page_tells() {
    let Some(server) = server_alone() else { return };
    let folder = match asset("whereabouts") {
        Ok(folder) => folder,
        Err(why) => return crate::support::cannot_run(&why),
    };
    let cases: Vec<Case> = alike().into_iter().chain(unlike()).collect();
    let machine = Machine::new(&server, "whereabouts1");
    let (state, run) = (machine.path("state"), machine.path("run"));
    let environment = [("PLEXUS_STATE_DIRECTORY", state.as_path()), ("PLEXUS_RUN_DIRECTORY", run.as_path())];
    let plexus = answers(&cases, &machine.path("whereabouts"), &environment, &json!({}));
    let log = machine.log();
    drop(machine);
    let whereabouts = of_whereabouts(&server, &folder, &cases);
    let mut wrong = String::new();
    for (case, (whereabouts, plexus)) in cases.iter().zip(whereabouts.iter().zip(&plexus)) {
        for (who, answer, expected) in [("whereabouts", whereabouts, case.whereabouts), ("Plexus", plexus, case.plexus)]
        {
            if answer != expected {
                writeln!(wrong, "{}: {who}\n  answers  {answer}\n  expected {expected}", case.what).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{log}\n\n{wrong}");
    let page = std::fs::read_to_string(format!("{ROOT}/docs/how-to/from-whereabouts.md")).unwrap();
    let told = format!("gives {} sections", cases.len());
    assert!(page.contains(&told), "the page does not tell how many sections were compared: {told}");
}

fn of_whereabouts(server: &ApiServer, folder: &Path, cases: &[Case]) -> Vec<String> {
    let group = "whereabouts.cni.cncf.io";
    let kinds = ["ippools", "overlappingrangeipreservations", "nodeslicepools"];
    for kind in kinds {
        apply(server, &std::fs::read_to_string(folder.join(format!("{group}_{kind}.yaml"))).unwrap());
        server.kubectl(&["wait", "--for=condition=Established", &format!("crd/{kind}.{group}")], None).unwrap();
    }
    let own = tempfile::tempdir().unwrap();
    let file = own.path().join("whereabouts.conf");
    let kubeconfig = json!({"kubeconfig": server.kubeconfig()});
    std::fs::write(&file, json!({"datastore": "kubernetes", "kubernetes": kubeconfig}).to_string()).unwrap();
    let more = json!({"configuration_path": file, "kubernetes": kubeconfig});
    let answers = answers(cases, &folder.join("whereabouts"), &[], &more);
    for kind in kinds {
        server.kubectl(&["delete", "crd", &format!("{kind}.{group}")], None).unwrap();
    }
    answers
}
