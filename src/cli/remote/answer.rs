//! What nodes have answered: one page, or one document.

use crate::cli::output::described::Described;
use crate::cli::output::{Output, Tone, without_error};
use crate::cli::{Error, Verdict};
use crate::cluster::Finished;
use crate::cni::json;
use crate::sys::printable;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What `-o json` prints with `--node` and `--all-nodes`.
#[derive(Debug, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Document(#[schemars(with = "BTreeMap<String, OfNode>")] Vec<(String, OfNode)>);

/// What a node answered.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(untagged)]
enum OfNode {
    /// The node has no answer.
    Failed {
        /// The reason, in one line.
        error: String,
    },
    /// The document that the command prints on the node, by its own schema.
    Document(#[schemars(with = "BTreeMap<String, serde_json::Value>")] Box<RawValue>),
}

impl Serialize for Document {
    /// In the order in which the nodes were named.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(node, answer)| (node, answer)))
    }
}

impl Described for Document {
    const NAME: &'static str = "all-nodes";
}

/// The answer of a node.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its name.
    pub node: String,
    /// What the command printed there; why it did not run to its end.
    pub result: Result<Finished, String>,
}

impl Answer {
    /// What the command printed, where it did its work.
    ///
    /// # Errors
    /// The last line of what it printed beside.
    pub fn done(&self) -> Result<&Finished, String> {
        let finished = self.result.as_ref().map_err(Clone::clone)?;
        match finished.code {
            0 | 3 => Ok(finished),
            2 => Err(format!("plexusctl on node {} is of another release: {}", self.node, last_line(finished))),
            // As `lint`: refused, with an answer.
            1 if !finished.stdout.is_empty() => Ok(finished),
            _ => Err(last_line(finished)),
        }
    }

    fn stderr(&self) -> String {
        self.result.as_ref().map(|one| String::from_utf8_lossy(&one.stderr).into_owned()).unwrap_or_default()
    }

    fn stdout(&self) -> String {
        self.result.as_ref().map(|one| String::from_utf8_lossy(&one.stdout).into_owned()).unwrap_or_default()
    }
}

