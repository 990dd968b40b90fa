//! The JSON Schema describes what `config` writes, and refuses what it refuses.

use super::*;
use plexus::engine::Settings;

/// What `schema` has against `value`: as much of JSON Schema as ours uses, and no more is let pass.
fn judge(schema: &Value, value: &Value, root: &Value, at: &str, mistakes: &mut Vec<String>) {
    for (keyword, expected) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "deprecated" => true,
            "$ref" => {
                let target = root.pointer(expected.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                judge(target, value, root, at, mistakes);
                true
            }
            "type" => is_of_type(expected, value),
            "enum" => expected.as_array().unwrap().contains(value),
            "const" => expected == value,
            "anyOf" => expected.as_array().unwrap().iter().any(|one| is_valid(one, value, root)),
            "oneOf" => expected.as_array().unwrap().iter().filter(|one| is_valid(one, value, root)).count() == 1,
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > expected.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= expected.as_f64().unwrap()),
            "required" => expected.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "pattern" => value.as_str().is_none_or(|text| matches_pattern(expected.as_str().unwrap(), text)),
            "not" => !is_valid(expected, value, root),
            "items" => {
                value.as_array().into_iter().flatten().for_each(|item| judge(expected, item, root, at, mistakes));
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = expected.get(key) {
                        judge(schema, value, root, key, mistakes);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| schema["properties"].get(key).is_some();
                for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
                    match expected {
                        Value::Bool(false) => mistakes.push(format!("{key}: unknown")),
                        Value::Bool(true) => {}
                        schema => judge(schema, value, root, key, mistakes),
                    }
                }
                true
            }
            other => panic!("this test does not know the keyword {other}"),
        };
        if !holds {
            mistakes.push(format!("{at}: {value} is against {keyword} {expected}"));
        }
    }
}

/// The patterns of our schemas.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^/" => text.starts_with('/'),
        r"(^|/)\.\.(/|$)" => text.split('/').any(|part| part == ".."),
        // Words of which each letter is there twice: `[Ww]`.
        words if words.starts_with("^([") => {
            let words = words.trim_matches(|sign| "^()$".contains(sign)).split('|');
            let lower = |word: &str| word.chars().filter(char::is_ascii_lowercase).collect::<String>();
            words.map(lower).any(|word| word.eq_ignore_ascii_case(text))
        }
        other => panic!("this test does not know the pattern {other}"),
    }
}

fn is_valid(schema: &Value, value: &Value, root: &Value) -> bool {
    let mut mistakes = Vec::new();
    judge(schema, value, root, "", &mut mistakes);
    mistakes.is_empty()
}

fn is_of_type(expected: &Value, value: &Value) -> bool {
    let names = expected.as_array().cloned().unwrap_or_else(|| vec![expected.clone()]);
    names.iter().any(|name| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("this test does not know the type {other}"),
    })
}

/// Every file of settings in the folder `conf`.
fn settings(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => settings(&path),
            false => Some(path).filter(|path| path.ends_with("settings.json")).into_iter().collect(),
        })
        .collect()
}

