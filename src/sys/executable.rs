//! Whether a file is a program that this machine can execute, as far as its beginning shows.

#![allow(clippy::disallowed_methods, reason = "the beginning of a file has a length, and a FIFO is not waited for")]

use super::printable;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// As much as the kernel looks at (binfmts.h: `BINPRM_BUF_SIZE`), and the table of segments of an ELF file.
const HEAD: u64 = 4096;
/// The longest line with an interpreter that the kernel reads.
const MAX_LINE: usize = 256;
/// Where formats are that somebody has taught the kernel: with them it executes what it could not.
const FORMATS: &str = "/proc/sys/fs/binfmt_misc";
/// The machines of ELF (elf.h) that people meet, by number.
const MACHINES: [(u16, &str); 6] =
    [(3, "i386"), (40, "arm"), (62, "x86_64"), (183, "aarch64"), (21, "ppc64le"), (22, "s390x")];
/// The words of ENOEXEC, which a call of the program would get.
const NO_FORMAT: &str = "Exec format error";

/// Why nobody can execute `program`, which exists; none where that cannot be seen before it is tried.
pub fn unfit(program: &Path) -> Option<String> {
    let metadata = fs::metadata(program).ok()?;
    if metadata.mode() & 0o111 == 0 {
        return Some("Permission denied".to_owned());
    }
    if metadata.len() == 0 {
        return Some(format!("{NO_FORMAT}: the file is empty"));
    }
    let head = head(program)?;
    if head.starts_with(b"#!") {
        let interpreter = interpreter(&head)?;
        // One that is not a path from the root directory depends on where the kernel looks.
        let is_missing = interpreter.starts_with('/') && !Path::new(&interpreter).exists();
        return is_missing.then(|| no_interpreter(&interpreter));
    }
    let why = match machine(&head) {
        Some(machine) if runs_here(machine) => {
            let is_cut = loaded(&head).is_some_and(|end| metadata.len() < end);
            return is_cut.then(|| format!("{NO_FORMAT}: the end of the file is missing"));
        }
        Some(machine) => format!("it is a program for {}, and this node is {}", name(machine), std::env::consts::ARCH),
        None => "it is neither an ELF program of this machine nor a script that begins with #!".to_owned(),
    };
    (!has_further_formats()).then(|| format!("{NO_FORMAT}: {why}"))
}

/// The interpreter that a script names in its first line.
pub fn interpreter(script: &[u8]) -> Option<String> {
    let line = script.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = printable::line(&String::from_utf8_lossy(line));
    line.split_whitespace().next().map(|word| word.chars().take(MAX_LINE).collect())
}

/// That a script cannot be executed for its `interpreter`. The kernel's words are those for a missing file; and
/// containerd takes them in a DEL's error for success.
pub fn no_interpreter(interpreter: &str) -> String {
    format!("its interpreter {interpreter} does not exist")
}

fn head(program: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(program).ok()?;
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The machine of an ELF file with the byte order of this machine.
fn machine(head: &[u8]) -> Option<u16> {
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    let is_elf = head.starts_with(b"\x7fELF") && matches!(head.get(4), Some(1 | 2)) && head.get(5) == Some(&order);
    let number = head.get(18..20).filter(|_| is_elf)?;
    Some(u16::from_ne_bytes([number[0], number[1]]))
}

/// The number of `width` bytes at `at`, of a little-endian ELF file of 64 bits.
fn number(head: &[u8], at: u64, width: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = head.get(at..at.checked_add(width)?).filter(|_| head.get(4..6) == Some(&[2, 1]))?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Where the last segment ends that the kernel loads (elf.h: `Elf64_Phdr`).
fn loaded(head: &[u8]) -> Option<u64> {
    const LOAD: u64 = 1;
    let (table, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    let end = |entry: u64| {
        let at = table.checked_add(entry.checked_mul(size)?)?;
        let is_loaded = number(head, at, 4)? == LOAD;
        number(head, at.checked_add(8)?, 8)?.checked_add(number(head, at.checked_add(32)?, 8)?).filter(|_| is_loaded)
    };
    (0..count).filter_map(end).max()
}

/// Whether `program` has all that its ELF header names. A linker writes the table of sections last, so the end of the
/// file is missing without it. The kernel does not need that table.
pub fn is_whole(program: &[u8]) -> bool {
    let (table, size, count) = (number(program, 40, 8), number(program, 58, 2), number(program, 60, 2));
    let sections = table.zip(size).zip(count).map(|((table, size), count)| table.saturating_add(size * count));
    let end = loaded(program).max(sections).unwrap_or_default();
    program.len() as u64 >= end
}

fn name(machine: u16) -> String {
    let known = MACHINES.iter().find(|(number, _)| *number == machine);
    known.map_or_else(|| format!("ELF machine {machine}"), |(_, name)| (*name).to_owned())
}

/// Whether a kernel of this machine executes programs of `machine`.
fn runs_here(machine: u16) -> bool {
    match std::env::consts::ARCH {
        // 32-bit programs, too, with the usual configurations.
        "x86_64" => matches!(machine, 62 | 3),
        "aarch64" => matches!(machine, 183 | 40),
        _ => true,
    }
}

fn has_further_formats() -> bool {
    let names = fs::read_dir(FORMATS).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name != "register" && name != "status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_cannot_be_executed_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let judged = |content: &[u8], mode: u32| {
            let path = folder.path().join("program");
            let _ = fs::remove_file(&path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            unfit(&path)
        };
        let foreign = |machine: u8| [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[machine, 0], &[0; 40]].concat();
        assert_eq!(judged(b"", 0o755).unwrap(), "Exec format error: the file is empty");
        assert_eq!(judged(b"#!/bin/sh\n", 0o644).unwrap(), "Permission denied");
        assert_eq!(judged(b"#!/no/such/sh -e\n", 0o755).unwrap(), "its interpreter /no/such/sh does not exist");
        assert_eq!(judged(b"#!/bin/sh\n", 0o755), None);
        let own = fs::read("/proc/self/exe").unwrap();
        assert!(is_whole(&own) && !is_whole(&own[..own.len() - 1]));
        assert_eq!(judged(&own, 0o755), None);
        assert_eq!(judged(&own[..8192], 0o755).unwrap(), "Exec format error: the end of the file is missing");
        if !has_further_formats() {
            assert!(judged(b"text\n", 0o755).unwrap().contains("neither an ELF"));
            assert!(judged(&foreign(21), 0o755).unwrap().contains("for ppc64le"));
            assert!(judged(b"\x7fELF of another machine", 0o755).is_some());
        }
        assert_eq!(unfit(&folder.path().join("absent")), None);
    }
}
