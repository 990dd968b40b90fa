//! What the machine shows: leases, marks, records, interfaces. Not through the code under test.

use crate::support::Pod;
use crate::world::MARKS;
use nix::libc;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Something that a plugin made for a sandbox and keeps outside of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    pub id: String,
    pub ifname: String,
    /// `lease of br1`, `mark of result`.
    pub what: String,
    /// The address, or nothing.
    pub address: String,
    /// When a lease was written, in seconds of Unix time.
    pub written: Option<u64>,
}

/// A record, as its file is.
#[derive(Clone, Debug)]
pub enum Recorded {
    Whole(Value),
    /// Its end is lost; this could still be read of it.
    Damaged(Value),
}

/// All of it.
#[derive(Debug)]
pub struct Seen {
    pub things: Vec<Thing>,
    pub records: BTreeMap<String, Recorded>,
    /// The interfaces with their addresses in each network-status that waits for the daemon: this one publishes none.
    pub statuses: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Seen {
    pub fn look() -> Self {
        let mut things = leases();
        things.extend(marks());
        things.sort();
        Seen { things, records: records(), statuses: statuses() }
    }

    pub fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Thing> {
        self.things.iter().filter(move |thing| thing.id == id)
    }

    pub fn attachments(&self, id: &str) -> Vec<Value> {
        match self.records.get(id) {
            Some(Recorded::Whole(record)) => record["attachments"].as_array().cloned().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Each record, or what could be read of it.
    pub fn told(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.records.iter().map(|(id, record)| match record {
            Recorded::Whole(record) | Recorded::Damaged(record) => (id, record),
        })
    }

    pub fn is_damaged(&self, id: &str) -> bool {
        matches!(self.records.get(id), Some(Recorded::Damaged(_)))
    }
}

/// What can be read of a record that has lost its end: what stands before the attachments, and those that are whole.
fn beginning(text: &str) -> Value {
    let Some((head, rest)) = text.split_once("\"attachments\":[") else { return Value::Null };
    let mut record: Value = serde_json::from_str(&format!("{head}\"attachments\":[]}}")).unwrap();
    let (mut attachments, mut rest) = (Vec::new(), rest);
    loop {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(attachment)) = values.next() else { break };
        attachments.push(attachment);
        rest = rest[values.byte_offset()..].trim_start_matches(',');
    }
    record["attachments"] = attachments.into();
    record
}

fn statuses() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let status = |text: &str| {
        let whole: Value = serde_json::from_str(text).ok()?;
        let entries: Vec<Value> = serde_json::from_str(whole["networkStatus"].as_str()?).ok()?;
        let one = |entry: &Value| {
            let ips = entry["ips"].as_array().into_iter().flatten();
            let mut ips: Vec<String> = ips.filter_map(|ip| ip.as_str().map(str::to_owned)).collect();
            ips.sort();
            Some((entry["interface"].as_str()?.to_owned(), ips))
        };
        Some(entries.iter().filter_map(one).collect())
    };
    let files = files(Path::new("/run/plexus/unpublished")).into_iter();
    let whole = files.filter_map(|(name, path)| {
        let id = name.strip_suffix(".json")?.to_owned();
        Some((id, status(&fs::read_to_string(path).ok()?).unwrap_or_default()))
    });
    whole.collect()
}

fn files(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
}

fn leases() -> Vec<Thing> {
    let mut all = Vec::new();
    for (pool, path) in files(Path::new("/var/lib/cni/networks")) {
        for (address, path) in files(&path) {
            let is_address = address.contains(['.', ':']) && address.starts_with(|c: char| c.is_ascii_hexdigit());
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if is_address && !address.starts_with("last") {
                let (id, ifname) = text.split_once("\r\n").unwrap_or((&text, ""));
                all.push(Thing {
                    id: id.to_owned(),
                    ifname: ifname.to_owned(),
                    what: format!("lease of {pool}"),
                    address,
                    written: written(&path),
                });
            }
        }
    }
    all
}

fn written(path: &Path) -> Option<u64> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

fn marks() -> Vec<Thing> {
    let stubs = files(Path::new(MARKS)).into_iter();
    let of = |(stub, path): (String, std::path::PathBuf)| {
        files(&path).into_iter().map(move |(name, _)| {
            let (id, ifname) = name.split_once('.').unwrap();
            let (id, ifname) = (id.to_owned(), ifname.to_owned());
            Thing { id, ifname, what: format!("mark of {stub}"), address: String::new(), written: None }
        })
    };
    stubs.flat_map(of).collect()
}

fn records() -> BTreeMap<String, Recorded> {
    let files = files(Path::new("/var/lib/plexus/sandboxes")).into_iter();
    let read = |(name, path): (String, std::path::PathBuf)| {
        let id = name.strip_suffix(".json").filter(|id| !id.starts_with('.'))?.to_owned();
        let text = fs::read(path).ok()?;
        let damaged = |_| Recorded::Damaged(beginning(&String::from_utf8_lossy(&text)));
        Some((id, serde_json::from_slice(&text).map_or_else(damaged, Recorded::Whole)))
    };
    files.filter_map(read).collect()
}

/// The interfaces of a sandbox with their global addresses, without `lo`.
pub fn interfaces(pod: &Pod) -> BTreeMap<String, Vec<String>> {
    inside(pod).0
}

/// The same, and how each of them is: its MAC, whether it is up, and the routes.
pub fn inside(pod: &Pod) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    plexus::sys::netns::Netns::open(&pod.netns).unwrap().run(own_interfaces).unwrap()
}

