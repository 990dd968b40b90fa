//! Versions of the CNI specification.

use std::fmt;
use std::str::FromStr;

/// A specification version whose requests and results we can read and write.
///
/// Ordered by age, so `version >= Version::V0_4_0` asks whether a feature exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0: results with `ip4` and `ip6`.
    V0_1_0,
    /// 0.2.0: the VERSION verb.
    V0_2_0,
    /// 0.3.0: lists, `prevResult`, `interfaces`.
    V0_3_0,
    /// 0.3.1: 0.3.0 with a corrected text.
    V0_3_1,
    /// 0.4.0: CHECK, `prevResult` on DEL.
    V0_4_0,
    /// 1.0.0: no single configurations, no `version` in `ips`.
    V1_0_0,
    /// 1.1.0: STATUS, GC, `mtu` of interfaces.
    V1_1_0,
}

impl Version {
    /// Every version we speak, oldest first; what VERSION answers.
    pub const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];

    /// The newest version we speak.
    pub const NEWEST: Version = Version::V1_1_0;

    /// The version as it is written in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_1_0 => "0.1.0",
            Version::V0_2_0 => "0.2.0",
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `cniVersion` that is not literally one of [`Version::ALL`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("incompatible CNI versions: cniVersion is {0:?}, Plexus speaks 0.1.0 to 1.1.0")]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Accepts a version literally (CNI-VER-06: `0.4` and `1.0` are not versions); an empty text is 0.1.0 (CNI-VER-04).
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        if text.is_empty() {
            return Ok(Version::V0_1_0);
        }
        Version::ALL.into_iter().find(|v| v.as_str() == text).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

/// The `cniVersion` of a network configuration, kept as it was written: it is handed to the
/// delegates verbatim, also when it is newer than what we know (CNI-VER-03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredVersion {
    text: String,
    number: (u64, u64, u64),
}

impl DeclaredVersion {
    /// Keeps `text`; what cannot be read as a version counts as the oldest.
    pub fn new(text: &str) -> Self {
        DeclaredVersion { text: text.to_owned(), number: parse_number(text).unwrap_or((0, 1, 0)) }
    }

    /// The text as it was declared; may be empty.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the declared version is `version` or newer, compared by number (CNI-VER-05).
    pub fn at_least(&self, version: Version) -> bool {
        parse_number(version.as_str()).is_some_and(|number| self.number >= number)
    }

    /// Whether we speak it: what is newer than [`Version::NEWEST`] has never been attached by us.
    pub fn is_spoken(&self) -> bool {
        Version::from_str(&self.text).is_ok()
    }

    /// The version in which a result for this configuration is read: the declared one, or the newest
    /// we know when the configuration is newer than we are.
    pub fn known(&self) -> Version {
        Version::from_str(&self.text)
            .unwrap_or_else(|_| Version::ALL.into_iter().rev().find(|v| self.at_least(*v)).unwrap_or(Version::V0_1_0))
    }
}

/// Chooses the version of a list: the highest of `cniVersion` and `cniVersions` that we speak (CNI-VER-01).
///
/// Entries that are newer than we are do not count; without any usable entry the declared text stands as it is.
///
/// # Errors
/// An entry of `all` that is no version at all (CNI-VER-03).
pub fn select(declared: &str, all: &[String]) -> Result<DeclaredVersion, UnknownVersion> {
    if let Some(bad) = all.iter().find(|text| parse_number(text).is_none()) {
        return Err(UnknownVersion(bad.clone()));
    }
    let newest = all
        .iter()
        .map(String::as_str)
        .chain(Some(declared).filter(|_| !all.is_empty()))
        .filter_map(|text| Version::from_str(text).ok().filter(|_| !text.is_empty()))
        .max();
    Ok(DeclaredVersion::new(newest.map_or(declared, |version| version.as_str())))
}

/// One to three dotted numbers.
fn parse_number(text: &str) -> Option<(u64, u64, u64)> {
    if text.is_empty() {
        return Some((0, 1, 0));
    }
    let mut parts = text.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse::<u64>().ok() } else { None }
    });
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let micro = parts.next().unwrap_or(Some(0))?;
    parts.next().is_none().then_some((major, minor, micro))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_versions_are_spoken() {
        // CNI-VER-06
        for text in ["0.4", "1.0", "9.9.9", "v1.0.0", "1.0.f"] {
            assert_eq!(Version::from_str(text), Err(UnknownVersion(text.into())), "{text}");
        }
        // CNI-VER-04
        assert_eq!(Version::from_str(""), Ok(Version::V0_1_0));
    }

    #[test]
    fn the_highest_version_of_the_union_is_selected() {
        let select = |declared: &str, all: &[&str]| {
            super::select(declared, &all.iter().map(|s| s.to_string()).collect::<Vec<_>>())
                .map(|v| v.as_str().to_owned())
        };
        // CNI-VER-01
        assert_eq!(select("", &["1.1.0", "0.4.0", "1.0.0"]), Ok("1.1.0".into()));
        assert_eq!(select("", &["1.1.0", "0.4.0", "99.0.0"]), Ok("1.1.0".into()));
        assert_eq!(select("1.0.0", &["0.1.0", "0.4.0"]), Ok("1.0.0".into()));
        // CNI-VER-03
        assert_eq!(select("1.2.3", &[]), Ok("1.2.3".into()));
        assert_eq!(select("1.0.0", &["1.1.0", "1.0.f"]), Err(UnknownVersion("1.0.f".into())));
    }

    #[test]
    fn declared_versions_compare_by_number() {
        // CNI-VER-05
        assert!(DeclaredVersion::new("0.4").at_least(Version::V0_4_0));
        assert!(!DeclaredVersion::new("0.3.1").at_least(Version::V0_4_0));
        assert!(DeclaredVersion::new("1.10.0").at_least(Version::V1_1_0));
        assert!(!DeclaredVersion::new("1.0.0.0").at_least(Version::V0_3_0));
        assert_eq!(DeclaredVersion::new("1.2.3").known(), Version::V1_1_0);
        assert_eq!(DeclaredVersion::new("").known(), Version::V0_1_0);
    }
}
