//! How a program was built. Cargo builds the plugin with the daemon's libraries wherever it builds the daemon, too:
//! a program of the same name, several times as large and linked dynamically, that nodes must not get.

/// What such a plugin prints of itself, and contains, therefore.
pub const WITH_DAEMON: &str = "built with the daemon's libraries (feature `cluster`): not for nodes";

/// Whether `program` is a plugin of that build.
pub fn has_daemon(program: &[u8]) -> bool {
    let mark = WITH_DAEMON.as_bytes();
    // Horspool's search: a program has many megabytes, and most of them need not be looked at.
    let mut at = 0;
    while let Some(window) = program.get(at..at + mark.len()) {
        if window == mark {
            return true;
        }
        let last = window.last();
        let again = mark.iter().rev().skip(1).position(|byte| Some(byte) == last);
        at += again.map_or(mark.len(), |position| position + 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_anywhere() {
        for before in 0..2 * WITH_DAEMON.len() {
            for filler in ["d", "s", "\u{7f}", "nodes"] {
                assert!(has_daemon(format!("{}{WITH_DAEMON}x", filler.repeat(before)).as_bytes()), "{before} {filler}");
            }
        }
        assert!(!has_daemon(b"") && !has_daemon(&WITH_DAEMON.as_bytes()[1..]));
    }
}
