//! `plexusctl keep`, while it restores the files that others took away.

use crate::kills::{before_each, step};
use crate::support::{self, changes::Changes, wait_until};
use crate::tool::{FORMER, LIST, OTHERS, PLUGIN, plugin};
use crate::tree::{Folder, Tree, difference};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// So many nodes at the same time: the keeper mostly waits.
const AT_ONCE: usize = 8;
/// The name under which Cilium keeps what it takes away.
const RENAMED: &str = "net.d/00-plexus.conflist.cilium_bak";

/// The tool in a directory with the plugin beside it, as in the image.
fn image() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let tool = folder.join("plexusctl");
    fs::hard_link(env!("CARGO_BIN_EXE_plexusctl"), &tool).unwrap();
    fs::write(folder.join("plexus"), plugin("new")).unwrap();
    tool
}

fn node() -> Folder {
    let plugin = plugin("new");
    let ours = [(LIST, FORMER), (PLUGIN, plugin.as_str()), ("state/default-network.json", "{}")];
    Folder::with(&OTHERS.iter().copied().chain(ours).collect::<Vec<_>>())
}

fn command(tool: &Path, verb: &str, folder: &Folder) -> Command {
    let mut command = Command::new(tool);
    command.env_clear().arg(verb).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (option, name) in [("cni-conf-dir", "net.d"), ("cni-bin-dir", "bin"), ("state-directory", "state")] {
        command.arg(format!("--{option}={}", folder.path(name).display()));
    }
    match verb {
        "install" => _ = command.arg("--timeout=0"),
        _ => {
            command.arg(format!("--run-directory={}", folder.path("run").display()));
            command.arg(format!("--pod-resources-socket={}", folder.path("none.sock").display()));
        }
    }
    // SAFETY: prctl(2) is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
    command
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

/// What others do.
fn take_away(folder: &Folder) {
    fs::rename(folder.path(LIST), folder.path(RENAMED)).unwrap();
    fs::remove_file(folder.path(PLUGIN)).unwrap();
}

/// What the next start of the node's pod must leave, as one does that no keeper went before.
struct Whole {
    /// The keeper restored the list, with what others had added to it.
    kept: Tree,
    /// It did not: the list is that of a new installation.
    made: Tree,
}

impl Whole {
    fn new(tool: &Path) -> Whole {
        let [kept, made] = [node(), node()];
        take_away(&made);
        let trees = [&kept, &made].map(|folder| {
            assert!(command(tool, "install", folder).status().unwrap().success());
            left(folder)
        });
        let [kept, made] = trees;
        assert!(kept[LIST].1.contains("other") && made[LIST].1.contains("loadOnlyInlinedPlugins"), "{kept:?} {made:?}");
        Whole { kept, made }
    }
}

/// All files but those of the keeper's, and of those who took something away.
fn left(folder: &Folder) -> Tree {
    let mut tree = folder.tree();
    tree.retain(|path, _| !path.starts_with("run/") && path != RENAMED);
    tree
}

/// One kill, and the node's pod of Plexus starts again, which leaves the `whole`: answers how many changes the keeper made.
fn kill(tool: &Path, whole: &Whole, number: usize) -> usize {
    let folder = node();
    let before = [LIST, PLUGIN].map(|name| (name, folder.file(name)));
    // Not by the whole tree: the keeper writes in it meanwhile, and a temporary file goes while it is looked at.
    let is_there = |name: &str| before.iter().any(|(of, file)| *of == name && folder.file(name) == *file);
    let mut keep = command(tool, "keep", &folder);
    let changes = Changes::of(&mut keep, number);
    let mut keeper = keep.spawn().unwrap();
    drop(keep);
    let told = folder.path("run/keeper/state.json");
    wait_until(|| told.exists() || has_ended(&mut keeper), || "the keeper does not look".to_owned());
    take_away(&folder);
    wait_until(|| is_there(LIST) && is_there(PLUGIN) || has_ended(&mut keeper), || "nothing is restored".to_owned());
    // It may have ended.
    let _ = keeper.kill();
    keeper.wait().unwrap();
    let changes = changes.seen();
    let of = format!("keeper killed before change {number} ({:?})", changes.get(number - 1));
    for name in [LIST, PLUGIN] {
        assert!(is_there(name) || !folder.path(name).exists(), "{of}: {name} is not whole: {:?}", folder.tree());
    }
    let whole = if folder.path(LIST).exists() { &whole.kept } else { &whole.made };
    // Its init container comes first.
    assert!(command(tool, "install", &folder).status().unwrap().success(), "{of}");
    let difference = difference(&left(&folder), whole);
    assert!(difference.is_empty(), "{of}:{difference}");
    changes.len()
}

#[test]
fn a_keeper_that_is_killed_leaves_whole_files() {
    // FAULT-23
    let tool = image();
    let whole = Whole::new(&tool);
    let kills = before_each(step(), AT_ONCE, |number| kill(&tool, &whole, number));
    support::tally(kills, "kills: plexusctl keep");
    fs::remove_dir_all(tool.parent().unwrap()).unwrap();
}
