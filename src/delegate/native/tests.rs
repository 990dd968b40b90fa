//! Which configurations are for natives. What natives do is tested by `tests/contract.rs`.

use super::*;

/// The program that is needed for addresses all the same.
fn find(text: &str) -> Result<Option<String>, Declined> {
    let plugin = PluginConfig::new(RawObject::parse(text).unwrap()).unwrap();
    super::find(&plugin, &Enabled::ALL, &Arc::default()).map(|found| found.program.map(|(kind, _)| kind.to_string()))
}

#[test]
fn what_natives_take() {
    for text in [
        r#"{"type":"bridge","bridge":"br0","ipMasq":false,"ipam":{"type":"host-local","subnet":"10.0.0.0/24"}}"#,
        r#"{"type":"bridge","vlanTrunk":[{"minID":1,"maxID":2},{"ID":7}],"capabilities":{"mac":true}}"#,
        r#"{"type":"macvlan","Master":"eth0","ipam":{"type":"static","addresses":[{"address":"10.0.0.1/24"}]}}"#,
        r#"{"type":"macvlan","ipam":{}}"#,
        r#"{"type":"ipvlan","mode":"l3"}"#,
        r#"{"type":"vlan","master":"eth0","vlanId":7,"mtu":1400,"linkInContainer":false}"#,
        r#"{"type":"ptp","ipMasq":false,"mtu":1400,"ipam":{"type":"host-local","subnet":"10.0.0.0/24"}}"#,
        r#"{"type":"loopback"}"#,
    ] {
        assert_eq!(find(text), Ok(None), "{text}");
    }
}

#[test]
fn addresses_from_a_program() {
    for (text, program) in [
        (r#"{"type":"bridge","ipam":{"type":"dhcp"}}"#, "dhcp"),
        (r#"{"type":"bridge","ipam":{"type":"host-local","newKey":1}}"#, "host-local"),
        (
            r#"{"type":"bridge","ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24","exclude":[]}]]}}"#,
            "host-local",
        ),
        (r#"{"type":"bridge","ipam":{"type":"static","routes":[{"dst":"10.0.0.0/24","onlink":true}]}}"#, "static"),
    ] {
        assert_eq!(find(text), Ok(Some(program.to_owned())), "{text}");
    }
}

#[test]
fn what_is_left_to_the_program() {
    for (text, part) in [
        (r#"{"type":"bridge","ipMasq":true}"#, "masquerading"),
        (r#"{"type":"bridge","macspoofchk":true}"#, "nftables"),
        (r#"{"type":"bridge","newKey":1}"#, "newKey"),
        (r#"{"type":"ptp","ipMasq":true}"#, "masquerading"),
        (r#"{"type":"bridge","vlanTrunk":[{"name":1}]}"#, "name"),
        (r#"{"type":"bridge","mtu":1,"MTU":2}"#, "twice"),
        (r#"{"type":"bridge","ipam":"x"}"#, "not an object"),
        (r#"{"type":"macvlan","ipam":{"type":"static","addresses":[{"address":"::FFFF:10.0.0.1/120"}]}}"#, "IPv4"),
        (r#"{"type":"sriov"}"#, "no built-in sriov"),
    ] {
        let declined = find(text).unwrap_err().to_string();
        assert!(declined.contains(part), "{text}: {declined}");
    }
    let plugin = PluginConfig::new(RawObject::parse(r#"{"type":"bridge"}"#).unwrap()).unwrap();
    let off = Enabled { bridge: false, ..Enabled::ALL };
    assert_eq!(super::find(&plugin, &off, &Arc::default()).map(drop), Err(Declined::Off("bridge")));
}
