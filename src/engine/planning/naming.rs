//! Names of interfaces: requested ones, and `net1`, `net2`, … for the others; and of the files that tell of a device.

use crate::cni::{CniError, Code, IfName};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where plugins find and leave what there is to know of a device (DEVINFO-08).
pub const PROMISED: &str = "/var/run/k8s.cni.cncf.io/devinfo/cni";

/// Names the interfaces of a pod: `requested` in the order of attachment, the default network first.
///
/// A network without a request is `net<i>`, where `i` is its place in the whole list, as in Multus;
/// where that name is taken, the next free number (NPWG-MUL-02: names are unique in the pod).
///
/// # Errors
/// Two requests for one name (NPWG-KEY-09).
pub fn name_interfaces(requested: &[Option<IfName>]) -> Result<Vec<IfName>, CniError> {
    let mut taken = BTreeSet::new();
    for name in requested.iter().flatten() {
        if !taken.insert(name.as_str().to_owned()) {
            return Err(CniError::new(Code::InvalidConfig, format!("interface {name} is requested twice")));
        }
    }
    let numbered = |mut number: usize| {
        while !taken.insert(format!("net{number}")) {
            number += 1;
        }
        IfName::new(format!("net{number}")).map_err(|e| CniError::new(Code::InvalidConfig, e.to_string()))
    };
    let mut numbered = numbered;
    requested.iter().enumerate().map(|(index, name)| name.clone().map_or_else(|| numbered(index), Ok)).collect()
}

/// The file promised to the plugins that attach `network` as `ifname`: another one for every attachment (DEVINFO-09).
pub fn promised(container_id: &str, network: &str, ifname: &str) -> PathBuf {
    Path::new(PROMISED).join(format!("{network}-{container_id}_{ifname}").replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(requested: &[&str]) -> Result<Vec<String>, String> {
        let requested: Vec<_> = requested.iter().map(|name| IfName::new(*name).ok()).collect();
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
        assert!(names(&["eth0", "a", "a"]).is_err());
    }
}
