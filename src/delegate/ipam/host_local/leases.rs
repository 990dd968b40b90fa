//! Leases seen from outside of a call: whom each is for, and since when. Both programs write them alike.

use super::settings::DEFAULT_DATA_DIR;
use crate::cni::json;
use crate::cni::{NetworkConfig, PluginConfig, RawObject, folds_to};
use crate::sys::files;
use crate::sys::location::{Landmarks, Location};
use crate::sys::shared_folder::{self, LockedFolder};
use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// An owner is a container and an interface.
const MAX_LEASE: usize = 4096;
/// Where the kubelet keeps the volumes of pods, unless its root is elsewhere.
const PODS: &str = "/var/lib/kubelet/pods";
/// It keeps its configuration, with `host-local` in it, where it runs: the pool is in the usual place.
pub const FLANNEL: &str = "flannel";
/// Plugins that keep files of their own in the directory of a top-level `dataDir`.
pub const KEEPERS: [&str; 2] = [FLANNEL, "tuning"];

/// An address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// The container it was taken for; empty where the program was killed between the file and its text.
    pub container: String,
    /// The interface; old versions did not write it.
    pub ifname: Option<String>,
    /// Since when; nothing where the clock was set back.
    pub age: Duration,
}

/// The pools that the plugins of `network` take addresses from, each once.
pub fn pools(network: &NetworkConfig) -> Vec<PathBuf> {
    let folders = network.plugins.iter().flat_map(data_dirs);
    let mut pools: Vec<PathBuf> = folders.map(|folder| Path::new(&folder).join(network.name.as_str())).collect();
    pools.sort();
    pools.dedup();
    pools
}

/// A directory that the configuration of a plugin chooses, and in which root's programs will write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The type of the plugin that reads the key.
    pub kind: String,
    /// The directory.
    pub path: PathBuf,
}

/// The directories that `dataDir` chooses in `network`: the pools of host-local; what an address plugin that we do not
/// know may hand on to host-local; and where flannel keeps configurations.
pub fn places(network: &NetworkConfig) -> Vec<Place> {
    let name = network.name.as_str();
    network.plugins.iter().flat_map(|plugin| places_of(plugin, name)).collect()
}

fn places_of(plugin: &PluginConfig, network: &str) -> Vec<Place> {
    let sections = sections(plugin);
    let (kind, folders) = if calls_host_local(plugin, &sections) {
        (super::TYPE.to_owned(), data_dirs(plugin))
    } else {
        let kind = texts(&sections, "type").last().unwrap_or_else(|| plugin.kind.to_string());
        (kind, texts(&sections, "dataDir").collect())
    };
    let pools = folders.iter().map(|folder| Place { kind: kind.clone(), path: Path::new(folder).join(network) });
    let keeps = KEEPERS.contains(&plugin.kind.as_str());
    let own = values(&plugin.object, "dataDir").filter(|_| keeps).filter_map(text);
    pools.chain(own.map(|folder| Place { kind: plugin.kind.to_string(), path: folder.into() })).collect()
}

/// Each `dataDir` that host-local could read in `plugin`, if it may be called for it. Of a key that is there several
/// times Go takes the last one, whatever its letters' case, and merges objects; so all of them are looked at.
fn data_dirs(plugin: &PluginConfig) -> Vec<String> {
    let sections = sections(plugin);
    if !calls_host_local(plugin, &sections) {
        return Vec::new();
    }
    let folders: Vec<String> = texts(&sections, "dataDir").collect();
    if folders.is_empty() { vec![DEFAULT_DATA_DIR.to_owned()] } else { folders }
}

/// Whether host-local may be called for `plugin`, whose address sections are `sections`.
fn calls_host_local(plugin: &PluginConfig, sections: &[RawObject]) -> bool {
    let kind = plugin.kind.as_str();
    kind == FLANNEL || kind == super::TYPE || texts(sections, "type").any(|kind| kind == super::TYPE)
}

fn sections(plugin: &PluginConfig) -> Vec<RawObject> {
    values(&plugin.object, "ipam").filter_map(|section| RawObject::parse(section).ok()).collect()
}

fn texts(sections: &[RawObject], key: &'static str) -> impl Iterator<Item = String> {
    sections.iter().flat_map(move |section| values(section, key)).filter_map(text)
}

fn text(value: &str) -> Option<String> {
    json::parse::<String>(value).ok().filter(|text| !text.is_empty())
}

fn values<'a>(object: &'a RawObject, key: &'static str) -> impl Iterator<Item = &'a str> {
    object.iter().filter(move |(name, _)| folds_to(name, key)).map(|(_, value)| value.get())
}

