//! The environment of a call, `CNI_ARGS`, and the note in a lock.

use super::{assert_is_identifier, assert_is_link, text};
use plexus::cni::{CniArgs, Invocation};
use plexus::sys::owner::Owner;

/// `KEY=VALUE` texts, separated by NUL.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let variables: Vec<(&str, &str)> = text.split('\0').filter_map(|pair| pair.split_once('=')).collect();
    let get = |key: &str| variables.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
    match Invocation::read(get) {
        Ok(invocation) => {
            if let Some(target) = &invocation.target {
                assert_is_identifier(target.container_id.as_str());
                assert_is_link(target.ifname.as_str());
            }
            arguments(invocation.args);
        }
        Err(e) => assert!(e.code == 4 && !e.msg.contains('\n'), "{e:?}"),
    }
    arguments(CniArgs::parse(text));
    if let Some(owner) = Owner::parse(text) {
        assert!(owner.group > 1);
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
    }
}

/// They are written as they were read, and what is set is what is got (CNI-ARG-01).
fn arguments(mut args: CniArgs) {
    assert_eq!(CniArgs::parse(&args.to_string()), args);
    args.set("IP", "10.0.0.1");
    assert_eq!(args.get("IP"), Some("10.0.0.1"), "{args}");
    assert_eq!(CniArgs::parse(&args.to_string()).get("IP"), Some("10.0.0.1"), "{args}");
}
