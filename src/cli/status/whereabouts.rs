//! Who gives the addresses of sections of whereabouts: its own programs while the cluster has it.

use crate::cli::diagnosis::{Check, Fault};
use crate::cli::output::counted::counted_with;
use crate::cluster::{Inquiry, Unanswered, whereabouts_runs};
use crate::cni::json;
use crate::delegate::ipam::leased::whereabouts;
use crate::delegate::registry::Natives;
use crate::nad::NadRef;
use serde::Deserialize;

/// So many networks are named.
const MOST: usize = 3;

/// Whereabouts in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is not there, or no network has a section of it.
    Away,
    /// It is there, and its programs give the addresses.
    Alone,
    /// It is there, and nodes have the setting with which Plexus gives the addresses in its place.
    Replaced,
}

/// What is read of the plugin's settings.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    natives: Natives,
}

/// Asks for it.
///
/// # Errors
/// As of [`Inquiry::pods`].
pub fn ask(inquiry: &Inquiry) -> Result<Whereabouts, Unanswered> {
    if !inquiry.has_whereabouts()? {
        return Ok(Whereabouts::Away);
    }
    // A text that cannot be read is told by the nodes.
    let settings = inquiry.plugin_settings()?;
    let mut settings = settings.iter().filter_map(|text| json::parse::<Settings>(text).ok());
    let is_replaced = settings.any(|settings| settings.natives.allow(whereabouts::TYPE));
    Ok(if is_replaced { Whereabouts::Replaced } else { Whereabouts::Alone })
}

/// What it means for `networks`, which have its sections.
pub fn check(seen: &Result<Whereabouts, String>, networks: &[&NadRef]) -> Option<Check> {
    let named = networks.iter().take(MOST).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if networks.len() > MOST { ", …" } else { "" };
    let subject = counted_with(networks.len(), "network", "has");
    let subject = format!("{subject} addresses of whereabouts ({named}{more})");
    match seen {
        Err(why) => Some(Check::unseen("whereabouts", why.as_str())),
        Ok(Whereabouts::Away) => None,
        Ok(Whereabouts::Alone) => Some(Check::good(
            "whereabouts",
            format!(
                "{subject}, and its programs give them; docs/how-to/from-whereabouts.md has what to wait for before Plexus may"
            ),
        )),
        Ok(Whereabouts::Replaced) => {
            let finding = format!("{subject}, and Plexus is to give them: {}", whereabouts_runs());
            Some(Check::bad("whereabouts", Fault::Whereabouts, finding))
        }
    }
}
