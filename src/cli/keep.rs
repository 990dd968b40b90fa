//! `plexusctl keep`: keeps what is installed as it is, for as long as it runs.

use super::Error;
use super::output::Output;
use crate::api::Keeping;
use crate::cli::directories::NodeDirectories;
use crate::keeper::{Guard, LOOK_EVERY, POD_RESOURCES_SOCKET, Pools, Relay, Report, Stock};
use crate::sys::files;
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use std::path::PathBuf;
use std::thread;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    directories: NodeDirectories,

    /// Socket of the kubelet's pod-resources API, which is relayed to the daemon
    #[arg(long, env = "PLEXUS_POD_RESOURCES_SOCKET", default_value = POD_RESOURCES_SOCKET, value_name = "SOCKET")]
    pod_resources_socket: PathBuf,
}

/// Keeps, until it is told to stop.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Error> {
    // Before the first thread: all of them leave the signals to this one. As a container's first process it would
    // not be ended by a signal that nobody waits for.
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTERM);
    stop.add(Signal::SIGINT);
    stop.thread_block().map_err(cannot("block signals"))?;

    let run = arguments.directories.run()?;
    let failed = |path: PathBuf| |source| Error::Write { path, source };
    // Made by the installer; where there was none, it is root's.
    files::make_folder(&run.keeper()).map_err(failed(run.keeper()))?;
    let relay = Relay::open(&run.pod_resources(), arguments.pod_resources_socket.clone())
        .map_err(failed(run.pod_resources()))?;
    let mut report = Report::at(run.keeping());
    let state = arguments.directories.state()?;
    let mut pools = Pools::new(state.clone(), run.clone());
    let mut guard = Guard::new(
        &arguments.directories.runtime.cni_conf_dir,
        Some(&arguments.directories.runtime.cni_bin_dir),
        state.clone(),
    );
    let stock = Stock::new(state, run.clone());
    // The first look is told before anybody may rely on it.
    look(&mut guard, &mut pools, &mut report, output).map_err(failed(run.keeping()))?;

    let thread = |name: &str| thread::Builder::new().name(name.to_owned());
    thread("relay").spawn(move || relay.serve()).map_err(cannot("start a thread"))?;
    let keeping = run.keeping();
    thread("guard")
        .spawn(move || {
            let (output, mut told) = (Output::of_process(), String::new());
            loop {
                thread::sleep(LOOK_EVERY);
                let failed =
                    look(&mut guard, &mut pools, &mut report, &output).err().map(|e| e.to_string()).unwrap_or_default();
                // Once, and not twice a second.
                if failed != told && !failed.is_empty() {
                    output.remark(format!("{} cannot be written: {failed}", keeping.display()));
                }
                told = failed;
            }
        })
        .map_err(cannot("start a thread"))?;
    thread("stock").spawn(move || give_back(stock)).map_err(cannot("start a thread"))?;
    stop.wait().map_err(cannot("wait for a signal"))?;
    Ok(())
}

/// Gives back addresses that the daemon calls back, for ever.
fn give_back(mut stock: Stock) {
    let (output, mut told) = (Output::of_process(), Vec::new());
    loop {
        thread::sleep(LOOK_EVERY);
        let failed = stock.look();
        // Once, and not twice a second.
        failed.iter().filter(|line| !told.contains(*line)).for_each(|line| output.remark(line));
        told = failed;
    }
}

/// Looks once, tells the daemon, and prints what was done.
fn look(guard: &mut Guard, pools: &mut Pools, report: &mut Report, output: &Output) -> std::io::Result<()> {
    let found = Keeping { addresses: pools.counted().to_vec(), ..guard.look().clone() };
    for note in guard.notes() {
        output.remark(note);
    }
    report.tell(&found)
}

fn cannot<E: Into<std::io::Error>>(what: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Keep { what, source: source.into() }
}
