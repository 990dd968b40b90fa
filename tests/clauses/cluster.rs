//! The few requests that Multus' plugin makes of an API server, answered from memory over plain HTTP.
//!
//! What a real one adds (admission, conflicts, watches) is tested elsewhere; here a row takes milliseconds.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Objects by path.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

/// The server; it ends with the test's process.
pub struct Cluster {
    objects: Objects,
    statuses: Arc<Mutex<BTreeMap<String, String>>>,
    url: String,
}

impl Cluster {
    /// Serves on the loopback of the calling thread's machine.
    pub fn start() -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cluster = Cluster { objects: Objects::default(), statuses: Arc::default(), url };
        let (objects, statuses) = (Arc::clone(&cluster.objects), Arc::clone(&cluster.statuses));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (objects, statuses) = (Arc::clone(&objects), Arc::clone(&statuses));
                // A client that goes away in the middle of a request has ended.
                std::thread::spawn(move || converse(&stream, &objects, &statuses));
            }
        });
        cluster
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
    }

    /// Has a pod.
    pub fn pod(&self, namespace: &str, name: &str, uid: &str, annotations: &Value) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "uid": uid, "annotations": annotations},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        });
        self.objects.lock().unwrap().insert(pod_path(namespace, name), pod);
    }

    /// Has it no more.
    pub fn forget_pod(&self, namespace: &str, name: &str) {
        self.objects.lock().unwrap().remove(&pod_path(namespace, name));
    }

    /// Has a network attachment definition.
    pub fn network(&self, nad: &str, config: Option<&str>) {
        let (namespace, name) = nad.split_once('/').unwrap();
        let path = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}");
        let object = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name}, "spec": config.map_or(json!({}), |text| json!({"config": text})),
        });
        self.objects.lock().unwrap().insert(path, object);
    }

    /// Gives an annotation to a network attachment definition it has.
    pub fn annotate(&self, nad: &str, key: &str, value: &str) {
        let (namespace, name) = nad.split_once('/').unwrap();
        let mut objects = self.objects.lock().unwrap();
        let end = format!("/{namespace}/network-attachment-definitions/{name}");
        let (_, object) = objects.iter_mut().find(|(path, _)| path.ends_with(&end)).unwrap();
        object["metadata"]["annotations"][key] = json!(value);
    }

    /// Has nothing.
    pub fn forget_all(&self) {
        self.objects.lock().unwrap().clear();
        self.statuses.lock().unwrap().clear();
    }

    /// The network status that was written to a pod.
    pub fn status(&self, namespace: &str, name: &str) -> Option<String> {
        self.statuses.lock().unwrap().get(&pod_path(namespace, name)).cloned()
    }
}

fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

/// Requests on one connection, until it ends.
fn converse(stream: &TcpStream, objects: &Objects, statuses: &Mutex<BTreeMap<String, String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (method, path, body) = request(&mut reader)?;
        let path = path.split('?').next().unwrap_or_default();
        let (code, answer) = match (method.as_str(), path.strip_suffix("/status")) {
            ("GET", _) => match objects.lock().unwrap().get(path) {
                Some(object) => (200, object.clone()),
                None => (404, not_found(path)),
            },
            ("PUT", Some(pod)) => {
                if let Some(status) = annotation(&body, plexus::nad::NETWORK_STATUS) {
                    statuses.lock().unwrap().insert(pod.to_owned(), status);
                }
                let object = objects.lock().unwrap().get(pod).cloned();
                object.map_or_else(|| (404, not_found(pod)), |object| (200, object))
            }
            // Events.
            _ => (201, json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x", "namespace": "default"}})),
        };
        let text = answer.to_string();
        let head =
            format!("HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        (&*stream).write_all((head + &text).as_bytes()).ok()?;
    }
}

fn not_found(path: &str) -> Value {
    let parts: Vec<&str> = path.rsplit('/').collect();
    let message = format!("{} \"{}\" not found", parts.get(1).unwrap_or(&""), parts[0]);
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": message})
}

/// Method, path and body; none at the end.
fn request(reader: &mut impl BufRead) -> Option<(String, String, Vec<u8>)> {
    let mut line = String::new();
    let mut read_line = |reader: &mut dyn BufRead| {
        line.clear();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = read_line(reader)?;
    let mut length = 0;
    loop {
        let header = read_line(reader)?;
        if header.is_empty() {
            break;
        }
        if let Some((key, value)) = header.split_once(':')
            && key.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = first.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned(), body))
}

/// The value of an annotation in an object written in protocol buffers: after the key stands 0x12, a length, the text.
fn annotation(body: &[u8], key: &str) -> Option<String> {
    let at = body.windows(key.len()).position(|window| window == key.as_bytes())? + key.len();
    let mut rest = body[at..].iter().copied();
    (rest.next()? == 0x12).then_some(())?;
    let mut length = 0usize;
    for shift in (0..).step_by(7) {
        let byte = rest.next()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    String::from_utf8(rest.take(length).collect()).ok()
}
