use super::super::output::Output;
use super::*;
use crate::engine::Settings;
use crate::engine::settings::Primary;
use clap::Parser;
use std::time::SystemTime;

const FLANNEL: &str = r#"{"name":"cbr0","cniVersion":"0.3.1","plugins":[
    {"type":"flannel"},{"type":"portmap","capabilities":{"portMappings":true,"bandwidth":false}}]}"#;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A runtime's folder.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes the configuration; answers what lies at `result` then.
    fn write(&self, words: &[&str], result: &str) -> Result<String, String> {
        let folder = self.path("");
        let words = [&["config", "--write", "--cni-conf-dir", folder.as_str()], words].concat();
        run(&Line::parse_from(words).arguments, &mut Output::of_process()).map_err(|e| e.to_string())?;
        Ok(std::fs::read_to_string(self.path(result)).unwrap())
    }

    fn refusal(&self, words: &[&str]) -> String {
        let error = self.write(words, "").unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        error
    }
}

#[test]
fn delegating_names_the_primary() {
    let folder =
        Folder::with(&[("00-multus.conf", r#"{"name":"m","type":"multus"}"#), ("10-flannel.conflist", FLANNEL)]);
    let text = folder.write(&["--state-directory", "/s"], "00-plexus.conflist").unwrap();
    let expected = r#"{
  "cniVersion": "1.0.0",
  "cniVersions": [
    "1.0.0",
    "1.1.0"
  ],
  "name": "cbr0",
  "loadOnlyInlinedPlugins": true,
  "plugins": [
    {
      "type": "plexus",
      "clusterNetwork": "PRIMARY",
      "capabilities": {
        "io.kubernetes.cri.pod-annotations": true,
        "portMappings": true
      },
      "stateDirectory": "/s"
    }
  ]
}
"#;
    assert_eq!(text, expected.replace("PRIMARY", &folder.path("10-flannel.conflist")));
    // Written again it is the same: our own file is not taken for the primary.
    assert_eq!(folder.write(&["--state-directory", "/s"], "00-plexus.conflist").unwrap(), text);
}

#[test]
fn the_plugin_reads_what_is_written() {
    let folder = Folder::with(&[
        ("10-flannel.conflist", FLANNEL),
        ("s.json", r#"{"parallel":true,"capabilities":{"mac":true}}"#),
    ]);
    let settings = folder.path("s.json");
    let primary = folder.path("10-flannel.conflist");
    let list = folder.write(&["--primary", &primary, "--settings", &settings], "00-plexus.conflist").unwrap();
    let list = NetworkConfig::parse(&list, None).unwrap();
    assert!(list.plugins[0].has_capability("mac") && list.plugins[0].has_capability("portMappings"));
    let mut stdin = list.plugins[0].object.clone();
    stdin.set_value("name", list.name.as_str());
    stdin.set_value("cniVersion", list.version.as_str());
    let read = Settings::parse(&stdin.to_json()).unwrap();
    assert!(read.parallel && read.unknown.is_empty());
    assert!(matches!(read.primary, Primary::Named(path) if path == primary));
}

#[test]
fn chaining_adds_a_plugin_to_the_list() {
    let folder = Folder::with(&[("10-flannel.conflist", FLANNEL)]);
    folder.write(&["--mode", "chain"], "cbr0/90-plexus.conf").unwrap();
    let list = disk::read(&folder.0.path().join("10-flannel.conflist")).unwrap();
    // We read it without ourselves; a runtime reads it with us.
    assert_eq!(list.kinds(), "flannel+portmap");

    let single = Folder::with(&[("10.conf", r#"{"name":"n","type":"bridge"}"#)]);
    assert!(single.refusal(&["--mode", "chain"]).contains("--mode delegate"));
    let inlined =
        Folder::with(&[("10.conflist", r#"{"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a"}]}"#)]);
    assert!(inlined.refusal(&["--mode", "chain"]).contains("loadOnlyInlinedPlugins"));
}

#[test]
fn a_runtime_that_watches_its_folder_hears_of_an_element_in_a_folder_inside() {
    let folder = Folder::with(&[("10-flannel.conflist", FLANNEL)]);
    let write = || folder.write(&["--mode", "chain"], "cbr0/90-plexus.conf").unwrap();
    let itself = std::fs::File::open(folder.0.path()).unwrap();
    write();
    // Now the folder inside is there, and only the element is written.
    std::fs::write(folder.path("cbr0/90-plexus.conf"), r#"{"type":"plexus"}"#).unwrap();
    itself.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    write();
    assert_ne!(itself.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 2);
    // What an installer leaves that was killed between.
    std::fs::write(folder.path(".plexus-changed"), "").unwrap();
    write();
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 2);
}

#[test]
fn a_primary_that_would_call_us_is_refused() {
    let nested = r#"{"name":"n","type":"genie","delegates":[{"type":"multus"}]}"#;
    let folder = Folder::with(&[("10-nested.conf", nested), ("20-own.conf", r#"{"name":"o","type":"plexus"}"#)]);
    for name in ["10-nested.conf", "20-own.conf"] {
        assert!(folder.refusal(&["--primary", &folder.path(name)]).contains("--primary"), "{name}");
    }
    let error = folder.refusal(&[]);
    assert!(error.contains("10-nested.conf") && error.contains("multus"), "{error}");
    assert!(folder.refusal(&["--primary", &folder.path("absent")]).contains("does not exist"));
}

#[test]
fn a_key_in_two_spellings_is_refused() {
    let folder = Folder::with(&[("10-flannel.conflist", FLANNEL)]);
    let settings = folder.path("s.json");
    for (text, told) in [
        (r#"{"logLevel":"verbose","loglevel":"debug"}"#, r#""logLevel" and "loglevel": remove all but one"#),
        (r#"{"parallel":true,"parallel":false}"#, r#""parallel" and "parallel": remove all but one"#),
        (r#"{"capabilities":{"mac":true},"Capabilities":{}}"#, r#"key "capabilities" is set 2 times"#),
    ] {
        std::fs::write(&settings, text).unwrap();
        let error = folder.refusal(&["--settings", &settings]);
        assert!(error.contains(told), "{error}");
    }
}

/// What is written has no key twice, whatever its letters in the settings.
#[test]
fn a_key_in_another_case_takes_the_place_of_ours() {
    let text = r#"{"Capabilities":{"mac":true},"statedirectory":"/from/file"}"#;
    let folder = Folder::with(&[("10-flannel.conflist", FLANNEL), ("s.json", text)]);
    let settings = folder.path("s.json");
    let text = folder.write(&["--settings", &settings, "--state-directory", "/s"], "00-plexus.conflist").unwrap();
    let list = NetworkConfig::parse(&text, None).unwrap();
    assert!(list.plugins[0].has_capability("mac"), "{text}");
    let lower = text.to_lowercase();
    for key in ["\"capabilities\"", "\"statedirectory\""] {
        assert_eq!(lower.matches(key).count(), 1, "{text}");
    }
    assert!(text.contains(r#""stateDirectory": "/s""#), "{text}");
}

/// Settings are checked on any machine, and a workstation has no cluster network.
#[test]
fn mistakes_in_settings_are_told_before_a_network_is_looked_for() {
    let folder = Folder::with(&[("s.json", r#"{"stateDirectory":"rel","natives":"x"}"#)]);
    let error = folder.refusal(&["--settings", &folder.path("s.json")]);
    assert_eq!(error.matches("stateDirectory").count(), 1, "{error}");
    assert!(error.contains("natives") && !error.contains("--primary"), "{error}");
}

#[test]
fn every_mistake_in_the_settings_is_told_at_once() {
    let bad = r#"{"parallell":true,"parallel":"yes","delegateTimeoutSeconds":0,"name":"x","capabilities":[],
        "networksForAllPods":["a/b/c"],"natives":["brigde","vlan"]}"#;
    let folder = Folder::with(&[("10-flannel.conflist", FLANNEL), ("s.json", bad)]);
    let error = folder.refusal(&["--settings", &folder.path("s.json")]);
    for part in [
        "s.json",
        "\"parallell\" is unknown",
        "\"parallel\" is \"yes\"",
        "delegateTimeoutSeconds",
        "\"name\" is not set here",
        "capabilities",
        "networksForAllPods",
        "\"brigde\" is not a built-in plugin",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("vlan"), "{error}");
    assert!(!folder.0.path().join("00-plexus.conflist").exists());
}
