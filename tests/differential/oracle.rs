//! The parsers of libcni and of the NPWG client, in a process of their own (`e2e/oracle`).

use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// So many questions are asked before the first answer is read: the pipes hold them.
pub const AT_ONCE: usize = 64;

#[derive(Debug)]
pub struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    value: Value,
    #[serde(default)]
    error: String,
}

impl Oracle {
    /// Builds and starts it; says why it cannot be had.
    pub fn start() -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/oracle/build");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
        let built = Command::new(script).arg(folder).output().map_err(|e| format!("{script}: {e}"))?;
        if !built.status.success() {
            return Err(format!("{script}: {}", String::from_utf8_lossy(&built.stderr)));
        }
        let program = String::from_utf8_lossy(&built.stdout).trim().to_owned();
        let mut process = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Ok(Oracle { process, questions, answers: BufReader::new(answers) })
    }

    /// What they understand of each of `texts`, or why they refuse it.
    pub fn ask(&mut self, kind: &str, texts: &[String]) -> Vec<Result<Value, String>> {
        assert!(texts.len() <= AT_ONCE);
        let lines: String = texts.iter().map(|text| format!("{}\n", json!({ "kind": kind, "text": text }))).collect();
        self.questions.write_all(lines.as_bytes()).unwrap();
        texts.iter().map(|text| self.answer(text)).collect()
    }

    fn answer(&mut self, text: &str) -> Result<Value, String> {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the oracle ended at {text}");
        let Answer { value, error } = serde_json::from_str(&line).unwrap();
        if error.is_empty() { Ok(value) } else { Err(error) }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
