//! Names of interfaces: requested ones, and `net1`, `net2`, … for the others; and of the files that tell of a device.

use crate::cni::{CniError, Code, IfName};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where plugins find and leave what there is to know of a device (DEVINFO-08).
pub const PROMISED: &str = "/var/run/k8s.cni.cncf.io/devinfo/cni";

/// What a network asks for.
#[derive(Clone, Debug)]
pub struct Requested<'a> {
    /// The name of its interface; none for any.
    pub name: Option<IfName>,
    /// The network, for messages.
    pub network: &'a str,
}

/// Names the interfaces of a pod: `requested` in the order of attachment, the default network first.
///
/// A network without a request is `net<i>`, where `i` is its place in the whole list, as in Multus;
/// where that name is taken, the next free number (NPWG-MUL-02: names are unique in the pod).
///
/// # Errors
/// Two requests for one name (NPWG-KEY-09).
pub fn name_interfaces(requested: &[Requested<'_>]) -> Result<Vec<IfName>, CniError> {
    let mut taken = BTreeSet::new();
    for (index, Requested { name, network }) in requested.iter().enumerate() {
        let Some(name) = name else { continue };
        if !taken.insert(name.as_str().to_owned()) {
            let is_first = |other: &&Requested<'_>| other.name.as_ref() == Some(name);
            let first = requested[..index].iter().find(is_first).map_or("", |other| other.network);
            let why = format!("interface {name} is requested twice: for network {first} and for network {network}");
            return Err(CniError::new(Code::InvalidConfig, why));
        }
    }
    let numbered = |mut number: usize| {
        while !taken.insert(format!("net{number}")) {
            number += 1;
        }
        IfName::new(format!("net{number}")).map_err(|e| CniError::new(Code::InvalidConfig, e.to_string()))
    };
    let mut numbered = numbered;
    requested
        .iter()
        .enumerate()
        .map(|(index, wanted)| wanted.name.clone().map_or_else(|| numbered(index), Ok))
        .collect()
}

/// The file promised to the plugins that attach `network` as `ifname`: another one for every attachment (DEVINFO-09).
pub fn promised(container_id: &str, network: &str, ifname: &str) -> PathBuf {
    Path::new(PROMISED).join(format!("{network}-{container_id}_{ifname}").replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(requested: &[&str]) -> Result<Vec<String>, String> {
        let requested: Vec<_> =
            requested.iter().map(|name| Requested { name: IfName::new(*name).ok(), network: "ns/a" }).collect();
        name_interfaces(&requested).map(|names| names.iter().map(ToString::to_string).collect()).map_err(|e| e.msg)
    }

    #[test]
    fn device_info_files_are_named_as_the_standard_has_it() {
        // DEVINFO-08
        let file = promised("c1", "ns/sriov", "net1");
        assert_eq!(file, Path::new("/var/run/k8s.cni.cncf.io/devinfo/cni/ns-sriov-c1_net1"));
    }

    #[test]
    fn numbering_is_that_of_multus() {
        assert_eq!(names(&["eth0", "", "", ""]).unwrap(), ["eth0", "net1", "net2", "net3"]);
        assert_eq!(names(&["eth0", "foo", ""]).unwrap(), ["eth0", "foo", "net2"]);
    }

    #[test]
    fn a_taken_number_is_passed_over() {
        // NPWG-MUL-02
        assert_eq!(names(&["eth0", "net2", "", ""]).unwrap(), ["eth0", "net2", "net3", "net4"]);
        assert_eq!(names(&["eth0", "", "net1"]).unwrap(), ["eth0", "net2", "net1"]);
    }

    #[test]
    fn a_name_cannot_be_requested_twice() {
        // NPWG-KEY-09
        assert!(names(&["eth0", "eth0"]).unwrap_err().contains("eth0"));
        let told = names(&["eth0", "a", "a"]).unwrap_err();
        assert_eq!(told, "interface a is requested twice: for network ns/a and for network ns/a");
    }
}
