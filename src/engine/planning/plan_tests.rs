use super::*;
use crate::nad::selection;

struct Fixture {
    ifname: IfName,
    args: CniArgs,
    runtime_config: RawObject,
    default_network: Option<NetworkConfig>,
    networks: BTreeMap<NadRef, NetworkConfig>,
    resources: BTreeMap<NadRef, String>,
    devices: BTreeMap<String, Vec<String>>,
}

fn fixture() -> Fixture {
    let network = |text: &str| NetworkConfig::parse(text, Some("nad")).unwrap();
    let nad = |name: &str| NadRef::new("ns", name).unwrap();
    let every = r#"{"cniVersion":"1.0.0","type":"every","capabilities":{"ips":true,"mac":true,"portMappings":true,"bandwidth":true,"infinibandGUID":true},"args":{"cni":{"a":1,"b":1}}}"#;
    Fixture {
        ifname: IfName::new("eth0").unwrap(),
        args: CniArgs::parse("K8S_POD_NAME=p"),
        runtime_config: RawObject::parse(
            r#"{"portMappings":[{"hostPort":1}],"io.kubernetes.cri.pod-annotations":{"x":"y"}}"#,
        )
        .unwrap(),
        default_network: Some(network(r#"{"cniVersion":"1.0.0","name":"cbr0","type":"bridge"}"#)),
        networks: [("every", every), ("plain", r#"{"cniVersion":"1.0.0","type":"plain"}"#)]
            .map(|(name, text)| (nad(name), network(text)))
            .into(),
        resources: BTreeMap::new(),
        devices: BTreeMap::new(),
    }
}

impl Fixture {
    fn plan(&self, annotation: &str) -> Result<Vec<Planned>, String> {
        let selections = selection::parse(annotation, "ns").unwrap();
        let input = PlanInput {
            container_id: "c1",
            ifname: &self.ifname,
            args: &self.args,
            runtime_config: &self.runtime_config,
            default_network: self.default_network.clone(),
            default_selection: None,
            further_delegates: Vec::new(),
            selections: &selections,
            networks: &self.networks,
            resources: &self.resources,
            devices: &self.devices,
            parallel: (&[], false),
        };
        make(&input).map_err(|e| e.msg)
    }
}

#[test]
fn the_default_network_is_first_and_alone_has_what_the_runtime_offers() {
    // NPWG-DEF-02, NPWG-RC-01, CNI-CAP-11
    let plan = fixture().plan("every,plain").unwrap();
    let names: Vec<_> = plan.iter().map(|p| (p.network.as_str(), p.ifname.as_str(), p.default)).collect();
    assert_eq!(names, [("cbr0", "eth0", true), ("ns/every", "net1", false), ("ns/plain", "net2", false)]);
    assert!(plan[0].capability_args.contains("portMappings"));
    // H5: annotations are long, and only for plugins that declare them.
    assert!(plan.iter().all(|planned| !planned.capability_args.contains(POD_ANNOTATIONS)));
    let mut fixture = fixture();
    let declaring = r#"{"type":"x","capabilities":{"io.kubernetes.cri.pod-annotations":true}}"#;
    fixture.networks.insert(NadRef::new("ns", "x").unwrap(), NetworkConfig::parse(declaring, Some("x")).unwrap());
    let offered = |plan: &[Planned], at: usize| plan[at].capability_args.to_json();
    let plan = fixture.plan("x").unwrap();
    assert_eq!(offered(&plan, 1), r#"{"io.kubernetes.cri.pod-annotations":{"x":"y"}}"#);
    fixture.default_network = Some(NetworkConfig::parse(declaring, Some("x")).unwrap());
    assert!(offered(&fixture.plan("").unwrap(), 0).contains("pod-annotations"));
}

#[test]
fn a_refusal_for_the_size_names_the_longest_network() {
    let mut fixture = fixture();
    for (name, mebibytes) in [("small", 1), ("long", 3), ("other", 1)] {
        let text = format!(r#"{{"type":"x","y":"{}"}}"#, "y".repeat(mebibytes << 20));
        fixture.networks.insert(NadRef::new("ns", name).unwrap(), NetworkConfig::parse(&text, Some(name)).unwrap());
    }
    let told = fixture.plan("small,long,other").unwrap_err();
    assert!(
        told.contains("the 3 selected networks") && told.contains("the longest is network ns/long with 31"),
        "{told}"
    );
    assert!(fixture.plan("small,other").is_ok());
}

#[test]
fn what_would_be_too_much_is_refused_before_it_is_copied() {
    // H5: 64 plugins, each with a quarter of a mebibyte of arguments, 256 times, would be 4 GiB.
    let mut fixture = fixture();
    let list = format!(r#"{{"name":"l","plugins":[{}]}}"#, vec![r#"{"type":"a"}"#; 64].join(","));
    fixture.networks.insert(NadRef::new("ns", "list").unwrap(), NetworkConfig::parse(&list, None).unwrap());
    let element = |bytes: usize| format!(r#"{{"name":"list","cni-args":{{"x":"{}"}}}}"#, "x".repeat(bytes));
    let refusal = fixture.plan(&format!("[{}]", element(250_000))).unwrap_err();
    assert!(refusal.contains("more than 4194304 bytes"), "{refusal}");
    assert!(fixture.plan(&format!("[{}]", element(60_000))).is_ok());
    let many = vec![element(1000); 70].join(",");
    assert!(fixture.plan(&format!("[{many}]")).unwrap_err().contains("70 selected networks"));
}

#[test]
fn what_is_asked_is_offered_by_capability_and_by_args() {
    // NPWG-KEY-05, NPWG-KEY-07, NPWG-KEY-13, NPWG-KEY-15, NPWG-KEY-19
    let text = r#"[{"name":"every","ips":["10.0.0.5/24","fd00::5"],"mac":"02:00:00:00:00:01","infiniband-guid":"02:00:00:00:00:01:02:03",
        "portMappings":[{"hostPort":1,"containerPort":2}],"bandwidth":{"egressRate":5}}]"#;
    let planned = &fixture().plan(text).unwrap()[1];
    let offered = planned.capability_args.to_json();
    for part in [
        r#""ips":["10.0.0.5/24","fd00::5"]"#,
        r#""mac":"02:00:00:00:00:01""#,
        r#""infinibandGUID":"02:00:00:00:00:01:02:03""#,
        r#""portMappings":[{"hostPort":1,"containerPort":2,"protocol":"tcp"}]"#,
        r#""bandwidth":{"egressRate":5}"#,
    ] {
        assert!(offered.contains(part), "{offered}");
    }
    assert_eq!(planned.args.to_string(), "K8S_POD_NAME=p;IgnoreUnknown=1;MAC=02:00:00:00:00:01;IP=10.0.0.5/24,fd00::5");
}

#[test]
fn what_no_plugin_can_do_is_refused() {
    // NPWG-KEY-13, NPWG-KEY-15, NPWG-KEY-19; addresses go through CNI_ARGS instead
    for text in [
        r#"[{"name":"plain","portMappings":[{"hostPort":1,"containerPort":2}]}]"#,
        r#"[{"name":"plain","bandwidth":{"egressRate":5}}]"#,
        r#"[{"name":"plain","infiniband-guid":"02:00:00:00:00:01:02:03"}]"#,
    ] {
        let msg = fixture().plan(text).unwrap_err();
        assert!(msg.contains("ns/plain") && msg.contains("capability"), "{msg}");
    }
    assert!(fixture().plan(r#"[{"name":"plain","mac":"02:00:00:00:00:01"}]"#).is_ok());
}

#[test]
fn cni_args_are_merged_into_every_plugin() {
    // NPWG-KEY-10, NPWG-KEY-11, NPWG-KEY-20
    let plan =
        fixture().plan(r#"[{"name":"every","cni-args":{"b":2,"c":[1]},"ipam-claim-reference":"claim"}]"#).unwrap();
    let args = plan[1].config.plugins[0].object.get("args").unwrap().get();
    assert_eq!(args, r#"{"cni":{"a":1,"b":2,"c":[1],"ipam-claim-reference":"claim"}}"#);
}

#[test]
fn each_device_is_given_once() {
    let mut fixture = fixture();
    fixture.resources.insert(NadRef::new("ns", "plain").unwrap(), "r".into());
    fixture.devices.insert("r".into(), vec!["0000:01".into(), "0000:02".into()]);
    let plan = fixture.plan("plain,plain").unwrap();
    assert_eq!(plan[2].device, Some(("r".into(), "0000:02".into())));
    let object = &plan[1].config.plugins[0].object;
    assert_eq!(object.get("deviceID").unwrap().get(), r#""0000:01""#);
    assert_eq!(object.get("pciBusID").unwrap().get(), r#""0000:01""#);
    assert!(plan[1].device_info_file.as_ref().unwrap().ends_with("ns-plain-c1_net1"));
    assert!(
        fixture
            .plan("plain,plain,plain")
            .unwrap_err()
            .contains("ns/plain: no device of resource r is left for this pod: networks before it took all 2")
    );
    fixture.devices.clear();
    assert!(fixture.plan("plain").unwrap_err().contains("ns/plain: no device of resource r is allocated"));
}

#[test]
fn one_default_route() {
    // NPWG-KEY-16
    let one = r#"{"name":"plain","default-route":["10.0.0.1"]}"#;
    assert!(fixture().plan(&format!("[{one}]")).unwrap()[1].default_route.is_some());
    assert!(fixture().plan(&format!("[{one},{one}]")).unwrap_err().contains("default-route"));
    let of_ipv6 = r#"{"name":"plain","default-route":["fd00::1"]}"#;
    assert!(fixture().plan(&format!("[{one},{of_ipv6}]")).is_ok());
    let own = r#"{"name":"plain","default-route":[]}"#;
    assert!(fixture().plan(&format!("[{own},{of_ipv6}]")).unwrap_err().contains("default-route"));
}

#[test]
fn chained_the_first_number_is_one() {
    let mut fixture = fixture();
    fixture.default_network = None;
    let plan = fixture.plan("every,plain@foo,plain").unwrap();
    assert_eq!(plan.iter().map(|p| p.ifname.as_str()).collect::<Vec<_>>(), ["net1", "foo", "net3"]);
    assert!(fixture.plan("plain@eth0").unwrap_err().contains("eth0"));
}