/// Whether root may write to `pool`, whichever program does it: the folder is, or will be, one that nobody but root can
/// exchange. It lies in none of `own`, in no container's volume or files and, unless `roots` is empty, in one of `roots`.
/// What is found on the way is kept in `landmarks`, for the next one.
///
/// # Errors
/// Why it may not.
pub fn judge(pool: &Path, own: &[&Path], roots: &[PathBuf], landmarks: &Landmarks) -> Result<(), String> {
    if pool.is_relative() {
        return Err("it is not an absolute path".to_owned());
    }
    // The program takes such parts out of the text, the kernel follows links before them.
    if pool.components().any(|part| part == Component::ParentDir) {
        return Err("\"..\" is a part of the path".to_owned());
    }
    refuse_containers(pool, None)?;
    shared_folder::find(pool).map_err(|e| e.to_string())?;
    let location = Location::of(pool, landmarks).map_err(|e| e.to_string())?;
    if let Some(folder) = location.lies_in(own) {
        return Err(format!("it lies in {}, where Plexus keeps its own files", folder.display()));
    }
    let real = location.real();
    refuse_containers(real, Some(&location))?;
    let contains = |root: &PathBuf| Location::of(root, landmarks).is_ok_and(|root| real.starts_with(root.real()));
    if roots.is_empty() || roots.iter().any(contains) {
        return Ok(());
    }
    let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
    Err(format!("it lies in none of the directories that this node allows (dataDirRoots: {})", roots.join(", ")))
}

