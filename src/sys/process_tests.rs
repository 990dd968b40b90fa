use super::*;
use std::os::unix::process::ExitStatusExt;

fn sh(script: &str, stdin: &[u8], within: Duration) -> Result<Finished, RunError> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let environment = [("CNI_COMMAND", "ADD".to_owned())];
    let run =
        Run { program: &program, environment: &environment, stdin, deadline: Instant::now() + within, inherit: None };
    run.to_end(|_| {})
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn input_output_and_status_arrive() {
    let done = sh("cat; echo $CNI_COMMAND; echo oops >&2; exit 3", b"in ", LONG).unwrap();
    assert_eq!(done.stdout, b"in ADD\n");
    assert_eq!(done.stderr, b"oops\n");
    assert_eq!(done.status.code(), Some(3));
}

#[test]
fn large_input_does_not_block() {
    let input = vec![b'x'; 1 << 20];
    assert_eq!(sh("wc -c", &input, LONG).unwrap().stdout, b"1048576\n");
    // It never reads: the pipe is full, its answer still counts.
    assert_eq!(sh("exec 0<&-; echo done", &input, LONG).unwrap().stdout, b"done\n");
}

#[test]
fn a_hanging_program_is_killed_with_its_children() {
    let began = Instant::now();
    let marker = tempfile::NamedTempFile::new().unwrap();
    let script = format!("(sleep 3; echo late > {}) & sleep 60", marker.path().display());
    assert!(matches!(sh(&script, b"", Duration::from_millis(300)), Err(RunError::Deadline)));
    assert!(began.elapsed() < Duration::from_secs(3));
    std::thread::sleep(Duration::from_secs(4) - began.elapsed().min(Duration::from_secs(4)));
    assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "");
}

#[test]
fn a_program_that_closed_its_output_is_waited_for() {
    assert!(matches!(sh("exec >&- 2>&-; sleep 60", b"", Duration::from_millis(200)), Err(RunError::Deadline)));
    assert_eq!(sh("exec >&- 2>&-; sleep 0.1; exit 7", b"", LONG).unwrap().status.code(), Some(7));
}

#[test]
fn a_grandchild_that_keeps_the_pipe_is_not_waited_for() {
    let began = Instant::now();
    assert_eq!(sh("sleep 30 & echo answer", b"", LONG).unwrap().stdout, b"answer\n");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn endless_output_is_cut() {
    assert!(matches!(sh("yes", b"", LONG), Err(RunError::TooMuch)));
    let done = sh("yes | head -c 1000000 >&2; echo fine", b"", LONG).unwrap();
    assert_eq!((done.stdout.as_slice(), done.stderr.len()), (b"fine\n".as_slice(), MAX_STDERR));
}

#[test]
fn a_signal_is_told() {
    assert_eq!(sh("kill -9 $$", b"", LONG).unwrap().status.signal(), Some(9));
}

#[test]
fn a_busy_file_is_tried_again() {
    // CNI-EXEC-02
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::copy("/bin/true", &program).unwrap();
    let writer = std::fs::OpenOptions::new().write(true).open(&program).unwrap();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(writer);
    });
    let run = Run { program: &program, environment: &[], stdin: b"", deadline: Instant::now() + LONG, inherit: None };
    assert!(run.to_end(|_| {}).unwrap().status.success());
    late.join().unwrap();
}

#[test]
fn a_process_is_known_by_its_start() {
    let own = i32::try_from(std::process::id()).unwrap();
    assert_eq!(start_time(own), start_time(own));
    assert!(start_time(own).is_some());
    assert_eq!(start_time(i32::MAX), None);
}
