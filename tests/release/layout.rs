//! The image: an OCI layout whose blobs are what their digests say, with the properties of the Containerfile.

use super::files::{Release, output};
use super::{ARCHITECTURES, ROOT, VERSION};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn unpacked(release: &Release) -> tempfile::TempDir {
    release.unpacked(&format!("plexus-v{VERSION}-oci.tar"))
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The digest of the image of all architectures.
pub fn digest(release: &Release) -> String {
    let folder = unpacked(release);
    read(&folder.path().join("index.json"))["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// The blob of a descriptor, with the size that it names.
fn blob(folder: &Path, descriptor: &Value, seen: &mut BTreeSet<String>) -> Value {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let path = folder.join("blobs/sha256").join(&digest);
    assert_eq!(fs::metadata(&path).unwrap().len(), descriptor["size"].as_u64().unwrap(), "{descriptor}");
    assert!(output(Command::new("sha256sum").arg(&path)).starts_with(&digest), "{descriptor}");
    seen.insert(digest);
    if descriptor["mediaType"].as_str().unwrap().ends_with("+json") { read(&path) } else { json!(path.to_str()) }
}

pub fn assert_sound(release: &Release) {
    let folder = unpacked(release);
    let folder = folder.path();
    assert_eq!(read(&folder.join("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let layout = read(&folder.join("index.json"));
    assert_eq!(layout["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(layout["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], format!("v{VERSION}"));
    let name = format!("ghcr.io/plexus-cni/plexus:v{VERSION}");
    assert_eq!(layout["manifests"][0]["annotations"]["io.containerd.image.name"], name, "the name of the manifests");
    let mut seen = BTreeSet::new();
    let index = blob(folder, &layout["manifests"][0], &mut seen);
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), ARCHITECTURES.len());
    for (descriptor, architecture) in manifests.iter().zip(ARCHITECTURES) {
        assert_eq!(descriptor["platform"], json!({"architecture": architecture, "os": "linux"}));
        let manifest = blob(folder, descriptor, &mut seen);
        let config = blob(folder, &manifest["config"], &mut seen);
        assert_eq!((&config["architecture"], &config["os"]), (&json!(architecture), &json!("linux")));
        assert_is_of_the_containerfile(&config["config"]);
        let layer = blob(folder, &manifest["layers"][0], &mut seen);
        let unpacked = format!("gzip --decompress --stdout {} | sha256sum", layer.as_str().unwrap());
        let sum = output(Command::new("sh").args(["-c", &unpacked]));
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", &sum[..64]));
        let listing = output(Command::new("tar").arg("-tvf").arg(layer.as_str().unwrap()));
        let files: Vec<&str> = listing.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
        assert_eq!(files, ["plexus", "plexusctl", "plexusd"]);
        assert!(listing.lines().all(|line| line.starts_with("-rwxr-xr-x 0/0")), "{listing}");
    }
    let blobs = fs::read_dir(folder.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(blobs.collect::<BTreeSet<_>>(), seen, "a blob belongs to nothing");
}

/// Labels, environment and entry point are those that `make image` gives.
fn assert_is_of_the_containerfile(config: &Value) {
    let text = fs::read_to_string(format!("{ROOT}/Containerfile")).unwrap();
    for (key, value) in config["Labels"].as_object().unwrap().iter().filter(|(key, _)| !key.ends_with(".version")) {
        assert!(text.contains(&format!("{key}={value}")), "{key}");
    }
    assert_eq!(config["Labels"].as_object().unwrap().len(), text.matches("org.opencontainers.image.").count() + 1);
    let line = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    assert_eq!(config["Env"], json!([line("ENV ")]));
    assert_eq!(config["Entrypoint"], serde_json::from_str::<Value>(line("ENTRYPOINT ")).unwrap());
}
