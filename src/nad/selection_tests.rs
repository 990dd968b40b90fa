use super::*;

fn short(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let selections = parse(text, "pod-ns").map_err(|e| e.to_string())?;
    Ok(selections.into_iter().map(|s| (s.nad.to_string(), s.interface.map(|i| i.to_string()))).collect())
}

fn json(text: &str) -> Result<Selection, String> {
    parse(text, "pod-ns").map(|mut all| all.remove(0)).map_err(|e| e.to_string())
}

#[test]
fn a_gateway_is_of_its_family() {
    // NPWG-KEY-16
    let text = r#"[{"name":"a","default-route":["::ffff:10.0.0.1","fd00::1"]}]"#;
    let gateways = parse(text, "ns").unwrap().remove(0).default_route.unwrap();
    assert_eq!(gateways, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
}

#[test]
fn short_form_accepts() {
    // NPWG-ANN-03, NPWG-ANN-04, NPWG-ANN-10, NPWG-MUL-01
    type Row<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);
    let table: &[Row<'_>] = &[
        ("a", &[("pod-ns/a", None)]),
        ("ns/a@eth5", &[("ns/a", Some("eth5"))]),
        ("a, b", &[("pod-ns/a", None), ("pod-ns/b", None)]),
        ("a,a", &[("pod-ns/a", None), ("pod-ns/a", None)]),
        (" ns / a @ if0 ", &[("ns/a", Some("if0"))]),
        ("/a", &[("pod-ns/a", None)]),
        ("a@", &[("pod-ns/a", None)]),
        ("a@my_interface", &[("pod-ns/a", Some("my_interface"))]),
        ("null", &[("pod-ns/null", None)]),
    ];
    for (text, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(n, i)| (n.to_string(), i.map(str::to_string))).collect();
        assert_eq!(short(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn short_form_refuses() {
    for text in [
        "a,",
        "a,,b",
        "ns/",
        "a/b/c",
        "a@b@c",
        "A",
        "a_b",
        "a.b",
        "-a",
        "a@very_long_interface_name",
        "a@b/c",
        "Ns/a",
        "a@é",
    ] {
        assert!(short(text).is_err(), "{text}");
    }
}

#[test]
fn empty_selects_nothing() {
    // NPWG-ANN-08
    for text in ["", "  ", "[]"] {
        assert_eq!(parse(text, "pod-ns").unwrap(), [], "{text:?}");
    }
}

#[test]
fn json_form_reads_every_key() {
    // NPWG-ANN-05, NPWG-ANN-06, NPWG-KEY-01 to NPWG-KEY-20
    let text = r#"[{"name":"a.b","namespace":"ns","interface":"foo0","ips":["10.2.2.42/24","2001:db8::5"],
        "mac":"c2:b0:57:49:47:f1","infiniband-guid":"c2:11:22:33:44:55:66:77",
        "portMappings":[{"hostPort":8080,"containerPort":80}],"bandwidth":{"ingressRate":2048,"ingressBurst":1600},
        "deviceID":"0000:18:02.5","cni-args":{"spoofchk":"on"},"default-route":["10.2.2.1","2001:db8::1"],
        "ipam-claim-reference":"claim","org.foo.x":1}]"#;
    let selection = json(text).unwrap();
    assert_eq!(selection.nad.to_string(), "ns/a.b");
    assert_eq!(selection.interface.unwrap().as_str(), "foo0");
    assert_eq!(selection.ips, ["10.2.2.42/24", "2001:db8::5"]);
    assert_eq!(selection.mac.as_deref(), Some("c2:b0:57:49:47:f1"));
    assert_eq!(selection.infiniband_guid.as_deref(), Some("c2:11:22:33:44:55:66:77"));
    assert_eq!(selection.port_mappings[0].protocol, "tcp");
    assert_eq!(selection.bandwidth.unwrap().ingress_burst, 1600);
    assert_eq!(selection.device_id.as_deref(), Some("0000:18:02.5"));
    assert_eq!(selection.cni_args.unwrap().to_json(), r#"{"spoofchk":"on"}"#);
    assert_eq!(selection.default_route.unwrap().len(), 2);
    assert_eq!(selection.ipam_claim_reference.as_deref(), Some("claim"));
}

#[test]
fn json_keys_are_read_as_go_reads_them() {
    let selection = json(
        r#"[{"Name":"a","IPS":null,"interfaceRequest":"old0","portmappings":[{"HostPort":1,"containerport":2}]}]"#,
    );
    let selection = selection.unwrap();
    assert_eq!(selection.nad.to_string(), "pod-ns/a");
    assert_eq!(selection.interface.unwrap().as_str(), "old0");
    assert_eq!(selection.port_mappings[0].container_port, 2);
}

#[test]
fn an_empty_default_route_is_not_an_absent_one() {
    // NPWG-KEY-16
    assert_eq!(json(r#"[{"name":"a","default-route":[]}]"#).unwrap().default_route, Some(vec![]));
    assert_eq!(json(r#"[{"name":"a"}]"#).unwrap().default_route, None);
}

#[test]
fn json_form_refuses() {
    // NPWG-ANN-09
    for text in [
        r#"{"name":"a"}"#,
        "[null]",
        "[1]",
        r#""a""#,
        "[",
        r#"[{"name":""}]"#,
        "[{}]",
        r#"[{"name":"A_b"}]"#,
        r#"[{"name":"a","ips":"10.0.0.1"}]"#,
        r#"[{"name":"a","ips":["x"]}]"#,
        r#"[{"name":"a","ips":["10.0.0.1/33"]}]"#,
        r#"[{"name":"a","mac":"zz"}]"#,
        r#"[{"name":"a","infiniband-guid":"02:00:00:00:00:01"}]"#,
        r#"[{"name":"a","default-route":["x"]}]"#,
        r#"[{"name":"a","default-route":"10.0.0.1"}]"#,
        r#"[{"name":"a","default-route":[""]}]"#,
        r#"[{"name":"a","interface":"n\u0435t1"}]"#,
        r#"[{"name":"a","interface":"a\u202eb"}]"#,
        r#"[{"name":"a","portMappings":[{"hostPort":1,"containerPort":1,"hostIP":"10.0.0.1 -j ACCEPT"}]}]"#,
        r#"[{"name":"a","interface":"sixteen-bytes-xx"}]"#,
        r#"[{"name":"a","interface":"a:b"}]"#,
        r#"[{"name":"a","cni-args":[]}]"#,
        r#"[{"name":"a","portMappings":[{"hostPort":0,"containerPort":1}]}]"#,
        r#"[{"name":"a","bandwidth":{"ingressBurst":1}}]"#,
        r#"[{"name":"a","bandwidth":{"ingressRate":-1}}]"#,
    ] {
        assert!(parse(text, "pod-ns").is_err(), "{text}");
    }
}

#[test]
fn the_error_names_the_element() {
    let error = parse(r#"[{"name":"a"},{"name":"b","mac":"zz"}]"#, "pod-ns").unwrap_err().to_string();
    assert_eq!(error, r#"element 2 (b): mac: "zz" is not a hardware address"#);
}
