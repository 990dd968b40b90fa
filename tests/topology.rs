//! `plexusctl topology` in a real browser, at 3, 50 and 500 pods: the page works, needs nothing from elsewhere, and
//! nothing in it or in the picture overlaps. [`shown`] has the pictures of the documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

#[path = "topology/png.rs"]
mod png;
#[path = "topology/shown.rs"]
mod shown;
mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

const BROWSER: &str = "chromium-headless-shell";
/// The window.
const SIZE: &str = "--window-size=1280,900";
/// Catches errors from the beginning on.
const HEAD: &str = r#"<script>
  const errors = [];
  addEventListener("error", event => errors.push(event.message));
  addEventListener("securitypolicyviolation", event => errors.push(event.violatedDirective));
</script>"#;
/// What is looked at in a page, as JSON in an element of its own.
const LOOK: &str = r#"<script>
{
  const boxes = selector => [...document.querySelectorAll(selector)].map(one => {
    const { left, top, right, bottom, width } = one.getBoundingClientRect();
    return { text: one.textContent, left, top, right, bottom, width };
  }).filter(box => box.width > 0);
  const seek = words => {
    search.value = words;
    search.dispatchEvent(new Event("input"));
    return { shown: boxes("span.interface").map(box => box.text), count: count.textContent };
  };
  const all = boxes("span");
  const found = { all, one: seek("WEB-0 "), path: seek("br-lan web-1"), some: seek("web-2"), none: seek("nothing of that"), again: seek("") };
  const requests = performance.getEntriesByType("resource").map(entry => entry.name);
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify({ found, requests, errors, wide: document.documentElement.scrollWidth, window: innerWidth });
  document.body.append(answer);
}
</script>"#;
/// The same for a picture in a page.
const LOOK_AT_PICTURE: &str = r#"<script>
  const rectangles = selector => [...document.querySelectorAll(selector)].map(one => {
    const { left, top, right, bottom } = one.getBoundingClientRect();
    return { text: one.textContent, left, top, right, bottom };
  });
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify({ boxes: rectangles("g > rect"), texts: rectangles("g > text"), errors });
  document.body.append(answer);
</script>"#;

