use super::*;

fn code(stdin: &str) -> u32 {
    Settings::parse(stdin).unwrap_err().code
}

#[test]
fn mistakes_are_told_in_the_order_of_the_reference() {
    // CNI-IO-04, CNI-VER-06
    assert_eq!(code("{"), 6);
    assert_eq!(code("[]"), 6);
    assert_eq!(code("{}"), 7);
    assert_eq!(code(r#"{"name":"a/b"}"#), 7);
    assert_eq!(code(r#"{"name":7}"#), 6);
    assert_eq!(code(r#"{"name":"x","cniVersion":"9.9.9"}"#), 1);
    assert_eq!(code(r#"{"name":"x","cniVersion":"0.4"}"#), 1);
}

#[test]
fn every_mistake_is_told_at_once() {
    let error = Settings::parse(
        r#"{"name":"x","cniVersion":"1.0.0","parallel":"yes","delegateTimeoutSeconds":-1,"delegates":7}"#,
    );
    let msg = error.unwrap_err().msg;
    for part in ["parallel", "delegateTimeoutSeconds", "delegates"] {
        assert!(msg.contains(part), "{msg}");
    }
}

#[test]
fn what_a_runtime_lists_wrong_is_told_in_its_words() {
    for (list, words) in [("[7]", "7 where an object is expected"), ("[{}]", "an object without"), ("7", "a list")] {
        let text = format!(r#"{{"name":"x","cniVersion":"1.1.0","cni.dev/valid-attachments":{list}}}"#);
        let msg = Settings::lenient(&text).unwrap_err().msg;
        assert!(msg.contains("valid-attachments") && msg.contains(words) && !msg.contains("struct"), "{msg}");
    }
}

#[test]
fn defaults_hold() {
    let settings =
        Settings::parse(r#"{"name":"x","cniVersion":"1.0.0","clusterNetwork":"/a","future":1,"KubeConfig":""}"#)
            .unwrap();
    assert_eq!(settings.state.path().to_str(), Some("/var/lib/plexus"));
    assert_eq!(settings.run.socket().to_str(), Some("/run/plexus/daemon/plexusd.sock"));
    assert_eq!(settings.global_namespaces, ["default"]);
    assert_eq!(settings.unknown, ["future"]);
    assert!(matches!(settings.primary, Primary::Named(name) if name == "/a"));
}

#[test]
fn a_misspelt_key_is_told_with_the_nearest_one() {
    let remarks = |key: &str| {
        let text = format!(r#"{{"name":"x","cniVersion":"1.0.0","{key}":1}}"#);
        Settings::review(&text).unwrap().0.remarks()
    };
    assert_eq!(remarks("natvies"), ["key \"natvies\" is unknown (did you mean \"natives\"?), and is ignored"]);
    assert!(remarks("delegateTimeoutSecond")[0].contains("delegateTimeoutSeconds"));
    // One of a later release, perhaps.
    assert_eq!(remarks("future"), [""; 0]);
    assert_eq!(Settings::unknown_key("future"), "key \"future\" is unknown");
}

#[test]
fn a_key_in_two_spellings_is_told_with_the_one_that_counts() {
    let review = |keys: &str| Settings::review(&format!(r#"{{"name":"x","cniVersion":"1.0.0",{keys}}}"#)).unwrap().0;
    let level = review(r#""logLevel":"debug","loglevel":"off""#);
    assert_eq!(level.log_level, LogLevel::Debug);
    let told = r#"key "logLevel" is set 2 times, as "logLevel" and "loglevel"; the value of "logLevel" is used"#;
    assert_eq!(level.remarks(), [told]);
    let parallel = review(r#""parallel":false,"natives":true,"parallel":true"#);
    assert!(parallel.parallel);
    let told =
        r#"key "parallel" is set 2 times, as "parallel" and "parallel"; the value of the last "parallel" is used"#;
    assert_eq!(parallel.remarks(), [told]);
    // As Go takes it.
    let folded = review(r#""PARALLEL":false,"Parallel":true"#);
    assert!(folded.parallel && folded.remarks()[0].ends_with(r#"the value of "Parallel" is used"#), "{folded:?}");
    assert_eq!(review(r#""Parallel":true"#).remarks(), [""; 0]);
}

#[test]
fn a_root_of_pools_is_an_absolute_path() {
    let read = |roots: &str| Settings::parse(&format!(r#"{{"name":"x","cniVersion":"1.0.0","dataDirRoots":{roots}}}"#));
    assert_eq!(read(r#"["/var/lib/cni"]"#).unwrap().data_dir_roots, [PathBuf::from("/var/lib/cni")]);
    for bad in [r#"["pools"]"#, r#"["/a","/b/../c"]"#, r#""/var/lib/cni""#] {
        assert!(read(bad).unwrap_err().msg.contains("dataDirRoots"), "{bad}");
    }
}

#[test]
fn a_duration_has_an_end() {
    for seconds in ["0", "1e-20", "1e9", "1e19", "1e300"] {
        let text = format!(r#"{{"name":"x","cniVersion":"1.0.0","delegateTimeoutSeconds":{seconds}}}"#);
        let error = Settings::parse(&text).unwrap_err();
        assert!(error.code == 7 && error.msg.contains("delegateTimeoutSeconds"), "{error:?}");
    }
}

#[test]
fn a_directory_is_the_same_wherever_the_runtime_works() {
    for (key, bad) in [("stateDirectory", "rel/s"), ("runDirectory", ""), ("stateDirectory", "/var/../s")] {
        let text = format!(r#"{{"name":"x","cniVersion":"1.0.0","{key}":"{bad}"}}"#);
        let error = Settings::parse(&text).unwrap_err();
        assert!(error.code == 7 && error.msg.contains(key) && error.msg.contains("absolute"), "{error:?}");
    }
    // DEL has to look where ADD would have written.
    for bad in ["s", "/var/../s"] {
        let text = format!(r#"{{"name":"x","cniVersion":"1.0.0","stateDirectory":"{bad}"}}"#);
        assert_eq!(Settings::review(&text).unwrap().0.state, StateDirectory::default());
    }
}

#[test]
fn a_former_name_is_understood_and_not_beside_the_name() {
    let read = |keys: &str| Settings::review(&format!(r#"{{"name":"x","cniVersion":"1.0.0",{keys}}}"#)).unwrap();
    let (former, mistakes) = read(r#""confDir":"/a","binDir":"/b","defaultNetworks":["n"],"future":1"#);
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((former.conf_dir.to_str(), former.bin_dir.unwrap().to_str()), (Some("/a"), Some("/b")));
    assert_eq!(
        (former.default_networks.as_slice(), former.unknown.as_slice()),
        (&["n".to_owned()][..], &["future".to_owned()][..])
    );
    let expected =
        [("confDir", "nadConfigDir"), ("binDir", "extraPluginDir"), ("defaultNetworks", "networksForAllPods")];
    assert_eq!(former.renamed, expected);
    let (now, mistakes) = read(r#""nadConfigDir":"/a","confDir":null"#);
    assert_eq!((now.conf_dir.to_str(), mistakes.len(), now.renamed.len()), (Some("/a"), 0, 0));
    assert!(read(r#""nadConfigDir":"/a","confDir":"/a""#).1.is_empty(), "for a former release");
    let (_, mistakes) = read(r#""nadConfigDir":"/a","confDir":"/b""#);
    assert!(mistakes[0].contains("confDir") && mistakes[0].contains("nadConfigDir"), "{mistakes:?}");
    for level in ["warn", "warning", "trace", "off"] {
        assert!(read(&format!(r#""logLevel":"{level}""#)).1.is_empty(), "{level}");
    }
}

#[test]
fn an_annotation_key_that_is_there_is_final() {
    let read = |config: &str| {
        Settings::parse(&format!(r#"{{"name":"x","cniVersion":"1.0.0","runtimeConfig":{config}}}"#))
            .unwrap()
            .pod_annotations()
    };
    assert_eq!(read("{}").unwrap(), None);
    assert_eq!(read(r#"{"io.kubernetes.cri.pod-annotations":null}"#).unwrap(), Some(BTreeMap::new()));
    assert_eq!(read(r#"{"io.kubernetes.cri.pod-annotations":{"a":"b"}}"#).unwrap().unwrap()["a"], "b");
    assert!(read(r#"{"io.kubernetes.cri.pod-annotations":[]}"#).is_err());
}
