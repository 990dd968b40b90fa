//! Calling a delegate: the native, or the program as a runtime would.

use crate::world::CONTAINER;
use plexus::cni::{CniArgs, ContainerId, IfName, PluginConfig, RawObject};
use plexus::delegate::native::{self, Enabled};
use plexus::delegate::{Call, Delegate, Scope};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a call may take: longer than any machine, also one that is emulated, needs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who is called.
#[derive(Clone, Debug)]
pub enum Who {
    Native,
    /// The program in this folder.
    Reference(PathBuf),
}

/// The attachment that is called for.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub container: String,
    pub ifname: String,
    pub netns: Option<&'static str>,
    pub args: String,
}

impl Default for Attachment {
    fn default() -> Self {
        Attachment { container: "cid0".into(), ifname: "net1".into(), netns: Some(CONTAINER), args: String::new() }
    }
}

impl Who {
    /// Calls `verb`; answers what was printed, or the error's code and text.
    pub fn call(&self, verb: &str, config: &Value, attachment: &Attachment) -> Result<Value, String> {
        match self {
            Who::Native => call_native(verb, config, attachment),
            Who::Reference(folder) => {
                let kind = config["type"].as_str().unwrap();
                call_program(folder, kind, verb, config, attachment)
            }
        }
    }
}

/// Whether there is a native that understands every key.
pub fn is_for_native(config: &Value) -> bool {
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    native::find(&plugin, &Enabled::ALL, &Arc::default()).is_ok()
}

fn call_native(verb: &str, config: &Value, attachment: &Attachment) -> Result<Value, String> {
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    let native = native::find(&plugin, &Enabled::ALL, &Arc::default()).expect("it is for the native").native;
    with_call(config, attachment, |call| {
        let done = match verb {
            "ADD" => return native.add(call).map(|raw| serde_json::from_str(raw.get()).unwrap()),
            "DEL" => native.del(call),
            "CHECK" => native.check(call),
            "STATUS" => Delegate::status(native.as_ref(), call),
            "GC" => native.gc(call),
            other => panic!("{other}"),
        };
        done.map(|()| Value::Null)
    })
    .map_err(|e| format!("{}: {}", e.to_cni().code, e.to_cni()))
}

/// Hands `work` the call for `config` and `attachment`.
pub fn with_call<T>(config: &Value, attachment: &Attachment, work: impl FnOnce(&Call<'_>) -> T) -> T {
    let plugin = PluginConfig::new(RawObject::parse(&config.to_string()).unwrap()).unwrap();
    let (id, ifname) = (ContainerId::new(&*attachment.container).unwrap(), IfName::new(&*attachment.ifname).unwrap());
    let args = CniArgs::parse(&attachment.args);
    // For natives whose address plugin is a program.
    let path: Vec<PathBuf> = crate::plugins().into_iter().collect();
    let scope = Scope {
        container_id: Some(&id),
        ifname: Some(&ifname),
        netns: attachment.netns.map(Path::new),
        args: &args,
        path: &path,
        patience: PATIENCE,
        deadline: Instant::now() + PATIENCE,
        is_first: true,
        lock: None,
    };
    work(&Call { scope: &scope, plugin: &plugin, stdin: config.to_string() })
}

/// Calls the program `kind`.
pub fn call_program(
    folder: &Path,
    kind: &str,
    verb: &str,
    config: &Value,
    attachment: &Attachment,
) -> Result<Value, String> {
    let mut child = Command::new(folder.join(kind))
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &attachment.container)
        .env("CNI_NETNS", attachment.netns.unwrap_or_default())
        .env("CNI_IFNAME", &attachment.ifname)
        .env("CNI_ARGS", &attachment.args)
        .env("CNI_PATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    let error = || format!("{}: {}", value["code"], value["msg"].as_str().unwrap_or("no message"));
    if output.status.success() { Ok(value) } else { Err(error()) }
}
