use super::*;
use crate::cni::NetworkConfig;

fn migrated(text: &str) -> (NetworkConfig, String) {
    let (element, name) = element(&RawObject::parse(text).unwrap()).unwrap();
    let (keys, table) = translate(&element);
    review(&name, &keys).unwrap();
    let capabilities = element.read("capabilities").unwrap().unwrap_or_default();
    let list = config_document::migrated(&name, capabilities, keys).unwrap().text;
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
        ("auxiliaryCNIChainName", "by hand"),
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
fn what_cannot_work_is_refused() {
    let mistakes = |text: &str| {
        let (element, name) = element(&RawObject::parse(text).unwrap())?;
        review(&name, &translate(&element).0).map_err(|mistakes| mistakes.join("; "))
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
        "delegateTimeoutSeconds",
        "daemonTimeoutSeconds",
        "publishTimeoutSeconds",
        "lastKnownMaxAgeSeconds",
        "natives",
        "parallel",
        "runtimeConfig",
        "prevResult",
        "cni.dev/valid-attachments",
        "cni.dev/attachments",
    ];
    let any = RawValue::from_string("1".to_owned()).unwrap();
    for key in Settings::keys().into_iter().filter(|key| !ours.contains(key)) {
        assert!(matches!(fate(key, &any), Fate::Kept(..)), "{key}");
    }
}
