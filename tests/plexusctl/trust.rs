//! What others may write is neither believed nor printed as it is.

use super::*;

#[test]
fn root_does_not_believe_what_others_may_write() {
    // L6
    use std::os::unix::fs::{PermissionsExt, chown};
    if !plexus::sys::is_root() {
        return;
    }
    let folder = Folder::with(&[
        ("net.d/10-flannel.conflist", FLANNEL),
        ("settings.json", "{}"),
        ("state/sandboxes/c.json", &record("c", "web", "default/a")),
    ]);
    let (net_d, settings, state) = (folder.path("net.d"), folder.path("settings.json"), folder.path("state"));
    let config = ["config", "--cni-conf-dir", &net_d, "--settings", &settings];
    answer(&config);
    chown(&settings, Some(65534), None).unwrap();
    assert_refuses(&config, 1, &["settings.json", "belongs to user 65534"]);
    chown(&settings, Some(0), None).unwrap();
    for (path, command) in [
        (&net_d, vec!["config", "--cni-conf-dir", &net_d]),
        (&net_d, vec!["natives", "--cni-conf-dir", &net_d]),
        (&net_d, vec!["gc", "--cni-conf-dir", &net_d]),
        (&state, vec!["get", "--state-directory", &state]),
        (&state, vec!["uninstall", "--yes", "--cni-conf-dir", &net_d, "--state-directory", &state]),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_refuses(&command, 1, &[path.as_str(), "every user"]);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // What it finds is run as root: no variable names where.
    assert!(!answer(&["gc", "--help"]).contains("[env:"));
}

#[test]
fn what_a_daemon_answers_does_not_act_on_a_terminal() {
    // L5
    use std::io::{BufRead, BufReader, Write};
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    for (reply, code) in [
        (json!({"unavailable": hostile}), 3),
        (
            json!({"health": {"release": hostile, "ready": true, "guards": {hostile: hostile}, "definitions": 1, "unpublished": 0}}),
            0,
        ),
    ] {
        let folder = Folder::with(&[("plexusd.sock.d", "")]);
        // Where any release of the daemon listens.
        fs::create_dir(folder.path("daemon")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.path("plexusd.sock")).unwrap();
        let answers = format!("{}\n{reply}\n", json!({"hello": {"program": "plexusd", "version": 1}}));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(answers.as_bytes()).unwrap();
            }
        });
        for more in [&[][..], &["-o", "json"]] {
            let run = folder.path("");
            let output = plexusctl(&[&["health", "--run-directory", &run, "--state-directory", &run], more].concat());
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr)).replace('\n', "");
            assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        }
    }
}
