//! The screenshots that `docs/how-to/topology.md` shows: the HTML page of a cluster with 3 pods and with 50.
//!
//! A picture has other bytes with every browser and font. So the document has a number of the page beside each picture, and the
//! test compares that with the page of now. `UPDATE=1 cargo test --test topology` takes the pictures of pages that changed.

use crate::png::with_palette;
use crate::support::apiserver::ApiServer;
use crate::support::cluster::{put_network, role, try_server};
use crate::support::{cannot_run, programs};
use crate::{BROWSER, browser, look, number};
use plexus::ipam::name::number_of;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The document.
const DOCUMENT: &str = "docs/how-to/topology.md";
/// Before a picture in it, with the name of the picture and the number of the page.
const MARK: &str = "<!-- pictured: ";
/// The pictures, and the words that choose their pods.
const PICTURES: [(&str, &[&str]); 2] = [("topology-3-pods.png", &["-n", "shop"]), ("topology-50-pods.png", &[])];
/// The width of the page, in its own pixels.
const WIDTH: usize = 1000;
/// Dots for each of them: text is sharp on good screens, too.
const SCALE: f64 = 1.4;
/// More would make a checkout slow.
const LARGEST: usize = 150_000;
/// The height of the page, as JSON in an element of its own.
const MEASURE: &str = r#"<script>
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify({ height: document.documentElement.getBoundingClientRect().bottom });
  document.body.append(answer);
</script>"#;

/// A path of this checkout.
fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A pod with its networks, as namespace and name, and whether they are attached.
fn pod(number: usize, namespace: &str, name: &str, networks: &[&str], is_attached: bool) -> Value {
    let interface = |(at, network): (usize, &&str)| {
        let (subnet, host) = (network.len() % 7 + 10 * at, number + 11);
        json!({"name": network, "interface": format!("net{}", at + 1), "ips": [format!("10.20.{subnet}.{host}")], "dns": {}})
    };
    let mut status = vec![json!({"name": "cbr0", "interface": "eth0", "default": true, "dns": {}})];
    status.extend(networks.iter().enumerate().map(interface));
    let mut annotations = json!({"k8s.v1.cni.cncf.io/networks": networks.join(",")});
    if is_attached {
        annotations["k8s.v1.cni.cncf.io/network-status"] = json!(Value::from(status).to_string());
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"nodeName": format!("node{}", number % 3 + 1), "containers": [{"name": "c", "image": "x"}]}})
}

/// Fifty pods on three nodes, three of them in the namespace of a shop. One of the others waits for its network.
fn furnish(server: &ApiServer) {
    for namespace in ["shop", "telecom", "media"] {
        server.kubectl(&["create", "namespace", namespace], None).unwrap();
    }
    let of = |plugin: Value| json!({"cniVersion": "1.0.0", "plugins": [plugin]}).to_string();
    put_network(server, "shop", "lan", &of(json!({"type": "bridge", "bridge": "br-lan"})));
    put_network(server, "shop", "storage", &of(json!({"type": "macvlan", "master": "ens5f0"})));
    put_network(server, "telecom", "oam", &of(json!({"type": "vlan", "master": "bond0", "vlanId": 204})));
    put_network(server, "telecom", "user-plane", &of(json!({"type": "macvlan", "master": "ens6f1"})));
    put_network(server, "media", "cameras", &of(json!({"type": "ipvlan", "master": "ens5f0"})));
    let mut pods = vec![
        pod(0, "shop", "cart", &["shop/lan"], true),
        pod(1, "shop", "catalog", &["shop/lan", "shop/storage"], true),
        pod(3, "shop", "payment", &["shop/lan"], true),
    ];
    pods.extend((4..28).map(|at| {
        let name = format!("upf-{}", at - 4);
        pod(at, "telecom", &name, &["telecom/oam", "telecom/user-plane"][..1 + usize::from(at % 4 == 0)], true)
    }));
    pods.extend((28..51).map(|at| pod(at, "media", &format!("recorder-{}", at - 28), &["media/cameras"], at != 40)));
    assert_eq!(pods.len(), 50);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    server.kubectl(&["create", "-f", "-"], Some(&list)).unwrap();
}

/// The page of the pods that `words` choose, as a workstation prints it.
fn page(server: &ApiServer, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
    let output = command.args(["topology", "-o", "html"]).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the whole `page` as the picture `path`.
fn take(page: &str, path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    // First its height, in a window as wide.
    let size = |height: f64| format!("--window-size={WIDTH},{height:.0}");
    let measured = page.replacen("</html>", &format!("{MEASURE}</html>"), 1);
    let height = number(&look(folder.path(), &measured, &size(100.0)), "height");
    let file = folder.path().join("whole.html");
    fs::write(&file, page).unwrap();
    let mut command = browser(folder.path());
    command.args([&size(height.ceil() + 24.0), &format!("--force-device-scale-factor={SCALE}"), "--hide-scrollbars"]);
    let screenshot = folder.path().join("whole.png");
    command.arg(format!("--screenshot={}", screenshot.display())).arg(format!("file://{}", file.display()));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(path, with_palette(&fs::read(screenshot).unwrap())).unwrap();
}

/// `text` with the number of a page after the mark of the picture `name`; fails where it has no such mark.
fn marked(text: &str, name: &str, page: &str) -> String {
    let before = format!("{MARK}{name} ");
    let (head, rest) = text.split_once(&before).unwrap_or_else(|| panic!("{DOCUMENT} has no {before}"));
    let (_, rest) = rest.split_once(" -->").unwrap();
    assert!(rest.lines().nth(1).is_some_and(|line| line.contains(&format!("](../{name})"))), "{name} follows its mark");
    format!("{head}{before}{:016x} -->{rest}", number_of(page))
}

/// Fails where `path` is no picture of the page's width, or too large.
fn is_a_picture(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{}", path.display());
    assert!(bytes.len() < LARGEST, "{} has {} bytes", path.display(), bytes.len());
    let width = u32::from_be_bytes(bytes[16..20].try_into().unwrap());
    assert_eq!(width, (WIDTH as f64 * SCALE) as u32, "{}", path.display());
}

#[test]
fn the_page_in_the_documents_is_that_of_now() {
    if !programs::is_installed(BROWSER) {
        return cannot_run(&format!("{BROWSER} is missing: e2e/assets/get packages installs it"));
    }
    let server = match try_server(&[role("reader", &[])]) {
        Ok(server) => server,
        Err(why) => return cannot_run(&why),
    };
    furnish(&server);
    for (name, words) in PICTURES {
        let (picture, page) = (at("docs").join(name), page(&server, words));
        let text = fs::read_to_string(at(DOCUMENT)).unwrap();
        let now = marked(&text, name, &page);
        if std::env::var_os("UPDATE").is_some() && (now != text || !picture.exists()) {
            take(&page, &picture);
            fs::write(at(DOCUMENT), now).unwrap();
        } else {
            assert!(now == text, "{name} is old: UPDATE=1 cargo test --test topology takes it again");
        }
        is_a_picture(&picture);
    }
}
