use super::*;
use crate::cni::NetworkConfig;

fn migrated(text: &str) -> (NetworkConfig, String) {
    let (element, name) = element(&RawObject::parse(text).unwrap()).unwrap();
    let Migrated { keys, table, .. } = translate(&element);
    review(&name, &keys).unwrap();
    let capabilities = element.read("capabilities").unwrap().unwrap_or_default();
    let list = document::migrated(&name, capabilities, keys).unwrap().text;
    (NetworkConfig::parse(&list, None).unwrap(), table.render(false))
}

/// The line of `key`, its columns parted by one space.
fn line(table: &str, key: &str) -> String {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    table.lines().map(words).find(|line| line.starts_with(&format!("{key} "))).unwrap()
}

#[test]
fn the_file_of_a_thick_installation() {
    let (list, table) = migrated(
        r#"{"capabilities":{"bandwidth":true,"portMappings":true},"cniVersion":"0.3.1","logLevel":"verbose","logToStderr":true,
        "name":"multus-cni-network","clusterNetwork":"/host/etc/cni/net.d/10-flannel.conflist","type":"multus-shim"}"#,
    );
    assert_eq!((list.name.as_str(), list.kinds().as_str()), ("multus-cni-network", "plexus"));
    let plugin = &list.plugins[0];
    assert_eq!(plugin.object.get("clusterNetwork").unwrap().get(), r#""/etc/cni/net.d/10-flannel.conflist""#);
    assert!(
        ["bandwidth", "portMappings", "io.kubernetes.cri.pod-annotations"]
            .iter()
            .all(|name| plugin.has_capability(name))
    );
    assert!(line(&table, "clusterNetwork").contains("changed its path on the host"), "{table}");
    assert!(line(&table, "logToStderr").contains("not needed"), "{table}");
    assert!(line(&table, "logLevel").contains("kept"), "{table}");
}

#[test]
fn the_file_of_a_thin_installation_keeps_every_value() {
    let (list, table) = migrated(
        r#"{"cniVersion":"0.4.0","name":"node-cni-network","type":"multus","KubeConfig":"/etc/k","NamespaceIsolation":true,
        "readinessindicatorfile":"/x","auxiliaryCNIChainName":"extra","future":1,"globalNamespaces":"a,b","retryDeleteOnError":true,
        "delegates":[{"cniVersion":"0.4.0","name":"p","type":"bridge","n":123456789012345678901,"f":1.50}]}"#,
    );
    let delegates = list.plugins[0].object.get("delegates").unwrap().get();
    assert!(delegates.contains("123456789012345678901") && delegates.contains("1.50"), "{delegates}");
    assert_eq!(list.plugins[0].object.get("namespaceIsolation").unwrap().get(), "true");
    for (key, outcome) in [
        ("KubeConfig", "not needed"),
        ("auxiliaryCNIChainName", "manual"),
        ("future", "not needed"),
        ("delegates", "kept"),
        ("name", "kept"),
    ] {
        assert!(line(&table, key).contains(outcome), "{key}: {table}");
    }
}