#[test]
fn the_schema_describes_what_is_written_and_refuses_what_is_refused() {
    let every_kind = json!({
        "natives": {"bridge": false}, "parallel": true, "logLevel": "verbose", "globalNamespaces": "a, b",
        "networksForAllPods": ["a", "b/c"], "delegateTimeoutSeconds": 0.5, "lastKnownMaxAgeSeconds": 3600,
        "capabilities": {"mac": true}, "stateDirectory": "/s", "namespaceIsolation": true,
    });
    let folder =
        Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("conf/settings.json", &every_kind.to_string())]);
    let net_d = folder.path("net.d");
    let schema: Value = serde_json::from_str(&answer(&["schema"])).unwrap();
    let mut shipped = settings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("conf"));
    assert!(!shipped.is_empty());
    shipped.push(folder.path("conf/settings.json").into());
    for mode in ["delegate", "chain"] {
        for settings in &shipped {
            let settings = settings.display().to_string();
            let words = ["config", "--cni-conf-dir", &net_d, "--mode", mode, "--settings", &settings];
            let written: Value = serde_json::from_str(&answer(&words)).unwrap();
            let element = if mode == "chain" { &written } else { &written["plugins"][0] };
            let mut mistakes = Vec::new();
            judge(&schema, element, &schema, "plexus", &mut mistakes);
            assert!(mistakes.is_empty(), "{settings}: {mistakes:?}");
        }
    }
    // The file itself has a schema, too, with what is accepted for the sake of Multus.
    let of_settings: Value = serde_json::from_str(&answer(&["schema", "--settings"])).unwrap();
    for settings in &shipped {
        let settings: Value = serde_json::from_str(&fs::read_to_string(settings).unwrap()).unwrap();
        assert!(is_valid(&of_settings, &settings, &of_settings), "{settings}");
    }
    for level in ["debug", "DEBUG", "Verbose", "warn"] {
        let settings = json!({"logLevel": level});
        assert!(is_valid(&of_settings, &settings, &of_settings), "the plugin takes {level}");
        assert!(plexus::engine::settings::LogLevel::of(level).is_some(), "{level}");
    }
    let multus = json!({"kubeconfig": "/k", "logFile": "/l", "parallel": true});
    assert!(is_valid(&of_settings, &multus, &of_settings));
    for key in ["type", "clusterNetwork", "delegates"] {
        assert!(of_settings["properties"].get(key).is_none(), "{key}");
        assert!(!is_valid(&of_settings, &json!({key: "plexus"}), &of_settings), "{key}");
    }
    let cases = [
        (json!({"parallell": true}), "parallell"),
        (json!({"parallel": "yes"}), "parallel"),
        (json!({"logLevel": "loud"}), "logLevel"),
        (json!({"natives": 7}), "natives"),
        (json!({"globalNamespaces": [7]}), "globalNamespaces"),
        (json!({"networksForAllPods": "a"}), "networksForAllPods"),
        (json!({"delegateTimeoutSeconds": 0}), "delegateTimeoutSeconds"),
        (json!({"publishTimeoutSeconds": 1e10}), "publishTimeoutSeconds"),
        (json!({"stateDirectory": {}}), "stateDirectory"),
        (json!({"capabilities": {"mac": "true"}}), "capabilities"),
    ];
    for (settings, key) in cases {
        let mut element = settings.clone();
        element["type"] = json!("plexus");
        assert!(!is_valid(&schema, &element, &schema), "{settings}");
        assert!(!is_valid(&of_settings, &settings, &of_settings), "{settings}");
        let path = folder.path("settings.json");
        fs::write(&path, settings.to_string()).unwrap();
        assert_refuses(&["config", "--cni-conf-dir", &net_d, "--settings", &path], 1, &[key, "docs/configuration.md"]);
    }
}

/// The paths that `config` refuses are those that the schema refuses.
#[test]
fn the_schema_of_settings_wants_absolute_paths() {
    let schema: Value = serde_json::from_str(&answer(&["schema", "--settings"])).unwrap();
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL)]);
    let (net_d, path) = (folder.path("net.d"), folder.path("settings.json"));
    let former = Settings::renamed_keys().filter(|(_, name)| Settings::PATHS.contains(name)).map(|(former, _)| former);
    let keys: Vec<&str> = Settings::PATHS.into_iter().chain(former).collect();
    let both = |settings: &Value| {
        fs::write(&path, settings.to_string()).unwrap();
        let output = plexusctl(&["config", "--cni-conf-dir", &net_d, "--settings", &path]);
        (output.status.success(), is_valid(&schema, settings, &schema))
    };
    for key in keys {
        for (value, expected) in [("/a/b", true), ("a/b", false), ("", false), ("./a", false)] {
            assert_eq!(both(&json!({key: value})), (expected, expected), "{key}: {value:?}");
        }
    }
    for value in ["/a/../b", "/..", "/a/.."] {
        for settings in
            [json!({"stateDirectory": value}), json!({"runDirectory": value}), json!({"dataDirRoots": [value]})]
        {
            assert_eq!(both(&settings), (false, false), "{settings}");
        }
    }
    for settings in [json!({"stateDirectory": "/a/..b"}), json!({"dataDirRoots": ["/a", "/b"]})] {
        assert_eq!(both(&settings), (true, true), "{settings}");
    }
    assert_eq!(both(&json!({"dataDirRoots": ["/a", "b"]})), (false, false));
}
