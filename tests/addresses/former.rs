//! A daemon of a release that does not know what the plugin asks.

use super::*;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;

/// A daemon that only greets.
fn greet(machine: &Machine) {
    let listener = UnixListener::bind(machine.path("run/daemon/plexusd.sock")).unwrap();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let reply = match line.contains("hello") {
                    true => json!({"hello": {"program": "plexusd", "version": 1}}),
                    false => json!({"unsupported": "unknown request"}),
                };
                if writeln!(stream, "{reply}").is_err() {
                    break;
                }
            }
        }
    });
}

#[test]
fn with_a_former_daemon_the_stock_is_used_up() {
    // Case 47
    let machine = granted_until("10.7.0.2");
    greet(&machine);
    let taken = ["c0", "c1"].map(|container| machine.add("crowd", container).unwrap());
    assert_ne!(taken[0], taken[1]);
    let refused = machine.add("crowd", "c2").unwrap_err();
    assert!(
        refused.contains("\"code\": 11") && refused.contains("this release of plexusd leases no addresses"),
        "{refused}"
    );
    machine.del("crowd", "c0");
    assert_eq!(machine.add("crowd", "c2").unwrap(), taken[0]);
}