#[test]
fn the_element_of_a_list_is_found() {
    let (list, _) = migrated(
        r#"{"cniVersion":"1.0.0","name":"m","plugins":[{"type":"other"},{"type":"multus","clusterNetwork":"/a"}]}"#,
    );
    assert_eq!((list.name.as_str(), list.plugins[0].object.get("clusterNetwork").unwrap().get()), ("m", r#""/a""#));
}

#[test]
fn every_path_of_a_shim_is_the_hosts() {
    let (list, table) = migrated(
        r#"{"name":"m","type":"multus-shim","clusterNetwork":"/host/etc/cni/net.d/05-c.conflist","binDir":"/host/opt/more",
        "confDir":"/host/etc/cni/multus/net.d","cniDir":"/host/var/lib/cni/multus","auxiliaryCNIChainName":"vendor-cni-chain"}"#,
    );
    for (key, here, path) in [
        ("clusterNetwork", "clusterNetwork", "/etc/cni/net.d/05-c.conflist"),
        ("binDir", "extraPluginDir", "/opt/more"),
        ("confDir", "nadConfigDir", "/etc/cni/multus/net.d"),
        ("cniDir", "multusStateDir", "/var/lib/cni/multus"),
    ] {
        assert_eq!(list.plugins[0].object.get(here).unwrap().get(), format!("{path:?}"));
        let line = line(&table, key);
        assert!(line.contains("changed") && line.contains("its path on the host"), "{table}");
        assert!(key == here || line.contains(&format!("now {here}: ")), "{table}");
    }
    let chain = line(&table, "auxiliaryCNIChainName");
    assert!(chain.contains("manual") && chain.contains("the name of that network"), "{chain}");
}

#[test]
fn settings_for_the_manifests_are_taken_by_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let migrate = |text: &str| {
        std::fs::write(path("multus.conf"), text).unwrap();
        let arguments = Arguments { file: path("multus.conf"), settings: Some(path("settings.json")) };
        let verdict = run(&arguments, &mut Output::of_process()).unwrap();
        keys::read(Some(&path("settings.json")), None, None).unwrap();
        (verdict, std::fs::read_to_string(path("settings.json")).unwrap())
    };
    let (verdict, text) = migrate(
        r#"{"name":"m","type":"multus-shim","clusterNetwork":"/host/etc/cni/net.d/10-f.conflist","confDir":"/host/x",
        "namespaceIsolation":true,"capabilities":{"mac":true},"logToStderr":true,"kubeconfig":"/k"}"#,
    );
    assert_eq!(verdict, Verdict::Well);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"capabilities": {"mac": true}, "nadConfigDir": "/x", "namespaceIsolation": true})
    );
    for elsewhere in ["ovn-nad", "/run/multus/cni/net.d/10-ovn-kubernetes.conf", "/etc/cni/net.d/sub/x.conf"] {
        let (verdict, text) = migrate(&format!(r#"{{"name":"m","type":"multus","clusterNetwork":{elsewhere:?}}}"#));
        assert_eq!((verdict, text.as_str()), (Verdict::NotWell, "{}\n"), "{elsewhere}");
    }
    let (verdict, _) =
        migrate(r#"{"name":"m","type":"multus","clusterNetwork":"/etc/cni/net.d","logLevel":"WARNING","confDir":""}"#);
    assert_eq!(verdict, Verdict::Well);
    let (_, text) = migrate(r#"{"name":"m","type":"multus","clusterNetwork":"/etc/cni/net.d","logLevel":"Debug"}"#);
    assert!(text.contains(r#""logLevel": "debug""#), "{text}");
    let (_, text) = migrate(r#"{"name":"m","type":"multus","clusterNetwork":"/etc/cni/net.d","logLevel":"loud"}"#);
    assert_eq!(text, "{}\n");
    let (verdict, text) = migrate(r#"{"name":"m","type":"multus","delegates":[{"name":"p","type":"bridge"}]}"#);
    assert_eq!((verdict, text.as_str()), (Verdict::NotWell, "{}\n"));
}

#[test]
fn what_cannot_work_is_refused() {
    let mistakes = |text: &str| {
        let (element, name) = element(&RawObject::parse(text).unwrap())?;
        review(&name, &translate(&element).keys).map_err(|mistakes| mistakes.join("; "))
    };
    assert!(mistakes(r#"{"name":"m","logLevel":"debug"}"#).unwrap_err().contains("clusterNetwork"));
    let several = mistakes(r#"{"name":"m","clusterNetwork":7,"systemNamespaces":"x"}"#).unwrap_err();
    assert!(several.contains("clusterNetwork") && several.contains("systemNamespaces"), "{several}");
    assert!(mistakes(r#"{"name":"m","plugins":[{"type":"bridge"}]}"#).unwrap_err().contains("multus"));
}

#[test]
fn every_key_of_ours_that_multus_has_is_carried_over() {
    // Ours alone, or the runtime's.
    let ours = [
        "stateDirectory",
        "runDirectory",
        "cniCacheDir",
        "delegateTimeoutSeconds",
        "daemonTimeoutSeconds",
        "publishTimeoutSeconds",
        "lastKnownMaxAgeSeconds",
        "natives",
        "parallel",
        "defaultNetworkAnnotation",
        "networksFromFiles",
        "dataDirRoots",
        "defaultRoute",
        "runtimeConfig",
        "prevResult",
        "cni.dev/valid-attachments",
        "cni.dev/attachments",
    ];
    let any = RawValue::from_string("1".to_owned()).unwrap();
    for key in Settings::keys().into_iter().filter(|key| !ours.contains(key)) {
        let of_multus = Settings::renamed_keys().find(|(_, name)| *name == key).map_or(key, |(former, _)| former);
        assert!(matches!(fate(of_multus, &any), Fate::Kept(name, _) if name == key), "{key}");
    }
}

#[test]
fn what_is_no_regular_file_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("multus.conf"), r#"{"name":"m","type":"multus","clusterNetwork":"/etc/x.conf"}"#).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(path("real.json"), "old").unwrap();
    std::os::unix::fs::symlink("real.json", path("link.json")).unwrap();
    let write = |name: &str| {
        let arguments = Arguments { file: path("multus.conf"), settings: Some(path(name)) };
        run(&arguments, &mut Output::of_process()).map_err(|e| e.to_string())
    };
    for name in ["fifo", "."] {
        let error = write(name).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&path("fifo").metadata().unwrap().file_type()));
    write("link.json").unwrap();
    assert!(path("link.json").symlink_metadata().unwrap().is_symlink());
    assert_ne!(std::fs::read_to_string(path("real.json")).unwrap(), "old");
    if crate::sys::is_root() {
        std::fs::write(path("real.json"), "old").unwrap();
        std::os::unix::fs::lchown(path("link.json"), Some(7), None).unwrap();
        let error = write("link.json").unwrap_err();
        assert!(error.contains("link.json") && error.contains("link of user 7"), "{error}");
        assert_eq!(std::fs::read_to_string(path("real.json")).unwrap(), "old");
    }
}
