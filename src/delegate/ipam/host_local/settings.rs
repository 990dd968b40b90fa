//! The configuration of `host-local`, from its section and from what the pod asks for.

use super::super::requested::read_requested;
use super::super::static_::one_of_each_family;
use super::range::RangeSet;
use crate::cni::RawObject;
use crate::cni::json::InvalidValue;
use crate::cni::result::Route;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_routes};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub(super) const DEFAULT_DATA_DIR: &str = "/var/lib/cni/networks";

/// What one call of `host-local` is to do.
#[derive(Debug)]
pub(super) struct Settings {
    /// The pool.
    pub(super) folder: PathBuf,
    /// One address is taken of each; the position is the number in `last_reserved_ip.<n>`.
    pub(super) sets: Vec<RangeSet>,
    /// Addresses that must be among those taken, each once.
    pub(super) requested: Vec<IpAddr>,
    pub(super) routes: Vec<Route>,
    pub(super) resolv_conf: Option<PathBuf>,
}

impl Settings {
    /// Reads and judges the configuration of `call`.
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let stdin = Stdin::parse(call)?;
        let ipam = stdin.section("ipam")?;
        let sets = read_sets(&stdin, &ipam)?;
        one_of_each_family(stdin.version, sets.iter().filter_map(|set| set.0.first()).map(|range| range.start))?;
        Ok(Settings {
            folder: folder(&stdin)?,
            sets,
            requested: read_requested(call, &stdin)?,
            routes: read_routes(&ipam, "routes")?,
            resolv_conf: ipam.read::<PathBuf>("resolvConf")?.filter(|path| !path.as_os_str().is_empty()),
        })
    }
}

/// The pool of the network.
pub(super) fn folder(stdin: &Stdin) -> Result<PathBuf, Failure> {
    Ok(folder_in(&stdin.section("ipam")?, &stdin.network)?)
}

/// The pool of `network` with the section `ipam`, as the native reads it.
pub(super) fn folder_in(ipam: &RawObject, network: &str) -> Result<PathBuf, InvalidValue> {
    let data_dir = ipam.read::<String>("dataDir")?.filter(|path| !path.is_empty());
    Ok(Path::new(data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR)).join(network))
}

/// The sets of the pod first, then the one range of the old form, then those of the configuration.
fn read_sets(stdin: &Stdin, ipam: &RawObject) -> Result<Vec<RangeSet>, Failure> {
    let lists = |section: &RawObject, key: &str| section.read::<Vec<Vec<RawObject>>>(key);
    let mut listed = lists(&stdin.section("runtimeConfig")?, "ipRanges")?.unwrap_or_default();
    if ipam.read::<String>("subnet")?.is_some() {
        listed.push(vec![ipam.clone()]);
    }
    listed.extend(lists(ipam, "ranges")?.unwrap_or_default());
    let sets = listed.iter().map(|set| RangeSet::read(set)).collect::<Result<Vec<_>, _>>()?;
    if sets.is_empty() {
        return Err(Failure::Config("ipam has no ranges and no subnet".to_owned()));
    }
    for (i, set) in sets.iter().enumerate() {
        if let Some(other) = sets[i + 1..].iter().position(|other| set.overlaps(other)) {
            let other = i + 1 + other;
            return Err(Failure::Config(format!(
                "ranges: range set {i} ({set}) overlaps with range set {other} ({})",
                sets[other]
            )));
        }
    }
    Ok(sets)
}
