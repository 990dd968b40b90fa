//! `plexusctl probe`: one end of `plexusctl connectivity test`, in a pod of Plexus' image. It answers the probes of other
//! pods on one interface, measures what it is told to, and prints a JSON document for each measurement.

mod measure;
mod packet;
mod serve;
pub mod words;

use super::Error;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cni::json;
use crate::sys::netlink::{Link, Socket};
use crate::sys::{files, reach};
use clap::Args;
use measure::{Origin, measure};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use words::{Line, PORT, Task};

/// How often the task is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// The longest task: annotations of a pod have at most 256 KiB.
const LONGEST: usize = 1 << 20;
/// So many targets are measured at the same time.
pub const AT_ONCE: usize = 8;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Interface of the network
    #[arg(long, value_name = "NAME")]
    interface: String,

    /// Name that other probes expect as the answer
    #[arg(long, env = "PLEXUS_POD_NAME", value_name = "NAME")]
    name: String,

    /// File with the task; it may appear later
    #[arg(long, value_name = "FILE")]
    task: PathBuf,

    /// TCP port of all probes
    #[arg(long, default_value_t = PORT, value_name = "PORT")]
    port: u16,

    /// Milliseconds to wait for an answer
    #[arg(long, default_value_t = 2000, value_name = "MILLISECONDS")]
    patience: u64,

    /// Seconds after which the probe ends
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    lifetime: u64,
}

/// Answers and measures, until it is told to stop or its time is over.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let interrupt = Interrupt::catch("the probe ends")?;
    let end = Instant::now() + Duration::from_secs(arguments.lifetime);
    let failed = |why: String| Error::Probe { interface: arguments.interface.clone(), why };
    let listener = reach::listen(&arguments.interface, arguments.port).map_err(|e| failed(e.to_string()))?;
    let name = arguments.name.clone();
    let serve = move || serve::serve(&listener, &name);
    thread::Builder::new().name("serve".to_owned()).spawn(serve).map_err(|e| failed(e.to_string()))?;
    let link = link(&arguments.interface).map_err(&failed)?;
    print(&Line::Ready { mtu: link.mtu as usize }, output)?;
    let task = loop {
        if let Some(task) = read(&arguments.task).map_err(&failed)? {
            break task;
        }
        if interrupt.wait(LOOK) || Instant::now() >= end {
            return Ok(());
        }
    };
    let from = Origin { link: &link, port: arguments.port, patience: Duration::from_millis(arguments.patience) };
    measure_all(&task, &from, &interrupt).map_err(|e| failed(e.to_string()))?;
    print(&Line::Done, output)?;
    // The others may still measure.
    interrupt.wait(end.saturating_duration_since(Instant::now()));
    Ok(())
}

fn link(interface: &str) -> Result<Link, String> {
    let mut socket = Socket::in_own().map_err(|e| e.to_string())?;
    let link = socket.link_by_name(interface).map_err(|e| e.to_string())?;
    link.ok_or_else(|| "there is no such interface".to_owned())
}

/// The task; none while it is not there.
fn read(path: &Path) -> Result<Option<Task>, String> {
    let text = files::read_bounded(path, LONGEST).map_err(|e| format!("{}: {e}", path.display()))?;
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    json::parse(&text).map(Some).map_err(|e| format!("the task in {} cannot be read: {e}", path.display()))
}

/// Measures every target, some at a time; each prints its own line.
fn measure_all(task: &Task, from: &Origin<'_>, interrupt: &Interrupt) -> std::io::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut output = Output::of_process();
        while let Some((at, target)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            task.targets.get(at).map(|target| (at, target))
        } {
            if interrupt.is_asked() {
                return;
            }
            let measured = measure(at, target, from);
            // Nobody reads it any more: the pod is being deleted.
            let _ = print(&Line::Result(measured), &mut output);
        }
    };
    thread::scope(|scope| {
        for number in 0..AT_ONCE.min(task.targets.len()) {
            let worker = thread::Builder::new().name(format!("measure-{number}"));
            match worker.spawn_scoped(scope, work) {
                // Fewer of them do the same.
                Err(_) if number > 0 => break,
                started => drop(started?),
            }
        }
        Ok(())
    })
}

fn print(line: &Line, output: &mut Output) -> Result<(), Error> {
    let text = serde_json::to_string(line).map_err(|e| Error::Output(e.into()))?;
    output.document(&format!("{text}\n"))
}