fn last_line(finished: &Finished) -> String {
    let text = String::from_utf8_lossy(&finished.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    let last = last.map(|line| without_error(line).to_owned());
    last.unwrap_or_else(|| format!("the command ended with exit code {}", finished.code))
}

/// Prints `answers`: `format` is the value of `-o`.
pub fn print(answers: &[Answer], format: &str, output: &mut Output) -> Result<(), Error> {
    match format {
        "json" => output.json(&document(answers))?,
        "yaml" => output.text(&printable::lines(&yaml(answers)))?,
        _ => return pages(answers, format == "name", output),
    }
    tell_failed(answers, output);
    Ok(())
}

/// Prints the document of `answers`, and in it `more`, which is called `name`, as no node is.
pub fn print_with(answers: &[Answer], name: &str, more: &impl Described, output: &mut Output) -> Result<(), Error> {
    let Document(mut members) = document(answers);
    // What serialises has a text.
    let text = serde_json::to_string(more).unwrap_or_default();
    let member = json::parse_raw(text).map_or_else(|e| OfNode::Failed { error: e.to_string() }, OfNode::Document);
    members.push((name.to_owned(), member));
    output.json(&Document(members))?;
    tell_failed(answers, output);
    Ok(())
}

fn tell_failed(answers: &[Answer], output: &Output) {
    for answer in answers {
        if let Err(why) = answer.done() {
            output.remark(format!("{}: {why}", answer.node));
        }
    }
}

fn pages(answers: &[Answer], is_bare: bool, output: &mut Output) -> Result<(), Error> {
    for (number, answer) in answers.iter().enumerate() {
        if !is_bare {
            if number > 0 {
                output.text("\n")?;
            }
            output.sentence(&format!("Node {}", answer.node), Tone::Heading)?;
        }
        output.text(&printable::lines(&answer.stdout()))?;
        let beside = answer.stderr();
        for line in beside.lines().filter(|line| !line.trim().is_empty()) {
            output.remark(format!("{}: {}", answer.node, without_error(line)));
        }
        if let Err(why) = &answer.result {
            output.remark(format!("{}: {why}", answer.node));
        }
    }
    Ok(())
}

/// A member for each node. The documents are as the nodes wrote them, two columns further to the right.
fn document(answers: &[Answer]) -> Document {
    let read = |answer: &Answer| {
        let text = answer.done().map(|_| answer.stdout().trim().replace('\n', "\n  "))?;
        json::parse_raw(text).map_err(|e| e.to_string())
    };
    let of = |answer: &Answer| read(answer).map_or_else(|error| OfNode::Failed { error }, OfNode::Document);
    Document(answers.iter().map(|answer| (answer.node.clone(), of(answer))).collect())
}

fn json_string(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

/// The same as YAML.
fn yaml(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        text.push_str(&format!("{}:\n", json_string(&answer.node)));
        match answer.done() {
            Ok(_) => answer.stdout().lines().for_each(|line| text.push_str(&format!("  {line}\n"))),
            Err(why) => text.push_str(&format!("  error: {}\n", json_string(&why))),
        }
    }
    text
}

/// How a command for all of them ends: as on the node where it ended worst.
pub fn verdict(answers: &[Answer]) -> Verdict {
    let of = |answer: &Answer| match answer.result.as_ref().map(|finished| finished.code) {
        Ok(0) => Verdict::Well,
        Ok(3) => Verdict::NotWell,
        _ => Verdict::Refused,
    };
    // Nobody was asked.
    let first = if answers.is_empty() { Verdict::Refused } else { Verdict::Well };
    answers.iter().map(of).fold(first, worse)
}

/// The worse one of two endings.
pub fn worse(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Verdict::Refused, _) | (_, Verdict::Refused) => Verdict::Refused,
        (Verdict::NotWell, _) | (_, Verdict::NotWell) => Verdict::NotWell,
        (Verdict::Well, Verdict::Well) => Verdict::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(node: &str, code: u8, stdout: &str, stderr: &str) -> Answer {
        let finished = Finished { code, stdout: stdout.into(), stderr: stderr.into() };
        Answer { node: node.into(), result: Ok(finished) }
    }

    fn unreachable(node: &str) -> Answer {
        Answer { node: node.into(), result: Err("there is no Plexus pod on it".into()) }
    }

    #[test]
    fn one_document_has_the_document_of_each_node() {
        let answers = [
            answer("n1", 3, "{\n  \"well\": false,\n  \"big\": 9007199254740993\n}\n", ""),
            unreachable("n2"),
            answer("n3", 1, "", "a remark\nplexusctl: the records cannot be read\n"),
            answer("n4", 0, "no JSON", ""),
            answer("n5", 1, "", "error: the records cannot be read\n"),
        ];
        let text = serde_json::to_string_pretty(&document(&answers)).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["n1"]["big"], 9_007_199_254_740_993_u64);
        assert_eq!(read["n2"]["error"], "there is no Plexus pod on it");
        assert_eq!(read["n3"]["error"], "the records cannot be read");
        assert!(read["n4"]["error"].is_string(), "{text}");
        assert_eq!(read["n5"]["error"], read["n3"]["error"]);
        assert!(text.starts_with("{\n  \"n1\": {\n    \"well\": false,"), "{text}");
    }

    #[test]
    fn yaml_has_the_node_as_a_key() {
        let text = yaml(&[answer("1", 0, "version: 1\npods:\n- a\n", ""), unreachable("n2")]);
        assert_eq!(text, "\"1\":\n  version: 1\n  pods:\n  - a\n\"n2\":\n  error: \"there is no Plexus pod on it\"\n");
    }

    #[test]
    fn the_worst_ending_counts() {
        let of = |codes: &[u8]| {
            let answers: Vec<Answer> = codes.iter().map(|code| answer("n", *code, "", "")).collect();
            verdict(&answers)
        };
        assert_eq!(of(&[0, 0]), Verdict::Well);
        assert_eq!(of(&[0, 3, 0]), Verdict::NotWell);
        assert_eq!(of(&[3, 1]), Verdict::Refused);
        assert_eq!(of(&[3, 2]), Verdict::Refused);
        assert_eq!(verdict(&[answer("n", 0, "", ""), unreachable("m")]), Verdict::Refused);
        assert_eq!(of(&[]), Verdict::Refused);
    }

    #[test]
    fn an_older_program_is_recognised() {
        let old = answer("n", 2, "", "error: unexpected argument '--x' found\n");
        assert!(old.done().unwrap_err().contains("of another release"));
    }
}
