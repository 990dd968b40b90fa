//! What the tool answers.

use crate::scene::Scene;
use serde_json::{Value, json};
use std::process::Output;

/// A document with its exit code.
fn document(output: &Output) -> (Value, i32) {
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (document, output.status.code().unwrap())
}

impl Scene {
    /// `doctor` names `fault` first, and `why` does for the pod, on its node.
    #[track_caller]
    pub fn names(&self, fault: &str, pod: &str) {
        let (doctor, code) = document(&self.on_node(&["doctor", "-o", "json"]));
        let first = &doctor["checks"][0];
        assert_eq!((&first["fault"], &first["mark"], code), (&json!(fault), &json!("bad"), 3), "doctor: {doctor:#}");
        self.why_names(fault, pod);
    }

    /// `why` names it first on the node.
    #[track_caller]
    fn why_names(&self, fault: &str, pod: &str) {
        let (why, code) = document(&self.on_node(&["why", pod, "-o", "json"]));
        assert_eq!((&why["cause"]["fault"], code), (&json!(fault), 3), "why on the node: {why:#}");
        assert_eq!(why["checks"][0], why["cause"]);
    }

    /// `why` names it first from a workstation.
    #[track_caller]
    pub fn why_names_afar(&self, fault: &str, pod: &str) {
        let (why, code) = document(&self.afar(&["why", pod, "-o", "json"]));
        assert_eq!((&why["cause"]["fault"], code), (&json!(fault), 3), "why from a workstation: {why:#}");
    }

    /// As [`Scene::names`]; `why` and `status` name it from a workstation, too.
    #[track_caller]
    pub fn names_everywhere(&self, fault: &str, pod: &str) {
        self.names(fault, pod);
        self.why_names_afar(fault, pod);
        let (status, code) = document(&self.afar(&["status", "-o", "json"]));
        let nodes = status["nodes"].as_array().unwrap().iter();
        let bad = status["checks"].as_array().unwrap().iter().filter(|check| check["mark"] == "bad");
        let is_named = nodes.chain(bad).any(|one| one["fault"] == fault);
        assert!(is_named && code == 3, "status: {status:#}");
    }

    /// Nobody finds anything that is bad.
    #[track_caller]
    pub fn is_well(&self, pod: &str) {
        let (doctor, code) = document(&self.on_node(&["doctor", "-o", "json"]));
        assert_eq!((&doctor["well"], code), (&json!(true), 0), "doctor: {doctor:#}");
        for (place, output) in [
            ("on the node", self.on_node(&["why", pod, "-o", "json"])),
            ("from a workstation", self.afar(&["why", pod, "-o", "json"])),
        ] {
            let (why, code) = document(&output);
            assert_eq!((&why["cause"], code), (&Value::Null, 0), "why {place}: {why:#}");
        }
        let (status, code) = document(&self.afar(&["status", "-o", "json"]));
        assert_eq!((&status["well"], code), (&json!(true), 0), "status: {status:#}");
    }
}
