//! What a record holds. The format is read by later releases: members are added, never changed.

use crate::cni::json::RawObject;
use crate::cni::{AddResult, ContainerId, IfName, NetworkConfig};
use crate::nad::PodRef;
use crate::sys::netns::Identity;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the format.
pub const VERSION: u32 = 1;

/// Everything attached to one sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// See [`VERSION`].
    pub version: u32,
    /// The sandbox.
    pub container_id: ContainerId,
    /// Its pod, where the runtime named one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "PodRef::lenient")]
    pub pod: Option<PodRef>,
    /// Its namespace at the time of ADD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// What tells that namespace from others of the same boot; none in records of older releases. A stranger's may have
    /// its path by now.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "netns_id")]
    pub netns_id: Option<Identity>,
    /// The kernel's number of that namespace, which no later one of the same boot gets; none before Linux 5.14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns_cookie: Option<NonZeroU64>,
    /// The namespace in which ADD worked: the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "netns_id")]
    pub host_netns_id: Option<Identity>,
    /// When ADD began, in seconds of Unix time.
    #[serde(default)]
    pub created: u64,
    /// The boot in which ADD began, by the kernel's identifier: no sandbox survives its boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// What `/proc` showed in the place of the boot's identifier, where that was not the kernel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id_shown: Option<String>,
    /// It is what could still be read of a damaged record: DEL adds what was probably attached beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The network status that could not be handed to the daemon yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpublished: Option<String>,
    /// In the order in which they are made. A record without them is damaged: it would tell that nothing is attached.
    pub attachments: Vec<Attachment>,
}

/// One network in the sandbox: all that DEL, CHECK and GC need, however the NAD changed since.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// `CNI_IFNAME` of the call that made it: DEL of that interface deletes it.
    pub call: IfName,
    /// The network's name as it is reported: `<namespace>/<nad>`, or the configuration's own.
    pub network: String,
    /// Its interface.
    pub ifname: IfName,
    /// Whether it is the default network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// How far it is.
    pub state: State,
    /// The network configuration, every value byte for byte.
    pub config: Box<RawValue>,
    /// What was offered by capability.
    #[serde(default, skip_serializing_if = "RawObject::is_empty")]
    pub capability_args: RawObject,
    /// `CNI_ARGS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args: String,
    /// Where plugins were looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathBuf>,
    /// The device-info file that was promised to the plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_info_file: Option<PathBuf>,
    /// The result of ADD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// The gateways of its default routes, where a selection settled them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<Vec<IpAddr>>,
    /// Its ADD failed, and its undoing for the same reason: its plugins got no further than that, and probably made nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Why it could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt: Option<Debt>,
}

// A sweep and the tool hold the records of all pods of a node at once: a member that grows them is worth a thought.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Record>() <= 272 && size_of::<Attachment>() <= 320);

impl Record {
    /// The record of `id` in which nothing is attached yet.
    pub fn empty(id: &ContainerId) -> Self {
        Record {
            version: VERSION,
            container_id: id.clone(),
            pod: None,
            netns: None,
            netns_id: None,
            netns_cookie: None,
            host_netns_id: None,
            created: 0,
            boot_id: None,
            boot_id_shown: None,
            incomplete: false,
            unpublished: None,
            attachments: Vec::new(),
        }
    }
}

impl Attachment {
    /// The result of ADD, read; none where there is none yet.
    pub fn add_result(&self) -> Option<AddResult> {
        let version = NetworkConfig::version_of(self.config.get()).ok()?.known();
        AddResult::parse(self.result.as_deref()?.get(), version).ok()
    }
}

/// The state of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Its plugins answered.
    Attached,
    /// Its removal failed, and is retried.
    Owed,
    /// Intended: its plugins may have run, or not.
    // A state of a later release is read as this one, because DEL expects nothing of it.
    #[serde(other)]
    Planned,
}

/// A removal that failed, and is retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Debt {
    /// The time of the first attempt, in seconds of Unix time.
    pub since: u64,
    /// The time of the last attempt, in seconds of Unix time.
    #[serde(default)]
    pub last: u64,
    /// The number of attempts.
    pub attempts: u32,
    /// The last attempt did not end by itself: a plugin hung, or the call was killed. It is tried last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hung: bool,
    /// The error of the last attempt.
    pub error: String,
}

/// As a text. What is no identity counts as none: without it the path decides.
mod netns_id {
    use crate::sys::netns::Identity;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(identity: &Option<Identity>, serializer: S) -> Result<S::Ok, S::Error> {
        match identity {
            Some(identity) => serializer.collect_str(identity),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Identity>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| text.parse().ok()))
    }
}

/// Seconds of Unix time.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
