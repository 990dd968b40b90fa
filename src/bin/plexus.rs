//! The CNI plugin: one process a call.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let asked_by_hand = std::env::var_os("CNI_COMMAND").is_none() && (io::stdin().is_terminal() || std::env::args_os().len() > 1);
    if asked_by_hand {
        return about();
    }
    let answer = plexus::engine::run(|key| std::env::var(key).ok(), io::stdin().lock());
    let (text, code) = match &answer {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        // Nobody reads the answer: the runtime has given up, and will send DEL.
        Err(_) => ExitCode::FAILURE,
    }
}

fn about() -> ExitCode {
    eprintln!("plexus {}: a CNI plugin that attaches pods to several networks.", env!("CARGO_PKG_VERSION"));
    let versions = plexus::cni::Version::ALL.map(plexus::cni::Version::as_str).join(", ");
    eprintln!("CNI protocol versions supported: {versions}");
    ExitCode::SUCCESS
}