/// The records of `count` pods, every third one with two networks, in a state directory of its own.
fn records(folder: &Path, count: usize) {
    let sandboxes = folder.join("sandboxes");
    fs::DirBuilder::new().mode(0o700).create(&sandboxes).unwrap();
    let networks = [
        ("default/lan", json!({"type": "bridge", "bridge": "br-lan"})),
        ("storage/nfs", json!({"type": "macvlan", "master": "ens5f0"})),
        ("telecom/oam", json!({"type": "vlan", "master": "bond0", "vlanId": 204})),
    ];
    for number in 0..count {
        let attachment = |at: usize| {
            let (name, plugin) = &networks[(number + at) % networks.len()];
            let mut address = vec![json!({"address": format!("10.{at}.{}.{}/16", number / 200, number % 200 + 2)})];
            if number % 4 == 0 {
                address.push(json!({"address": format!("fd00:{at}::{number:x}/64")}));
            }
            json!({"call": format!("net{at}"), "network": name, "ifname": format!("net{at}"), "state": "attached",
                "config": {"cniVersion": "1.0.0", "name": "n", "plugins": [plugin]},
                "result": {"cniVersion": "1.0.0", "ips": address}})
        };
        let name = ["web", "db<replica>&", "user-plane-function-with-a-long-name-of-its-own"][number % 3];
        let name = format!("{}-{number}", name.replace(['<', '>', '&'], ""));
        let record = json!({"version": 1, "containerId": format!("{number:064x}"),
            "pod": {"namespace": "default", "name": name}, "created": 1,
            "attachments": (0..1 + usize::from(number % 3 == 0)).map(attachment).collect::<Vec<_>>()});
        let path = sandboxes.join(format!("{number:064x}.json"));
        fs::write(&path, record.to_string()).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
}

fn topology(folder: &Path, shape: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(["topology", "-o", shape, "--state-directory"]).arg(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A browser without a network, whose own files are in `folder`.
fn browser(folder: &Path) -> Command {
    let mut browser = Command::new(BROWSER);
    browser.args(["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]);
    browser.arg(format!("--user-data-dir={}", folder.join("browser").display()));
    browser
}

/// What the script in `page` answers, in a browser with a window of `size`.
fn look(folder: &Path, page: &str, size: &str) -> Value {
    let path = folder.join("page.html");
    fs::write(&path, page).unwrap();
    let mut browser = browser(folder);
    browser.args([size, "--dump-dom"]).arg(format!("file://{}", path.display()));
    let output = browser.stdin(Stdio::null()).output().unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let answer =
        dom.split_once("<pre id=\"answer\">").unwrap_or_else(|| panic!("the script did not end: {output:?}")).1;
    let answer = answer.split_once("</pre>").unwrap().0;
    serde_json::from_str(&answer.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).unwrap()
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap()
}

/// No two of `boxes` have a point in common.
#[track_caller]
fn apart(boxes: &Value) {
    let boxes = boxes.as_array().unwrap();
    for (at, one) in boxes.iter().enumerate() {
        for other in &boxes[at + 1..] {
            let is_beside =
                |a: &str, b: &str| number(one, a) <= number(other, b) + 0.5 || number(other, a) <= number(one, b) + 0.5;
            assert!(is_beside("right", "left") || is_beside("bottom", "top"), "{one} and {other} overlap");
        }
    }
}

fn the_page_works(folder: &Path, pods: usize) {
    let page = topology(folder, "html");
    let page = page.replacen("<html lang=\"en\">", &format!("<html lang=\"en\">{HEAD}"), 1);
    let seen = look(folder, &page.replacen("</html>", &format!("{LOOK}</html>"), 1), SIZE);
    assert_eq!((&seen["errors"], &seen["requests"]), (&json!([]), &json!([])), "at {pods} pods");
    let found = &seen["found"];
    let interfaces = pods + pods.div_ceil(3);
    assert_eq!(found["again"]["shown"].as_array().unwrap().len(), interfaces);
    assert_eq!(found["again"]["count"], format!("{interfaces} interfaces"));
    assert_eq!(found["none"]["shown"], json!([]));
    assert_eq!(found["none"]["count"], format!("0 of {interfaces} interfaces"));
    // The first network of each pod called web is on br-lan, and it has a second one.
    for (search, word, each) in [("one", "web-0", 2), ("path", "web-1", 1), ("some", "web-2", 2)] {
        let is_meant = |number: &usize| format!("web-{number}").starts_with(word);
        let expected = each * (0..pods).step_by(3).filter(is_meant).count();
        // Of three pods one is called web.
        assert_eq!(expected > 0, pods > 3 || search == "one", "the test finds nothing at {pods} pods: {word}");
        let shown = found[search]["shown"].as_array().unwrap();
        assert_eq!(shown.len(), expected, "{word} at {pods} pods: {shown:?}");
        assert!(shown.iter().all(|text| text.as_str().unwrap().contains(word)), "{shown:?}");
        assert_eq!(found[search]["count"], format!("{expected} of {interfaces} interfaces"), "{word}");
    }
    apart(&found["all"]);
    assert!(number(&seen, "wide") <= number(&seen, "window"), "nobody has to scroll sideways");
}

fn the_picture_is_readable(folder: &Path) {
    let picture = topology(folder, "svg");
    let page = format!("<!doctype html><html>{HEAD}<body style=\"margin:0\">{picture}{LOOK_AT_PICTURE}</body></html>");
    let seen = look(folder, &page, SIZE);
    assert_eq!(seen["errors"], json!([]));
    apart(&seen["boxes"]);
    for (text, around) in seen["texts"].as_array().unwrap().iter().zip(seen["boxes"].as_array().unwrap()) {
        let is_inside = ["left", "top"].iter().all(|key| number(text, key) >= number(around, key))
            && ["right", "bottom"].iter().all(|key| number(text, key) <= number(around, key));
        assert!(is_inside, "{text} is not in {around}");
    }
}

#[test]
fn topology_works_in_a_browser() {
    if !plexus::sys::is_root() {
        return support::cannot_run("needs root");
    }
    if !support::programs::is_installed(BROWSER) {
        return support::cannot_run(&format!("{BROWSER} is missing: e2e/assets/get packages installs it"));
    }
    for pods in [3, 50, 500] {
        let folder = tempfile::tempdir().unwrap();
        records(folder.path(), pods);
        the_page_works(folder.path(), pods);
        the_picture_is_readable(folder.path());
    }
}
