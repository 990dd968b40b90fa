//! Certificates, keys and addresses of a server of a test.

use super::write;
use serde_json::json;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A loopback address of this process alone (a pid has at most 22 bits), so that no other test
/// process, and no outgoing connection, can take a port between a server's end and its restart.
pub(super) fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, middle, low)
}

/// A port that nobody else in this process was given, and nobody listens on.
pub(super) fn free_port(ip: Ipv4Addr) -> Result<u16, String> {
    for _ in 0..100 {
        let port = 20_000 + next_number();
        if TcpListener::bind((ip, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no free port on {ip}; is the loopback link up?"))
}

pub(super) fn next_number() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// All that the server reads from files and that does not change: a CA, its own certificate and
/// the administrator's, the key pair of service account tokens, the audit policy.
pub(super) fn make_credentials(directory: &Path, ip: Ipv4Addr) -> Result<(), String> {
    let ca = ["-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"];
    openssl(directory, &[&NEW_CERTIFICATE[..], &ca].concat())?;
    make_certificate(directory, "apiserver", "/CN=kube-apiserver", &format!("subjectAltName=IP:{ip}"))?;
    make_certificate(directory, "admin", &subject("admin", &["system:masters"]), "extendedKeyUsage=clientAuth")?;

    openssl(directory, &[&["genpkey", "-out", "accounts.key"], &EC_KEY[..]].concat())?;
    openssl(directory, &["pkey", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"])?;

    // One event per request, when it is answered.
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{ "level": "Metadata" }],
    });
    write(&directory.join("audit-policy.json"), &policy)
}

/// Elliptic keys: an RSA pair takes openssl longer than all else that is made here.
const EC_KEY: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

const NEW_CERTIFICATE: [&str; 8] =
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days=2"];

/// Makes `<name>.crt` and `<name>.key`, signed by the CA.
pub(super) fn make_certificate(directory: &Path, name: &str, subject: &str, extension: &str) -> Result<(), String> {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let files = ["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", &key, "-out", &certificate];
    let contents = ["-subj", subject, "-addext", extension, "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(directory, &[&NEW_CERTIFICATE[..], &files, &contents].concat())
}

/// The subject that Kubernetes reads as this user in these groups.
pub(super) fn subject(user: &str, groups: &[&str]) -> String {
    let escape = |value: &str| value.replace('\\', r"\\").replace('/', r"\/").replace('+', r"\+");
    let groups: String = groups.iter().map(|group| format!("/O={}", escape(group))).collect();
    format!("{groups}/CN={}", escape(user))
}

fn openssl(directory: &Path, args: &[&str]) -> Result<(), String> {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("run openssl: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("openssl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
    }
}
