//! `plexusctl version`: the release, and the protocols it speaks.

use super::Error;
use super::output::described::Described;
use super::output::{Format, Output};
use crate::api::protocol;
use crate::cni::Version;
use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The release of this program.
    release: &'static str,
    /// The supported versions of the CNI specification.
    cni_versions: Vec<&'static str>,
    /// The version of the protocol between plugin, daemon and this program.
    protocol: u32,
}

impl Described for Document {
    const NAME: &'static str = "version";
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
