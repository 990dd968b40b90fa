//! Documents are judged by Python's jsonschema, as strictly as a test may: a member that a schema lacks is an error.

use super::Seen;
use crate::support::{cannot_run, programs};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `schema`, which refuses members that it lacks. For readers they are no error: new releases add some.
fn strict(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
        object.values_mut().for_each(strict);
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(strict);
    }
}

/// What the validator has against `documents`; nothing where all are valid.
fn complaints(folder: &Path, schema: &Value, documents: &[Value]) -> String {
    let path = |name: &str| folder.join(name);
    fs::write(path("schema"), schema.to_string()).unwrap();
    let mut command = Command::new("jsonschema");
    command.env("PATH", crate::support::node::PATH);
    for (number, document) in documents.iter().enumerate() {
        let name = path(&format!("document{number}"));
        fs::write(&name, document.to_string()).unwrap();
        command.arg("--instance").arg(name);
    }
    let output = command.arg(path("schema")).output().unwrap();
    if output.status.success() {
        String::new()
    } else {
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

#[track_caller]
pub fn assert_valid(seen: &Seen) {
    if !programs::is_installed("jsonschema") {
        return cannot_run("jsonschema is missing: Debian's package python3-jsonschema (e2e/release/get)");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, documents) in seen {
        let mut schema = plexus::cli::schemas().remove(name).unwrap();
        strict(&mut schema);
        let complaints = complaints(folder.path(), &schema, documents);
        assert!(complaints.is_empty(), "{name}: {complaints}");
        // The validator finds what is wrong.
        let mut wrong = documents[0].clone();
        wrong["surprise"] = json!(1);
        assert!(!self::complaints(folder.path(), &schema, &[wrong]).is_empty(), "{name}");
        let empty = json!({});
        assert!(!self::complaints(folder.path(), &schema, &[empty]).is_empty(), "{name}");
    }
}
