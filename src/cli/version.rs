//! `plexusctl version`: the release, and the protocols it speaks.

use super::Error;
use super::output::{Format, Output};
use crate::api::protocol;
use crate::cni::Version;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    release: &'static str,
    cni_versions: Vec<&'static str>,
    protocol: u32,
}

/// Prints it.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let document = Document {
        release: env!("CARGO_PKG_VERSION"),
        cni_versions: Version::ALL.map(Version::as_str).to_vec(),
        protocol: protocol::VERSION,
    };
    match arguments.output {
        Format::Json => output.json(&document),
        Format::Table => output.text(&format!(
            "plexusctl {}\nCNI versions: {}\nprotocol between plugin, daemon and this program: {}\n",
            document.release,
            document.cni_versions.join(", "),
            document.protocol
        )),
    }
}
