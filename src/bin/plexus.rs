//! The CNI plugin: one process a call.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods)]

use plexus::sys::trace;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// musl's own gives each larger piece back to the kernel when it is freed, and the next one is asked for again.
#[global_allocator]
static ALLOCATOR: plexus::sys::memory::Kept = plexus::sys::memory::Kept::new();

fn main() -> ExitCode {
    plexus::sys::core_files::keep_out();
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|name| name.to_str());
    if name.is_some_and(plexus::delegate::ipam::leased::is_program) {
        return answer(plexus::engine::address_program::run(environment, io::stdin().lock()));
    }
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("sweep") => {
            return answer(
                plexus::engine::cleanup::sweep_command::run(
                    io::stdin().lock(),
                    plugin_folders(),
                    words.any(|word| word == "--dry-run"),
                )
                .map_err(|e| plexus::sys::printable::line(&e.to_string())),
            );
        }
        Some(_) => return about(),
        None if std::env::var_os("CNI_COMMAND").is_none() && io::stdin().is_terminal() => return about(),
        None => {}
    }
    if let Some(file) = std::env::var_os(trace::VARIABLE).filter(|file| !file.is_empty()) {
        trace::begin(file.into());
    }
    let mut served = plexus::engine::run(environment, io::stdin().lock());
    let code = {
        let _step = trace::step("answer");
        answer(std::mem::replace(&mut served.answer, Ok(String::new())))
    };
    {
        let _step = trace::step("report");
        served.report();
    }
    end_trace();
    served.follow_up();
    code
}

/// Where plugins are, when no runtime calls: `CNI_PATH` if somebody has set it, and the directory of this program.
fn plugin_folders() -> Vec<std::path::PathBuf> {
    let set = std::env::var_os("CNI_PATH").unwrap_or_default();
    let own = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    std::env::split_paths(&set).filter(|folder| !folder.as_os_str().is_empty()).chain(own).collect()
}

/// A variable. One that is no text is not missing: what it stands for is refused where it matters.
fn environment(key: &str) -> Option<String> {
    std::env::var_os(key).map(|value| value.to_string_lossy().into_owned())
}

fn answer(answer: Result<String, String>) -> ExitCode {
    let (text, code) = match answer {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => code,
        // Nobody reads the answer: the runtime has given up, and will send DEL.
        Err(_) => ExitCode::FAILURE,
    }
}

fn about() -> ExitCode {
    let release = env!("CARGO_PKG_VERSION");
    plexus::sys::tell(format_args!("plexus {release}: {}.", plexus::api::build::ABOUT));
    let versions = plexus::cni::Version::ALL.map(plexus::cni::Version::as_str).join(", ");
    plexus::sys::tell(format_args!("CNI protocol versions supported: {versions}"));
    // `plexusctl install` knows such a program by this line, and every plugin by the first one.
    #[cfg(feature = "cluster")]
    plexus::sys::tell(plexus::api::build::WITH_DAEMON);
    ExitCode::SUCCESS
}

/// After the answer: nobody waits for it.
fn end_trace() {
    let words = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME"].map(|key| environment(key).unwrap_or_default());
    let title = format!("plexus {}", words.join(" "));
    if let Err(e) = trace::end(&plexus::sys::printable::line(&title)) {
        plexus::sys::tell(format_args!("{}: {e}", trace::VARIABLE));
    }
}
