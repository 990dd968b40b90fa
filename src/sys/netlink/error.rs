//! How netlink can fail.

use super::name::InvalidLinkName;
use nix::errno::Errno;
use std::io;

/// rtnetlink.c: `rtnl_newlink`.
const UNKNOWN_KIND: &str = "Unknown device type";

/// Why an operation on links, addresses or routes failed. Every text says what was tried on what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("cannot {action}: {} ({errno:?})", reason(sentence.as_deref(), *errno))]
    Refused {
        /// The operation and its object: "add route 10.0.0.0/8 via 10.1.0.1 to link 3".
        action: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own sentence (NETLINK_EXT_ACK), where it gave one.
        sentence: Option<String>,
    },
    /// What should name a link cannot.
    #[error("cannot {action}: {why}")]
    Name {
        /// What was tried.
        action: String,
        /// What is wrong with the name.
        why: InvalidLinkName,
    },
    /// A listing was interrupted by changes again and again.
    #[error("cannot {action}: it changed {tries} times while it was listed")]
    Unsteady {
        /// What was listed.
        action: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The kernel's answer could not be read.
    #[error("cannot {action}: the kernel's answer is unreadable: {what}")]
    Unreadable {
        /// What was asked.
        action: String,
        /// Where reading stopped.
        what: String,
    },
    /// The socket itself failed.
    #[error("netlink socket: cannot {action}: {source}")]
    Socket {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The namespace of the socket could not be entered.
    #[error(transparent)]
    Netns(#[from] super::super::netns::Error),
}

impl Error {
    /// The kernel's error number, where the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// In the words of a kernel that cannot make links of `kind`, where that is why it refused.
    pub(super) fn about_kind(self, kind: &str) -> Self {
        match self {
            Error::Refused { action, errno: Errno::EOPNOTSUPP, sentence }
                if sentence.as_deref().is_none_or(|text| text == UNKNOWN_KIND) =>
            {
                let sentence = Some(no_kind(kind));
                Error::Refused { action, errno: Errno::EOPNOTSUPP, sentence }
            }
            other => other,
        }
    }

    /// Whether the kernel refused with `errno`.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

/// In words for a person: this kernel cannot make links of `kind`. The module has another name than the kind where Linux
/// named it after the standard.
pub fn no_kind(kind: &str) -> String {
    let module = if kind == "vlan" { "8021q" } else { kind };
    format!("the kernel of this node has no {kind} (module {module})")
}

/// The kernel's sentence, or what the number means.
fn reason(sentence: Option<&str>, errno: Errno) -> String {
    match (sentence, errno) {
        (Some(sentence), _) => sentence.to_owned(),
        // Its usual text makes containerd take a failed DEL for a success.
        (None, Errno::ENOENT) => "it does not exist".to_owned(),
        (None, errno) => errno.desc().to_lowercase(),
    }
}

/// Success where the kernel says `errno`: what was to be removed is gone already.
pub(super) fn accept(result: Result<(), Error>, errnos: &[Errno]) -> Result<(), Error> {
    match result {
        Err(e) if e.errno().is_some_and(|errno| errnos.contains(&errno)) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_sentence_is_preferred() {
        let error = |sentence: Option<&str>, errno| {
            Error::Refused { action: "delete link x".into(), errno, sentence: sentence.map(str::to_owned) }.to_string()
        };
        assert_eq!(
            error(Some("Unknown device type"), Errno::EOPNOTSUPP),
            "cannot delete link x: Unknown device type (EOPNOTSUPP)"
        );
        assert_eq!(error(None, Errno::EBUSY), "cannot delete link x: device or resource busy (EBUSY)");
        assert!(!error(None, Errno::ENOENT).to_lowercase().contains("no such file"));
    }
}
