//! What watches Plexus: who may scrape it, and the alerts and the dashboard of `conf/monitoring` in a real Prometheus.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::ipam::PoolName;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::apiserver::{ApiServer, asset};
use support::cluster::{LEAST, role, try_server};
use support::daemon::{Daemon, nad, pod, wanted};
use support::{cannot_run, http, wait_until};

const REVIEWS: [support::cluster::Rule<'static>; 2] = [
    ("authentication.k8s.io", "tokenreviews", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", &["create"]),
];

fn server() -> Option<ApiServer> {
    let rules = [&LEAST[..], &REVIEWS[..], &[("", "pods", &["get", "list", "watch"])]].concat();
    try_server(&[role("plexus", &rules), role("plexus-without-reviews", &LEAST)]).map_err(|why| cannot_run(&why)).ok()
}

/// A daemon that asks the server as a member of `group`.
fn daemon(server: &ApiServer, folder: &Path, group: &str, arguments: &[&str]) -> Daemon {
    let kubeconfig = server.kubeconfig_for("plexusd", &[group]).unwrap();
    let cluster = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"];
    let daemon = Daemon::in_folder(folder, &[&cluster[..], arguments].concat());
    wait_until(|| daemon.health().ready, || daemon.log());
    daemon
}

/// What is answered over TLS, head and body.
fn get_encrypted(address: SocketAddr, path: &str, header: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-connect", &address.to_string()]).stdin(Stdio::piped());
    let mut client = openssl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
    client.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

/// The token of a new service account.
fn account(server: &ApiServer, name: &str) -> String {
    server.kubectl(&["create", "serviceaccount", name], None).unwrap();
    server.kubectl(&["create", "token", name], None).unwrap().trim().to_owned()
}

#[test]
fn a_scraper_needs_a_token_that_may_get_the_metrics() {
    let Some(mut server) = server() else { return };
    let (good, bad) = (account(&server, "prometheus"), account(&server, "stranger"));
    server.kubectl(&["create", "clusterrole", "scrape", "--verb=get", "--non-resource-url=/metrics"], None).unwrap();
    let subject = "--serviceaccount=default:prometheus";
    server.kubectl(&["create", "clusterrolebinding", "scrape", "--clusterrole=scrape", subject], None).unwrap();
    let (folder, address) = (tempfile::tempdir().unwrap(), http::free_address());
    let at = address.to_string();
    let daemon = daemon(&server, folder.path(), "plexus", &["--metrics-address", &at, "--metrics-authorization"]);
    let get = |path: &str, token: &str| get_encrypted(address, path, &format!("Authorization: Bearer {token}\r\n"));
    assert!(get("/metrics", &good).contains("plexus_ready 1"), "{}", daemon.log());
    assert!(get("/readyz", &good).starts_with("HTTP/1.1 200"));
    let refused = get("/metrics", &bad);
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("nonResourceURLs"), "{refused}");
    assert!(get("/readyz", &bad).starts_with("HTTP/1.1 403"));
    let forged = format!("{}x", &good[..good.len() - 4]);
    for (path, header) in [("/metrics", String::new()), ("/readyz", format!("Authorization: Bearer {forged}\r\n"))] {
        let refused = get_encrypted(address, path, &header);
        assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Bearer"), "{refused}");
        assert!(!refused.contains("plexus_"), "{refused}");
    }
    assert!(get_encrypted(address, "/healthz", "").starts_with("HTTP/1.1 200"));
    // Without TLS nothing is answered.
    assert!(!http::try_get(address, "/metrics").unwrap_or_default().contains("HTTP/1.1 200"));
    // What was granted counts while the API server is away; what nobody has asked yet is refused.
    let before = server.requests("plexusd").unwrap();
    assert_eq!(before.iter().filter(|request| request.contains("tokenreviews")).count(), 3, "{before:?}");
    server.stop().unwrap();
    assert!(get("/metrics", &good).starts_with("HTTP/1.1 200"));
    assert!(get("/metrics", "new").starts_with("HTTP/1.1 503"));
}

#[test]
fn prometheus_scrapes_over_tls_with_the_token_of_the_page() {
    let (Some(programs), Some(server)) = (prometheus(), server()) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kubectl = |arguments: &[&str], input: Option<&str>| server.kubectl(arguments, input).unwrap();
    kubectl(&["apply", "-f", root.join("conf/components/metrics/rbac.yaml").to_str().unwrap()], None);
    // The commands of the page, one after another.
    let page = fs::read_to_string(root.join("docs/how-to/monitoring.md")).unwrap();
    let block = page.split("```sh\n").find(|block| block.contains("name: plexus-metrics-token")).unwrap();
    let (commands, rest) = block.split_once("kubectl apply -f - <<'END'\n").unwrap();
    for command in commands.replace("\\\n", " ").lines() {
        kubectl(&command.split_whitespace().skip(1).collect::<Vec<_>>(), None);
    }
    kubectl(&["apply", "-f", "-"], rest.split_once("\nEND\n").map(|(manifest, _)| manifest));
    // The controller of service accounts, which does not run here, writes the token into the secret.
    let token = kubectl(&["-n", "kube-system", "create", "token", "plexus-scraper"], None);

    let (folder, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [metrics, listen] = [(); 2].map(|()| http::free_address().to_string());
    let daemon = daemon(&server, folder.path(), "plexus", &["--metrics-address", &metrics, "--metrics-authorization"]);
    let monitor = fs::read_to_string(root.join("conf/monitoring/pod-monitor.yaml")).unwrap();
    assert!(monitor.contains("scheme: https") && monitor.contains("insecureSkipVerify: true"), "{monitor}");
    let configuration = json!({
        "global": { "scrape_interval": "300ms", "scrape_timeout": "300ms" },
        "scrape_configs": [{ "job_name": "plexus", "static_configs": [{ "targets": [&metrics] }], "scheme": "https",
            "tls_config": { "insecure_skip_verify": true }, "authorization": { "credentials": token.trim() } }],
    });
    fs::write(own.path().join("prometheus.yml"), configuration.to_string()).unwrap();
    let mut command = Command::new(programs.join("prometheus"));
    let listens = format!("--web.listen-address={listen}");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", &listens]).current_dir(own.path());
    let _prometheus = Running(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let ask = || {
        let server = format!("http://{listen}");
        let query = ["query", "instant", &server, "up{job=\"plexus\"} == 1"];
        String::from_utf8_lossy(&Command::new(programs.join("promtool")).args(query).output().unwrap().stdout)
            .into_owned()
    };
    wait_until(|| ask().contains("=> 1 "), || format!("{}\n{}", ask(), daemon.log()));
}

#[test]
fn a_daemon_that_may_not_ask_about_tokens_lets_nobody_in() {
    let Some(server) = server() else { return };
    let token = account(&server, "prometheus");
    let (folder, address) = (tempfile::tempdir().unwrap(), http::free_address());
    let arguments = ["--metrics-address", &address.to_string(), "--metrics-authorization"];
    let daemon = daemon(&server, folder.path(), "plexus-without-reviews", &arguments);
    let refused = get_encrypted(address, "/metrics", &format!("Authorization: Bearer {token}\r\n"));
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let log = daemon.log();
    assert!(log.contains("create tokenreviews.authentication.k8s.io"), "{log}");
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn a_folder_of_manifests_knows_no_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(Daemon::program());
    daemon.arg("--run-directory").arg(folder.path()).arg("--source-directory").arg(folder.path());
    daemon.args(["--metrics-address", "127.0.0.1:0", "--metrics-authorization"]);
    let output = daemon.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("--metrics-authorization needs an API server"), "{told}");
}

const CONF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/monitoring");

/// Prometheus and promtool.
fn prometheus() -> Option<PathBuf> {
    asset("prometheus").map_err(|why| cannot_run(&why)).ok()
}

/// The rule file in the object for the Prometheus Operator.
fn rules() -> Value {
    let object: Value = serde_saphyr::from_str(&fs::read_to_string(format!("{CONF}/alerts.yaml")).unwrap()).unwrap();
    object["spec"].clone()
}

fn alerts() -> Vec<Value> {
    rules()["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// An alert; series with a value for each minute: an hour of trouble, then two without.
const CASES: [(&str, &[(&str, &str)]); 20] = [
    ("PlexusDown", &[(r#"up{job="plexus",instance="n1"}"#, "0+0x60 1+0x120")]),
    ("PlexusNotReady", &[("plexus_ready", "0+0x60 1+0x120")]),
    ("PlexusStatusesWait", &[("plexus_unpublished", "3+0x60 0+0x120")]),
    ("PlexusStatusRefused", &[(r#"plexus_publications_total{outcome="refused"}"#, "0+1x60 60+0x120")]),
    ("PlexusDisplaced", &[(r#"plexus_displacements_total{file="plugin"}"#, "0+1x60 60+0x120")]),
    ("PlexusUnprotected", &[("plexus_policy_guards", "0+0x60 1+0x120")]),
    ("PlexusNetworksStale", &[("plexus_definitions_confirmed", "0+0x60 1+0x120")]),
    ("PlexusWatchFails", &[(r#"plexus_watch_failures_total{watch="definitions"}"#, "0+1x60 60+0x120")]),
    (
        "PlexusAnswersSlowly",
        &[
            (r#"plexus_question_duration_seconds_bucket{question="facts",le="1.0"}"#, "0+0x60 0+60x120"),
            (r#"plexus_question_duration_seconds_bucket{question="facts",le="5.0"}"#, "0+60x60 3600+60x120"),
            (r#"plexus_question_duration_seconds_bucket{question="facts",le="+Inf"}"#, "0+60x60 3600+60x120"),
        ],
    ),
    (
        "PlexusAddsFail",
        &[
            (r#"plexus_calls_total{verb="ADD",outcome="ok"}"#, "0+6x60 360+10x120"),
            (r#"plexus_calls_total{verb="ADD",outcome="retry"}"#, "0+4x60 240+0x120"),
        ],
    ),
    (
        "PlexusAddsSlow",
        &[
            (r#"plexus_call_duration_seconds_bucket{verb="ADD",le="2.5"}"#, "0+0x60 0+60x120"),
            (r#"plexus_call_duration_seconds_bucket{verb="ADD",le="10.0"}"#, "0+60x60 3600+60x120"),
            (r#"plexus_call_duration_seconds_bucket{verb="ADD",le="+Inf"}"#, "0+60x60 3600+60x120"),
        ],
    ),
    ("PlexusDebts", &[("plexus_debts", "2+0x60 0+0x120")]),
    ("PlexusRecordsDamaged", &[(r#"plexus_damaged_records{place="aside"}"#, "1+0x60 0+0x120")]),
    ("PlexusPoolNearlyFull", &[("plexus_fullest_pool_ratio", "0.95+0x60 0.2+0x120")]),
    (
        "PlexusAddressesScarce",
        &[
            (r#"plexus_ipam_pool_capacity{pool="lan",family="IPv4"}"#, "100+0x180"),
            (r#"plexus_ipam_addresses{pool="lan",family="IPv4",state="taken",instance="n1"}"#, "50+0x60 40+0x120"),
            (r#"plexus_ipam_addresses{pool="lan",family="IPv4",state="taken",instance="n2"}"#, "41+0x60 40+0x120"),
            // A range that is draining: no address can be given, and pods have some.
            (r#"plexus_ipam_pool_capacity{pool="old",family="IPv4"}"#, "0+0x180"),
            (r#"plexus_ipam_addresses{pool="old",family="IPv4",state="taken",instance="n1"}"#, "5+0x180"),
        ],
    ),
    (
        "PlexusAddressesRunOut",
        &[
            (r#"plexus_ipam_pool_capacity{pool="lan",family="IPv4"}"#, "1000+0x180"),
            (r#"plexus_ipam_addresses{pool="lan",family="IPv4",state="taken"}"#, "100+1x60 160+0x120"),
        ],
    ),
    ("PlexusAddressesLost", &[("plexus_ipam_lost_addresses", "1+0x60 0+0x120")]),
    ("PlexusAddressConflicts", &[(r#"plexus_ipam_probe_conflicts_total{pool="lan"}"#, "_x50 1+0x130")]),
    ("PlexusNodeNotFreed", &[("plexus_ipam_revoking", "1+0x60 0+0x120")]),
    ("PlexusAddressAuthority", &[("plexus_ipam_authority_age_seconds", "3000+60x60 20+0x120")]),
];

#[test]
fn every_alert_fires_and_ends() {
    let Some(programs) = prometheus() else { return };
    let folder = tempfile::tempdir().unwrap();
    let known: BTreeSet<String> = alerts().iter().map(|rule| text(rule, "alert").to_owned()).collect();
    assert_eq!(known, CASES.iter().map(|(alert, _)| (*alert).to_owned()).collect());
    let page = include_str!("../docs/how-to/monitoring.md");
    known.iter().for_each(|alert| assert!(page.contains(&format!("`{alert}`")), "{alert} is not described"));
    let tests: Vec<Value> = CASES
        .iter()
        .map(|(alert, series)| {
            let series: Vec<Value> =
                series.iter().map(|(series, values)| json!({ "series": series, "values": values })).collect();
            let firing = format!(r#"count(ALERTS{{alertname="{alert}",alertstate="firing"}})"#);
            let at = |time: &str, samples: Value| json!({ "expr": firing, "eval_time": time, "exp_samples": samples });
            let checks = [at("55m", json!([{ "value": 1, "labels": "{}" }])), at("170m", json!([]))];
            json!({ "interval": "1m", "input_series": series, "promql_expr_test": checks })
        })
        .collect();
    fs::write(folder.path().join("rules.yaml"), rules().to_string()).unwrap();
    let tests = json!({ "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests });
    fs::write(folder.path().join("tests.yaml"), tests.to_string()).unwrap();
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let output =
            Command::new(programs.join("promtool")).args(arguments).current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}

/// The expressions of the dashboard and of the alerts, without what compares them.
fn expressions() -> Vec<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(format!("{CONF}/dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| text(target, "expr").to_owned());
    let watched = alerts().into_iter().map(|rule| text(&rule, "expr").to_owned()).collect::<Vec<_>>();
    let all = shown.chain(watched).map(|expression| {
        let compared = [" < ", " == ", " > "].iter().filter_map(|sign| expression.rsplit_once(sign)).next();
        compared.map_or(expression.as_str(), |(measured, _)| measured).to_owned()
    });
    let filled = all.map(|expression| {
        let expression = expression.replace("[6h:5m]", "[5s:1s]");
        let times = ["$__rate_interval", "10m", "15m", "1h"];
        let short = times.iter().fold(expression, |text, time| text.replace(&format!("[{time}]"), "[5s]"));
        short.replace("$instance", ".*")
    });
    filled.collect()
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon whose file another agent has deleted.
fn displaced(folder: &Path, metrics: &str) -> Daemon {
    for name in ["net.d", "source"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let list = folder.join("net.d/00-plexus.conflist");
    fs::write(&list, r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"plexus"}]}"#).unwrap();
    fs::write(
        folder.join("net.d/10-cbr0.conflist"),
        r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"x"}]}"#,
    )
    .unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let daemon = Daemon::in_folder(
        folder,
        &["--source-directory", &path("source"), "--metrics-address", metrics, "--cni-conf-dir", &path("net.d")],
    );
    wait_until(|| daemon.health().ready, || daemon.log());
    give_addresses(&daemon);
    fs::remove_file(&list).unwrap();
    wait_until(|| list.exists(), || daemon.log());
    daemon
}

/// What daemon and plugin leave on a node that leases addresses.
fn give_addresses(daemon: &Daemon) {
    let pool = PoolName::new("lan").unwrap();
    let now = plexus::facts::node_blocks::now();
    let confirmed = format!("confirmed {} {} {}", now.boot, now.since_boot, now.clock);
    let text = format!(
        "pool lan\n{confirmed}\nauthority 600\nwarm 1 16\nsubnet 10.0.0.0/29\nblock 10.0.0.0 4 a 10.0.0.1 10.0.0.3\n"
    );
    for (folder, file, text) in [
        (daemon.run.grants(), daemon.run.grant(&pool), text.as_str()),
        (daemon.state.pool(&pool), daemon.state.pool(&pool).join("10.0.0.1"), "c\r\nnet1\r\nnet"),
    ] {
        fs::create_dir_all(folder).unwrap();
        fs::write(file, text).unwrap();
    }
}

/// The controller of addresses, in a cluster with the pool `lan`.
fn controller(server: &ApiServer, folder: &Path, metrics: &str) -> Running {
    let definitions =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/crd/addresses/address-pools.yaml")).unwrap();
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(&definitions)).unwrap();
    for kind in support::cluster::ADDRESS_KINDS {
        let crd = format!("crd/{kind}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "lan"},
        "spec": {"ranges": [{"range": "10.0.0.0/29"}]}});
    server.kubectl(&["apply", "-f", "-"], Some(&pool.to_string())).unwrap();
    let mut command = Command::new(Daemon::program());
    command.arg("--address-controller").arg("--kubeconfig").arg(server.kubeconfig());
    command.args(["--node-name", "controller", "--metrics-address", metrics]);
    Running(command.stderr(fs::File::create(folder.join("controller.log")).unwrap()).spawn().unwrap())
}

/// What the plugin reports of calls, good and bad, and of a sweep.
fn report_calls(daemon: &Daemon) {
    let delegate = |code: u32| json!({ "type": "bridge", "program": false, "verb": "ADD", "code": code, "us": 900 });
    let call = |code: u32| json!({ "version": 1, "verb": "ADD", "code": code, "us": 2000, "delegates": [delegate(code)], "conflicts": ["lan"] });
    let pools = json!({ "all": 2, "nearlyFull": 1, "fullest": 930 });
    let node = json!({ "sandboxes": 3, "attachments": 5, "debts": 1, "damaged": 0, "aside": 1, "pools": pools, "copies": [1, 0, 2, 0] });
    let sweep = json!({ "version": 1, "verb": "SWEEP", "code": 0, "us": 5000, "node": node });
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for report in [call(0), call(11), sweep, json!("no report")] {
        socket.send_to(report.to_string().as_bytes(), daemon.run.calls()).unwrap();
    }
}

#[test]
fn every_query_of_dashboard_and_alerts_has_an_answer() {
    let (Some(programs), Some(mut server)) = (prometheus(), server()) else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let addresses = [(); 4].map(|()| http::free_address().to_string());
    let own = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "daemon", "namespace": "default" },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "x" }] } });
    server.kubectl(&["create", "-f", "-"], Some(&own.to_string())).unwrap();
    let arguments = ["--metrics-address", &addresses[0], "--pod-name", "daemon", "--pod-namespace", "default"];
    let cluster = daemon(&server, folders[0].path(), "plexus", &[&arguments[..], &["--watch-seconds", "1"]].concat());
    let other = displaced(folders[1].path(), &addresses[1]);
    let _controller = controller(&server, folders[2].path(), &addresses[3]);
    let use_daemons = || {
        let _ = cluster.facts(wanted(pod("daemon", None)));
        let _ = cluster.config_of(&nad("none"));
        other.publish("c1", &pod("p", None), "[]");
        report_calls(&other);
    };
    use_daemons();
    fs::write(other.run.unpublished().join("damaged.json"), "{").unwrap();
    server.kill().unwrap();
    wait_until(
        || http::get(addresses[0].parse().unwrap(), "/metrics").contains("plexus_watch_failures_total{"),
        || cluster.log(),
    );
    server.restart().unwrap();

    let configuration = json!({
        "global": { "scrape_interval": "300ms", "scrape_timeout": "300ms" },
        "scrape_configs": [{ "job_name": "plexus", "static_configs": [{ "targets": [&addresses[0], &addresses[1], &addresses[3]] }] }],
    });
    let folder = folders[2].path();
    fs::write(folder.join("prometheus.yml"), configuration.to_string()).unwrap();
    let listen = format!("--web.listen-address={}", addresses[2]);
    let mut command = Command::new(programs.join("prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", &listen]).current_dir(folder);
    let log = fs::File::create(folder.join("log")).unwrap();
    let _prometheus = Running(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
    let ask = |expression: &str| {
        let server = format!("http://{}", addresses[2]);
        let output =
            Command::new(programs.join("promtool")).args(["query", "instant", &server, expression]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let unanswered = || {
        use_daemons();
        let silent = |expression: &String| ask(expression).trim().is_empty();
        expressions().into_iter().filter(silent).collect::<Vec<_>>()
    };
    wait_until(
        || unanswered().is_empty(),
        || {
            let log = fs::read_to_string(folder.join("log")).unwrap();
            format!("no data for {:#?}\n{}\n{}", unanswered(), &log[log.len().saturating_sub(2000)..], cluster.log())
        },
    );
    // What has no data is told from what has.
    assert!(ask("plexus_never_was").trim().is_empty());
}