/// The ends of veths that the node has: each with its master, and whether it is up.
pub fn ports() -> BTreeMap<String, String> {
    let links = crate::support::kernel::ip("link").as_array().cloned().unwrap_or_default();
    let veths = links.iter().filter(|link| link["ifname"].as_str().is_some_and(|name| name.starts_with("veth")));
    let flags = |link: &Value| link["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into()));
    veths
        .map(|link| {
            let how =
                format!("master {}, up {}, MAC {}, MTU {}", link["master"], flags(link), link["address"], link["mtu"]);
            (link["ifname"].as_str().unwrap_or_default().to_owned(), how)
        })
        .collect()
}

/// The routes of IPv4 of this thread's namespace, and those of IPv6 with a gateway: the kernel makes others in its own time.
fn routes() -> Vec<String> {
    let columns = |line: &str, wanted: &[usize]| {
        let all: Vec<&str> = line.split_ascii_whitespace().collect();
        wanted.iter().filter_map(|at| all.get(*at)).copied().collect::<Vec<_>>().join(" ")
    };
    let v4 = fs::read_to_string("/proc/thread-self/net/route").unwrap();
    let v6 = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let none = "0".repeat(32);
    let v6 = v6.lines().filter(|line| line.split_ascii_whitespace().nth(4).is_some_and(|gateway| gateway != none));
    let mut all: Vec<String> = v4.lines().skip(1).map(|line| columns(line, &[0, 1, 2, 7])).collect();
    all.extend(v6.map(|line| columns(line, &[9, 0, 1, 4])));
    all.sort();
    all
}

fn own_interfaces() -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut how = routes();
    let mut first = std::ptr::null_mut();
    // SAFETY: the list is freed below, after its last use.
    assert_eq!(unsafe { libc::getifaddrs(&raw mut first) }, 0);
    let mut next = first;
    // SAFETY: an entry is valid until the list is freed, and its name is a string.
    while let Some(entry) = unsafe { next.as_ref() } {
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_str().unwrap();
        if name != "lo" {
            all.entry(name.to_owned()).or_default().extend(global(entry.ifa_addr));
            let is_up = entry.ifa_flags & libc::IFF_UP.unsigned_abs() != 0;
            how.extend(mac(entry.ifa_addr).map(|mac| format!("{name}: MAC {mac}, up {is_up}")));
        }
        next = entry.ifa_next;
    }
    // SAFETY: it is from getifaddrs(3).
    unsafe { libc::freeifaddrs(first) };
    all.values_mut().for_each(|addresses| addresses.sort());
    how.sort();
    (all, how)
}

/// The MAC, if that is what `address` is.
fn mac(address: *const libc::sockaddr) -> Option<String> {
    // SAFETY: the kernel says by the family what is there.
    let address = unsafe {
        let is_link = i32::from(address.as_ref()?.sa_family) == libc::AF_PACKET;
        is_link.then(|| *address.cast::<libc::sockaddr_ll>())?
    };
    Some(address.sll_addr[..6].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// An address of IP that is not of the link alone.
fn global(address: *const libc::sockaddr) -> Option<String> {
    // SAFETY: the kernel says by the family what is there.
    unsafe {
        match i32::from(address.as_ref()?.sa_family) {
            libc::AF_INET => {
                let address = (*address.cast::<libc::sockaddr_in>()).sin_addr.s_addr;
                Some(Ipv4Addr::from(u32::from_be(address)).to_string())
            }
            libc::AF_INET6 => {
                let address = Ipv6Addr::from((*address.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr);
                (!address.is_unicast_link_local()).then(|| address.to_string())
            }
            _ => None,
        }
    }
}