/// By what a path is known to lie in one of [`OF_CONTAINERS`].
enum Sign {
    /// It begins with this directory.
    Root(&'static str),
    /// It lies in this directory, also where a mount shows that in another place.
    Mount(&'static str),
    /// Two of its parts follow each other.
    Pair(&'static str, &'static str),
    /// One of its parts begins so.
    Begin(&'static str),
}

const VOLUMES: &str = "the kubelet's directory of pods";
const FILES: &str = "a container's files or in /proc";

/// Where root in a container can place links. Distributions have the kubelet's root in different places, and all of
/// them call it so. The files of containers are where containerd, CRI-O, Podman, Docker, nerdctl, Kata Containers, LXC,
/// systemd-nspawn and K3s' volumes are kept, unless they are told otherwise.
const OF_CONTAINERS: [(Sign, &str); 15] = [
    (Sign::Mount(PODS), VOLUMES),
    (Sign::Pair("kubelet", "pods"), VOLUMES),
    (Sign::Pair("kubelet", "plugins"), VOLUMES),
    (Sign::Root("/proc"), FILES),
    (Sign::Root("/var/lib/docker"), FILES),
    (Sign::Root("/var/lib/nerdctl"), FILES),
    (Sign::Root("/var/lib/lxc"), FILES),
    (Sign::Root("/var/lib/machines"), FILES),
    (Sign::Root("/run/kata-containers"), FILES),
    (Sign::Begin("io.containerd."), FILES),
    (Sign::Pair("containers", "storage"), FILES),
    (Sign::Pair("containerd", "tmpmounts"), FILES),
    (Sign::Pair("docker", "overlay2"), FILES),
    (Sign::Pair("docker", "volumes"), FILES),
    (Sign::Pair("k3s", "storage"), FILES),
];

impl Sign {
    /// Whether it is on `path`, which is `location` where that is known.
    fn is_on(&self, path: &Path, parts: &[Cow<'_, str>], location: Option<&Location<'_>>) -> bool {
        match self {
            Sign::Root(root) => path.starts_with(root),
            Sign::Mount(root) => {
                let shown = location.and_then(|location| location.lies_in(&[Path::new(root)]));
                path.starts_with(root) || shown.is_some()
            }
            Sign::Pair(first, second) => parts.windows(2).any(|pair| pair[0] == *first && pair[1] == *second),
            Sign::Begin(text) => parts.iter().any(|part| part.starts_with(text)),
        }
    }
}

fn refuse_containers(path: &Path, location: Option<&Location<'_>>) -> Result<(), String> {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    match OF_CONTAINERS.iter().find(|(sign, _)| sign.is_on(path, &parts, location)) {
        Some((_, place)) => Err(format!("it lies in {place}: root in a container could place links there")),
        None => Ok(()),
    }
}

/// The leases in `pool` that are older than `age`, without its lock: one that is being written has no owner and is left out.
///
/// # Errors
/// As of [`older_than_or_ownerless`].
pub fn older_than(pool: &Path, age: Duration) -> io::Result<Vec<Lease>> {
    let mut leases = older_than_or_ownerless(pool, age)?;
    leases.retain(|lease| !lease.container.is_empty());
    Ok(leases)
}

/// As [`older_than`], with those that have no owner. At an `age` that no program works for, nobody writes them any more.
///
/// # Errors
/// The folder is there and cannot be read, or somebody else than root could exchange it.
pub fn older_than_or_ownerless(pool: &Path, age: Duration) -> io::Result<Vec<Lease>> {
    let Some(pool) = shared_folder::find(pool)? else { return Ok(Vec::new()) };
    let entries = files::entries(pool.path())?;
    Ok(entries.iter().filter_map(|entry| lease(&entry.path())).filter(|lease| lease.age >= age).collect())
}

/// Gives `lease` back, after `before`; `false` where its address belongs to somebody else by now, or to nobody.
///
/// # Errors
/// The pool cannot be locked, or the file not be removed, or that of `before`.
pub fn give_back(
    pool: &Path,
    lease: &Lease,
    deadline: Instant,
    before: impl FnOnce() -> io::Result<()>,
) -> io::Result<bool> {
    let folder = LockedFolder::acquire(pool, deadline)?;
    let name = lease.address.to_string();
    let same = self::lease(&pool.join(&name))
        .is_some_and(|now| now.container == lease.container && now.ifname == lease.ifname && now.age >= lease.age);
    if same {
        before()?;
        folder.remove(&name)?;
    }
    Ok(same)
}

fn lease(path: &Path) -> Option<Lease> {
    let address = path.file_name()?.to_str()?.parse().ok()?;
    let age = std::fs::metadata(path).and_then(|file| file.modified()).ok()?.elapsed().unwrap_or_default();
    let text = files::read_bounded(path, MAX_LEASE).ok()??;
    let mut lines = text.trim().lines();
    let container = lines.next().unwrap_or_default().to_owned();
    Some(Lease { address, container, ifname: lines.next().map(str::to_owned), age })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_where_the_plugins_have_them() {
        let network =
            |plugins: &str| NetworkConfig::parse(&format!(r#"{{"name":"n","plugins":[{plugins}]}}"#), None).unwrap();
        let of = |plugins: &str| pools(&network(plugins));
        let usual = Path::new("/var/lib/cni/networks/n");
        assert_eq!(
            of(r#"{"type":"bridge","ipam":{"type":"host-local"}},{"type":"x","ipam":{"type":"host-local"}}"#),
            [usual]
        );
        assert_eq!(of(r#"{"type":"bridge","ipam":{"type":"host-local","dataDir":"/d"}}"#), [Path::new("/d/n")]);
        assert_eq!(of(r#"{"type":"flannel","delegate":{}}"#), [usual]);
        assert_eq!(of(r#"{"type":"host-local"}"#), [usual]);
        // N2: whichever of them Go takes.
        let both = [Path::new("/d/n"), Path::new("/e/n")];
        for twice in [
            r#""ipam":{"type":"host-local","dataDir":"/d","datadir":"/e"}"#,
            r#""ipam":{"type":"x","Type":"host-local","dataDir":"/d"},"IPAM":{"dataDir":"/e"}"#,
        ] {
            assert_eq!(of(&format!(r#"{{"type":"bridge",{twice}}}"#)), both, "{twice}");
        }
        assert!(of(r#"{"type":"bridge","ipam":{"type":"whereabouts"}},{"type":"y"}"#).is_empty());
    }

    #[test]
    fn no_pool_lies_in_the_files_of_a_container() {
        for path in [
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/rootfs/data/n",
            "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/5/fs/data/n",
            "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/abc/rootfs/d/n",
            "/var/lib/containers/storage/overlay/abc/diff/d/n",
            "/var/lib/docker/overlay2/abc/diff/d/n",
            "/data/docker/volumes/abc/_data/n",
            "/var/lib/nerdctl/1935db59/volumes/default/abc/_data/n",
            "/run/kata-containers/shared/sandboxes/abc/mounts/n",
            "/var/lib/containerd/tmpmounts/containerd-mount1/n",
            "/var/lib/lxc/abc/rootfs/n",
            "/var/lib/machines/abc/n",
            "/var/lib/rancher/k3s/storage/pvc-1/n",
            "/proc/1/cwd/n",
        ] {
            let why = judge(Path::new(path), &[], &[], &Landmarks::default()).unwrap_err();
            assert!(why.contains("container's files"), "{path}: {why}");
        }
        assert_eq!(judge(Path::new("/var/lib/cni/containers/n"), &[], &[], &Landmarks::default()), Ok(()));
    }

    #[test]
    fn every_directory_that_a_plugin_chooses_is_a_place() {
        // N2
        let of = |plugin: &str| {
            let text = format!(r#"{{"name":"n","plugins":[{plugin}]}}"#);
            let places = places(&NetworkConfig::parse(&text, None).unwrap());
            places.into_iter().map(|place| format!("{} {}", place.kind, place.path.display())).collect::<Vec<_>>()
        };
        for (plugin, expected) in [
            (r#"{"type":"bridge","ipam":{"type":"host-local"}}"#, &["host-local /var/lib/cni/networks/n"][..]),
            (r#"{"type":"bridge","ipam":{"type":"other","DATADIR":"/d"}}"#, &["other /d/n"]),
            (
                r#"{"type":"bridge","IPAM":{"Type":"other","dataDir":"/d","datadir":"/e"}}"#,
                &["other /d/n", "other /e/n"],
            ),
            (r#"{"type":"bridge","ipam":{"type":"whereabouts"}}"#, &[]),
            (r#"{"type":"bridge","dataDir":"/d"}"#, &[]),
            (r#"{"type":"tuning","DataDir":"/t"}"#, &["tuning /t"]),
            (r#"{"type":"flannel","DataDir":"/f"}"#, &["host-local /var/lib/cni/networks/n", "flannel /f"]),
        ] {
            assert_eq!(of(plugin), expected, "{plugin}");
        }
    }

    #[test]
    fn a_pool_is_in_no_volume_and_in_an_allowed_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("kubelet/pods/uid/volumes/x")).unwrap();
        std::fs::create_dir_all(path("pools")).unwrap();
        std::os::unix::fs::symlink(path("kubelet/pods/uid/volumes"), path("pools/link")).unwrap();
        let judged = |name: &str, roots: &[PathBuf]| judge(&path(name), &[], roots, &Landmarks::default());
        for volume in ["kubelet/pods/uid/volumes/x/n", "kubelet/pods/n", "pools/link/n", "pools/link/x/n"] {
            assert!(judged(volume, &[]).unwrap_err().contains("kubelet"), "{volume}");
        }
        for fine in ["kubelet/n", "pools/n", "pods/n", "absent/kubelet/n"] {
            judged(fine, &[]).unwrap();
        }
        judged("pools/n", &[path("other"), path("pools")]).unwrap();
        assert!(judged("pools2/n", &[path("pools")]).unwrap_err().contains("dataDirRoots"));
        // By where it is, not by its name: a link that leaves the root does not lie in it.
        std::fs::create_dir(path("elsewhere")).unwrap();
        std::os::unix::fs::symlink(path("elsewhere"), path("pools/out")).unwrap();
        assert!(judged("pools/out/n", &[path("pools")]).unwrap_err().contains("dataDirRoots"));
        judged("pools/out/n", &[path("elsewhere")]).unwrap();
    }

    #[test]
    fn only_what_was_seen_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, owner: &str| std::fs::write(folder.path().join(name), owner).unwrap();
        for (name, owner) in [
            ("10.0.0.2", "c1\r\neth0"),
            ("10.0.0.3", "old"),
            ("10.0.0.4", ""),
            ("last_reserved_ip.0", "10.0.0.4"),
            ("lock", ""),
        ] {
            write(name, owner);
        }
        let mut leases = older_than(folder.path(), Duration::ZERO).unwrap();
        leases.sort_by_key(|lease| lease.address);
        assert_eq!((leases[0].container.as_str(), leases[0].ifname.as_deref()), ("c1", Some("eth0")));
        assert_eq!((leases[1].container.as_str(), leases[1].ifname.as_deref(), leases.len()), ("old", None, 2));
        assert_eq!(older_than(folder.path(), Duration::from_secs(60)).unwrap(), []);
        // Somebody else has the address by now.
        write("10.0.0.2", "c2\r\neth0");
        let soon = Instant::now() + Duration::from_secs(5);
        assert!(!give_back(folder.path(), &leases[0], soon, || Ok(())).unwrap());
        assert!(give_back(folder.path(), &leases[1], soon, || Ok(())).unwrap());
        assert!(folder.path().join("10.0.0.2").exists() && !folder.path().join("10.0.0.3").exists());
        assert_eq!(older_than(&folder.path().join("none"), Duration::ZERO).unwrap(), []);
    }
}
