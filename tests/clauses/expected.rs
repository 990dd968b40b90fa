//! Saying what has to come of a row.

use super::row::{Code, End, Expected, Judge, Look};
use serde_json::Value;

/// What is expected: success, and nothing said about calls.
pub fn success() -> Expected {
    Expected::default()
}

/// A refusal before any delegate is called.
pub fn refusal(words: &[&'static str]) -> Expected {
    Expected { end: End::Refusal(words.to_vec(), Code::Any), calls: Some(Vec::new()), looks: Vec::new() }
}

/// A crash before any delegate is called.
pub fn crash(words: &'static str) -> Expected {
    Expected { end: End::Crash(words), calls: Some(Vec::new()), looks: Vec::new() }
}

impl Expected {
    pub fn calls(mut self, calls: &[&'static str]) -> Self {
        self.calls = Some(calls.to_vec());
        self
    }

    /// The same of somebody else, whose words are not ours.
    pub fn in_other_words(mut self) -> Self {
        if let End::Refusal(words, code) = &mut self.end {
            words.clear();
            if let Code::Ours(_) = code {
                *code = Code::Any;
            }
        }
        self
    }

    pub fn code(self, code: u32) -> Self {
        self.with_code(Code::Every(code))
    }

    pub fn our_code(self, code: u32) -> Self {
        self.with_code(Code::Ours(code))
    }

    fn with_code(mut self, code: Code) -> Self {
        if let End::Refusal(_, own) = &mut self.end {
            *own = code;
        }
        self
    }

    pub fn sees(mut self, call: &'static str, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Stdin(call, pointer, value));
        self
    }

    pub fn text(mut self, call: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::Text(call, part));
        self
    }

    pub fn variable(mut self, call: &'static str, variable: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::Variable(call, variable, part));
        self
    }

    pub fn no_variable(mut self, call: &'static str, variable: &'static str, part: &'static str) -> Self {
        self.looks.push(Look::NoVariable(call, variable, part));
        self
    }

    pub fn answer(mut self, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Answer(pointer, value));
        self
    }

    pub fn status(mut self, pointer: &'static str, value: Value) -> Self {
        self.looks.push(Look::Status(pointer, value));
        self
    }

    pub fn judge(mut self, what: &'static str, judge: Judge) -> Self {
        self.looks.push(Look::Judge(what, judge));
        self
    }
}
