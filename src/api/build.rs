//! How a program was built. Cargo builds the plugin with the daemon's libraries wherever it builds the daemon, too:
//! a program of the same name, several times as large and linked dynamically, that nodes must not get.

use crate::ipam::name::number_of;

/// What every plugin prints of itself, and contains, therefore.
pub const ABOUT: &str = "a CNI plugin that attaches pods to several networks";
/// What a plugin of that build prints, too.
pub const WITH_DAEMON: &str = "built with the daemon's libraries (feature `cluster`): not for nodes";

/// Whether `program` is a program for Linux that contains what our plugin prints of itself.
pub fn is_plugin(program: &[u8]) -> bool {
    program.starts_with(b"\x7fELF") && contains(program, ABOUT)
}

/// Whether `program` is a plugin of that build.
pub fn has_daemon(program: &[u8]) -> bool {
    contains(program, WITH_DAEMON)
}

/// What tells `program` from other builds: an installer leaves it in [`super::StateDirectory::installed`], and the keeper
/// tells by it who put the plugin there.
pub fn identity(program: &[u8]) -> String {
    format!("{:016x}\n", number_of(program))
}

fn contains(program: &[u8], mark: &str) -> bool {
    let mark = mark.as_bytes();
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
        assert!(is_plugin(format!("\u{7f}ELF {ABOUT}").as_bytes()) && !is_plugin(ABOUT.as_bytes()));
        assert!(!has_daemon(b"") && !has_daemon(&WITH_DAEMON.as_bytes()[1..]));
    }
}
