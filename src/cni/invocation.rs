//! How a runtime calls a plugin: the `CNI_…` variables (CNI-ENV).

use super::args::CniArgs;
use super::error::{CniError, Code};
use super::names::{ContainerId, IfName};
use std::fmt;
use std::path::PathBuf;

/// What the runtime asks for. STATUS is missing from the specification's list but defined by it (CNI-ENV-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Is it still as it was made?
    Check,
    /// Could something be attached?
    Status,
    /// Remove what is not valid any more.
    Gc,
    /// Which versions are spoken?
    Version,
}

impl Verb {
    /// As in `CNI_COMMAND`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Del => "DEL",
            Verb::Check => "CHECK",
            Verb::Status => "STATUS",
            Verb::Gc => "GC",
            Verb::Version => "VERSION",
        }
    }

    fn from_str(text: &str) -> Option<Verb> {
        [Verb::Add, Verb::Del, Verb::Check, Verb::Status, Verb::Gc, Verb::Version]
            .into_iter()
            .find(|verb| verb.as_str() == text)
    }

    /// The variables without which the verb cannot be served (CNI-ENV-03). `CNI_PATH` is not among
    /// them: the specification leaves it optional, and our own configuration has folders too.
    fn required(self) -> &'static [&'static str] {
        match self {
            Verb::Add | Verb::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Verb::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Verb::Status | Verb::Gc | Verb::Version => &[],
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The attachment a call is about: on ADD, DEL and CHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `CNI_CONTAINERID`.
    pub container_id: ContainerId,
    /// `CNI_IFNAME`: the interface of the default network.
    pub ifname: IfName,
    /// `CNI_NETNS`; none where the runtime has it no more.
    pub netns: Option<PathBuf>,
}

/// One call of the plugin.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// `CNI_COMMAND`.
    pub verb: Verb,
    /// What it is about; STATUS and GC are about nothing in particular.
    pub target: Option<Target>,
    /// `CNI_ARGS`.
    pub args: CniArgs,
    /// `CNI_PATH`, split.
    pub path: Vec<PathBuf>,
}

impl Invocation {
    /// Reads the environment through `get`.
    ///
    /// # Errors
    /// Code 4: first malformed values, then all missing variables together (CNI-ENV-05, CNI-ENV-09).
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let get = |key: &str| get(key).filter(|value| !value.is_empty());
        let environment = |msg: String| CniError::new(Code::Environment, msg);
        let command = get("CNI_COMMAND").unwrap_or_default();
        let Some(verb) = Verb::from_str(&command) else {
            let missing = command.is_empty();
            let msg =
                if missing { "missing CNI_COMMAND".to_owned() } else { format!("unknown CNI_COMMAND: {command}") };
            return Err(environment(msg));
        };
        let malformed = |what: &str, e: &dyn fmt::Display| environment(format!("{what}: {e}"));
        let attaches = !verb.required().is_empty();
        let id = get("CNI_CONTAINERID").filter(|_| attaches).map(ContainerId::new).transpose();
        let id = id.map_err(|e| malformed("CNI_CONTAINERID", &e))?;
        let ifname = get("CNI_IFNAME").filter(|_| attaches).map(IfName::new).transpose();
        let ifname = ifname.map_err(|e| malformed("CNI_IFNAME", &e))?;
        let mut missing: Vec<_> = verb.required().iter().copied().filter(|key| get(key).is_none()).collect();
        if !missing.is_empty() {
            // Whoever forgot the others may want to know of this one too: reference plugins need it.
            missing.extend(Some("CNI_PATH").filter(|key| get(key).is_none()));
            return Err(environment(format!("required env variables [{}] missing", missing.join(","))));
        }
        let target = id.zip(ifname).map(|(container_id, ifname)| Target {
            container_id,
            ifname,
            netns: get("CNI_NETNS").map(PathBuf::from),
        });
        Ok(Invocation {
            verb,
            target,
            args: CniArgs::parse(&get("CNI_ARGS").unwrap_or_default()),
            path: get("CNI_PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Invocation, CniError> {
        Invocation::read(|key| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn missing_variables_are_told_together() {
        // CNI-ENV-03, CNI-ENV-05
        let error = read(&[("CNI_COMMAND", "ADD")]).unwrap_err();
        assert_eq!(error.code, 4);
        assert!(error.msg.contains("[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH]"), "{}", error.msg);
        let error = read(&[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_PATH", "/a")]).unwrap_err();
        assert!(error.msg.contains("[CNI_IFNAME]"), "{}", error.msg);
    }

    #[test]
    fn malformed_comes_before_missing() {
        // CNI-ENV-09, CNI-ENV-06
        let error = read(&[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "../x")]).unwrap_err();
        assert!(error.msg.starts_with("CNI_CONTAINERID") && !error.msg.contains("missing"), "{}", error.msg);
    }

    #[test]
    fn unknown_and_absent_verbs() {
        // CNI-ENV-02
        assert_eq!(read(&[("CNI_COMMAND", "FOO")]).unwrap_err().msg, "unknown CNI_COMMAND: FOO");
        assert_eq!(read(&[]).unwrap_err().code, 4);
        assert_eq!(read(&[("CNI_COMMAND", "STATUS")]).unwrap().verb, Verb::Status);
    }

    #[test]
    fn del_needs_no_namespace() {
        let call = read(&[("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "")]);
        let call = call.unwrap();
        assert_eq!(call.target.unwrap().netns, None);
        assert!(call.path.is_empty());
    }

    #[test]
    fn path_is_split() {
        // CNI-ENV-08
        let call = read(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "/a:/b")]).unwrap();
        assert_eq!(call.path, [PathBuf::from("/a"), PathBuf::from("/b")]);
    }
}
