//! Delegates and a daemon that nobody should have to trust: what they say without end, without sense, or
//! to steer whoever reads it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use support::{Node, Pod};

#[test]
fn what_a_delegate_prints_is_bounded() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    node.limit_memory(64);
    let deep =
        |count: u32| format!("head -c {count} /dev/zero | tr '\\0' '['; head -c {count} /dev/zero | tr '\\0' ']'");
    let cases = [
        ("endless", "cat /dev/zero".to_owned(), "more than"),
        ("endless-and-deaf", "trap '' PIPE TERM; while :; do yes; done".to_owned(), "more than"),
        ("no-text", "printf '\\377\\376'".to_owned(), "printed no result"),
        ("brackets", "head -c 3000000 /dev/zero | tr '\\0' '['".to_owned(), "printed no result"),
        ("list", deep(1_000_000), "no CNI result"),
    ];
    for (name, script, word) in cases {
        a.on("ADD", &script);
        node.forget_calls();
        let pod = Pod::new(&node, name).selecting("a");
        // CNI-DLG-04
        let error = pod.add().refusal(100, &["default/a", "net1", "plugin a", word]);
        assert!(error.msg.len() < 1000, "{error:?}");
        for word in ["at line", "expected value", "EOF", "recursion"] {
            assert!(!error.msg.contains(word), "{word}: {error:?}");
        }
        assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"], "{name}");
        assert!(pod.record(&node).is_none());
    }
    node.runs_nothing();
    // A member that nobody knows may be nested as deep as it likes.
    let script = format!("printf '{{\"cniVersion\":\"1.0.0\",\"x\":'; {}; printf '}}'", deep(100_000));
    a.on("ADD", &script);
    let pod = Pod::new(&node, "deep").selecting("a");
    pod.add().result();
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn an_error_of_a_delegate_is_one_readable_line() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let say = |text: &str| format!("cat <<'END'\n{text}\nEND\nexit 1");
    let long = |key: &str| say(&format!(r#"{{"code":42,"{key}":"{}"}}"#, "x".repeat(500_000)));
    let cases = [
        ("long", long("msg"), 42, "x"),
        ("details", long("details"), 42, ""),
        ("lines", say(r#"{"code":42,"msg":"one\ntwo\u001b[2J\rthree\u0000"}"#), 42, "one; two [2J; three"),
        ("text-code", say(r#"{"code":"42","msg":"m"}"#), 100, "status 1"),
        ("nothing", say(r#"{"code":0,"msg":""}"#), 100, "status 1"),
        ("negative", say(r#"{"code":-1,"msg":"m"}"#), 100, "status 1"),
        ("misread", say(&format!(r#"{{"code":42,"msg":"{}"}}"#, "not found ".repeat(50_000))), 42, ""),
    ];
    for (name, script, code, word) in cases {
        a.on("ADD", &script).on("DEL", &script);
        let pod = Pod::new(&node, name).selecting("a");
        for answer in [pod.add(), pod.del()] {
            // CNI-ERR-01, CNI-DLG-08
            let error = answer.refusal(code, &["plugin a", word]);
            assert!(error.msg.len() < 5000 && error.details.len() < 20_000, "{name}: {}", answer.stdout.len());
            assert!(!format!("{}{}", error.msg, error.details).contains(char::is_control), "{error:?}");
        }
        // containerd takes it for success.
        assert!(!pod.del().stdout.contains("not found"), "{name}");
    }
}

/// A daemon that reads a line and then does `answer`, for every connection.
fn liar(node: &Node, answer: impl Fn(&mut UnixStream) -> std::io::Result<()> + Send + 'static) {
    let socket = node.run().socket();
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    // The one before is not asked again.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
            // The plugin hangs up when it has heard enough.
            let _ = answer(&mut stream);
        }
    });
}

#[test]
fn a_daemon_that_talks_nonsense_is_asked_again_later() {
    let Some(node) = Node::new() else { return };
    node.limit_memory(64);
    let pod = |name: &str| {
        let mut pod = Pod::new(&node, name).configured("daemonTimeoutSeconds", json!(0.5));
        pod.annotations = None;
        pod
    };
    const HELLO: &[u8] = b"{\"hello\":{\"program\":\"plexusd\",\"version\":1}}\n";
    type Answer = fn(&mut UnixStream) -> std::io::Result<()>;
    let cases: [(&str, Answer, &str); 8] = [
        ("silent", |_| Ok(()), "plexusd"),
        ("garbage", |stream| stream.write_all(b"<html>\n"), "unreadable"),
        ("no-text", |stream| stream.write_all(b"\xff\xfe\n"), "unreadable"),
        ("deep", |stream| stream.write_all(&[vec![b'['; 1 << 20], b"\n".to_vec()].concat()), "unreadable"),
        ("long", |stream| stream.write_all(&[HELLO, &vec![b' '; 5 << 20]].concat()), "longer than"),
        (
            "endless",
            |stream| loop {
                stream.write_all(&[b' '; 4096])?
            },
            "",
        ),
        (
            "drop-by-drop",
            |stream| loop {
                stream.write_all(b" ")?;
                thread::sleep(std::time::Duration::from_millis(20));
            },
            "in time",
        ),
        (
            "outside",
            |stream| {
                stream.write_all(&[HELLO, br#"{"facts":{"annotations":{},"definitions":[{"nad":{"namespace":"..","name":"../../etc/x"}}]}}"#, b"\n"].concat())
            },
            "not a valid name",
        ),
    ];
    for (name, answer, word) in cases {
        liar(&node, answer);
        pod(name).add().refusal(11, &["plexusd", word]);
    }
    assert_eq!(node.call_names(), [""; 0]);
    // Who is told everything by the runtime does not ask.
    let told = Pod::new(&node, "told");
    told.add().result();
    told.del().silence();
}
