//! A state directory that somebody deletes or replaces while pods run: their addresses stay theirs.

use super::{Machine, blocks, put_pool, server};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Copies `from` as a restored image has it: with other times and other inodes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn a_state_directory_that_is_deleted_frees_no_address() {
    // Case 21
    let Some(server) = server() else { return };
    let spec =
        json!({"blockSize": {"v4": 4, "v6": 4}, "warm": {"min": 0, "max": 0}, "ranges": [{"range": "10.40.0.0/28"}]});
    put_pool(&server, "erased", &spec);
    let machine = Machine::new(&server, "erased1");
    let add = |container: &str| machine.add("erased", container).unwrap_or_else(|e| panic!("{e}\n{}", machine.log()));
    let before: Vec<String> = ["a", "b", "c", "d"].map(add).into();
    fs::remove_dir_all(machine.path("state")).unwrap();
    // A DEL that comes first finds what it is to give back, frees nothing else, and says what it found.
    let output = machine.spawn("DEL", "erased", "d").wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("deleted or replaced") && told.contains("4 addresses"), "{told}");
    let after = add("e");
    assert!(!before[..3].contains(&after), "{after} of {before:?} is given again");
    assert_eq!(machine.files("erased").len(), 4, "each has its file again");
    assert_eq!(machine.add("erased", "a").unwrap(), before[0], "the same attachment");
    for container in ["e", "b", "c"] {
        machine.del("erased", container);
    }
    // The block of a pod that runs is not returned.
    let first = before[0].split('/').next().unwrap();
    assert_eq!(machine.files("erased").into_iter().collect::<Vec<_>>(), [first]);
    let block = if first == "10.40.0.1" { "10.40.0.0" } else { first };
    assert!(blocks(&server, "erased").contains_key(block), "{first}: {:?}", blocks(&server, "erased"));
}

#[test]
fn a_state_directory_of_an_old_image_frees_no_address() {
    // Case 20
    let Some(server) = server() else { return };
    let spec =
        json!({"blockSize": {"v4": 4, "v6": 4}, "warm": {"min": 0, "max": 0}, "ranges": [{"range": "10.41.0.0/28"}]});
    put_pool(&server, "imaged", &spec);
    let machine = Machine::new(&server, "imaged1");
    let add = |container: &str| machine.add("imaged", container).unwrap_or_else(|e| panic!("{e}\n{}", machine.log()));
    let old = add("old");
    copy(&machine.path("state"), &machine.path("image"));
    machine.del("imaged", "old");
    // The address that the image has for a pod that is gone may be another pod's by now.
    let requested = json!({"type": "plexus-ipam", "pool": "imaged"});
    let ip = format!("IP={}", old.split('/').next().unwrap());
    assert_eq!(machine.add_as(&requested, "heir", &ip).unwrap(), old);
    let young = add("young");
    fs::remove_dir_all(machine.path("state")).unwrap();
    copy(&machine.path("image"), &machine.path("state"));
    let others: Vec<String> = ["c", "d"].map(add).into();
    assert!(!others.contains(&young) && !others.contains(&old), "{others:?} of {young} and {old}");
    // What the image says keeps the address after its pod, until a sweep looks who has it.
    machine.del("imaged", "heir");
    assert!(machine.add_as(&requested, "next", &ip).unwrap_err().contains("is taken"));
    machine.del("imaged", "old");
    assert_eq!(machine.add_as(&requested, "next", &ip).unwrap(), old);
    for container in ["young", "c", "d", "next"] {
        machine.del("imaged", container);
    }
    assert!(machine.files("imaged").is_empty());
}
