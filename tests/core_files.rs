//! A plugin that dies leaves no image of its memory, which holds annotations and configurations of pods.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use support::{Node, Pod, node};

/// Lets `command` leave a core file of any size in a folder of the test's own.
fn unlimit(command: &mut Command) {
    command.current_dir(node::FOLDER);
    let lift = || {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
        Ok(setrlimit(Resource::RLIMIT_CORE, hard, hard)?)
    };
    // SAFETY: getrlimit(2) and setrlimit(2) are async-signal-safe.
    unsafe { command.pre_exec(lift) };
}

fn abort(pid: i32) {
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
}

#[test]
fn a_plugin_that_aborts_leaves_no_core_file_and_its_delegates_as_they_were() {
    // L7
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let mut sleep = Command::new("sleep");
    unlimit(sleep.arg("9"));
    let mut child = sleep.spawn().unwrap();
    abort(i32::try_from(child.id()).unwrap());
    if !child.wait().unwrap().core_dumped() {
        return support::cannot_run("this machine makes no core files");
    }
    a.on("ADD", "ulimit -c >$here/limit; sleep 5");
    let running = Pod::new(&node, "p").selecting("a").call("ADD").start_as(unlimit);
    support::eventually("the delegate", || a.folder().join("limit").exists());
    abort(running.pid());
    let status = running.wait().status;
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::SIGABRT as i32), false));
    // What it starts has the limit that it would have without us.
    let limit = std::fs::read_to_string(a.folder().join("limit")).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    let expected =
        if hard == nix::sys::resource::RLIM_INFINITY { "unlimited".to_owned() } else { (hard / 512).to_string() };
    assert_eq!(limit.trim(), expected);
}
